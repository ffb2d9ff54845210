#!/bin/bash
# SPDX-License-Identifier: MIT
# Fast open with a kernel peer: a first connection gets the kernel's cookie, a second one carries its data in the SYN.
set -u
. "$(dirname "$0")/../lib/netns.sh"
. "$(dirname "$0")/../lib/report.sh"
[ -z "$KERNEL_ONLY" ] || { skip "fast open" "runs on the kernel's TCP (SLUICE=env)"; report_end; }
netns_up tfo
peer() { run timeout --foreground -k 5 "${LIMIT:-30}" "${IN_S[@]}" "$@"; }
cat >"$SCRATCH/client.py" <<'P'
import socket, sys
for i in range(2):
    s = socket.socket()
    n = s.sendto(b"ping\n", 0x20000000, (sys.argv[1], 8123))
    got = s.recv(100)
    s.close()
    print(n, got.decode().strip())
P
cat >"$SCRATCH/server.py" <<'P'
import socket
l = socket.socket()
l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
l.bind(("", 8123))
l.setsockopt(socket.IPPROTO_TCP, 23, 16)
l.listen(5)
for i in range(2):
    s, a = l.accept()
    s.sendall(s.recv(100))
    s.close()
P
peer sh -c 'echo 3 >/proc/sys/net/ipv4/tcp_fastopen' 2>"$SCRATCH/sysctl"
"${IN_S[@]}" "$PYTHON" "$SCRATCH/server.py" &
server=$!
sleep 1
export SLUICE_DEV=$DEV
sl tfo "$PYTHON" "$SCRATCH/client.py" "$ADDR_S" >"$SCRATCH/out" 2>&1
same "both messages are echoed" "$(cat "$SCRATCH/out")" $'5 ping\n5 ping'
served_by_stack "fast open: through the stack" tfo
same "the second one's data went with the SYN" "$(stat_of tfo TcpExtTCPFastOpenActive)" 1
kill "$server" 2>/dev/null
wait "$server" 2>/dev/null
report_end
