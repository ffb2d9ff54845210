#!/bin/bash
# SPDX-License-Identifier: MIT
# Programs that never touch TCP, or touch it at odd moments, do not notice us.
set -u
. "$(dirname "$0")/../lib/netns.sh"
. "$(dirname "$0")/../lib/report.sh"
netns_up pass
cd "$SCRATCH" || exit 1
seq 20000 | sort -R >numbers

# unchanged NAME CMD...   Output, errors and status are those of a run without sluice; nothing of ours is made.
unchanged() {
    local name=$1 a b
    shift
    a=$("${IN_C[@]}" "$@" 2>&1 </dev/null; echo "status $?")
    b=$(sl quiet "$@" 2>&1 </dev/null; echo "status $?")
    same "$name" "$b" "$a"
}
unchanged "ls" ls -la /etc
unchanged "ls of nothing" ls /no/such/file
unchanged "sort" sort -n numbers
unchanged "bash: pipes, subshells, here-documents" bash -c 'x=$(seq 100 | grep -c 1); (exit 3); echo $? $x; cat <<< here; for i in 1 2 3; do echo $i & wait; done'
unchanged "a chain of forks" bash -c 'bash -c "bash -c \"echo deep; exit 9\""'
unchanged "python3 -c" "$PYTHON" -c 'import os, sys; print(sum(range(1000)), sorted(os.environ.get("HOME", "")))'
unchanged "python3: threads, subprocesses, pipes, poll" "$PYTHON" -c 'import subprocess, threading, select, os
r, w = os.pipe(); t = threading.Thread(target=lambda: os.write(w, b"x")); t.start(); p = select.poll(); p.register(r)
print(p.poll(1000)[0][1], subprocess.run(["echo", "child"], capture_output=True).stdout, os.read(r, 1)); t.join()'
unchanged "python3: UDP and Unix sockets" "$PYTHON" -c 'import socket
a, b = socket.socketpair(); a.send(b"hi"); print(b.recv(9))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("127.0.0.1", 0)); u.sendto(b"dgram", u.getsockname()); print(u.recvfrom(99)[0])'
unchanged "a status" sh -c 'exit 77'
unchanged "death by a signal" bash -c 'kill -TERM $$'
unchanged "dd and its descriptors" dd if=/dev/zero of=/dev/null bs=4k count=100 status=none
unchanged "find and xargs" bash -c 'find /etc -maxdepth 1 -type f 2>/dev/null | sort | xargs -n 10 echo | md5sum'
unchanged "tar through a pipe" bash -c 'tar cf - -C / etc/passwd etc/group 2>/dev/null | tar tf -'
unchanged "closing every descriptor" "$PYTHON" -c 'import os; os.closerange(3, 4096); print("still here"); os.system("echo and a child")'

if gcc -O1 -shared -fPIC -DLIBRARY -o libpreinit.so "$TOP/tests/app/preinit.c" && gcc -O1 -o preinit "$TOP/tests/app/preinit.c" -L. -lpreinit "-Wl,-rpath,$SCRATCH"; then
    unchanged "sockets before our constructor and after our destructor" ./preinit
    same "sockets before our constructor: right as such" "$("${IN_C[@]}" ./preinit | head -n 1)" "before ok, listening 0"
else
    not_ok "sockets before our constructor" "it does not build"
fi
if [ -z "$KERNEL_ONLY" ]; then
    same "none of them put a program on the interface" "$("${IN_C[@]}" ip link show "$DEV" | grep -c xdp)" 0
    # an idle descriptor costs nothing: no thread of ours in a program that never made a TCP socket
    same "no thread in a program without TCP" "$(sl quiet "$PYTHON" -c 'import os; print(len(os.listdir("/proc/self/task")))')" 1
    fds='import os; print(len(os.listdir("/proc/self/fd")))' # by the same way, so that both inherit the same
    same "no descriptor in a program without TCP" "$(sl quiet "$PYTHON" -c "$fds")" \
        "$(run timeout --foreground -k 5 60 "${IN_C[@]}" env A=b "$PYTHON" -c "$fds")"
fi
report_end
