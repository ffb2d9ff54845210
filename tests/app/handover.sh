#!/bin/bash
# SPDX-License-Identifier: MIT
# What a stack inside one process cannot do alone: connections that are inherited, passed on, used by stdio, or left
# behind at exit go on in the kernel, without a byte lost.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib/netns.sh"
. "$here/../lib/report.sh"
netns_up handover
cd "$SCRATCH" || exit 1
cc -O1 -Wall -o client "$here/handover_client.c" || die "handover_client.c does not compile."

cat >server.py <<'P'
import socket, sys, threading
def serve(conn, n):
    try:
        line = b""
        while not line.endswith(b"\n"):
            c = conn.recv(1)
            if not c: return
            line += c
        words = line.split()
        if words[0] == b"echo":
            while data := conn.recv(65536): conn.sendall(data)
        elif words[0] == b"data":
            conn.sendall(bytes(i * 7 & 255 for i in range(int(words[1]))))
            conn.shutdown(socket.SHUT_WR)
            while conn.recv(65536): pass
        elif words[0] == b"reset":
            conn.sendall(b"x" * 3000)
            threading.Event().wait(0.1)
            conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        elif words[0] == b"count":
            total = 0
            conn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            threading.Event().wait(0.3)
            end = "end"
            try:
                while data := conn.recv(65536): total += len(data)
            except OSError as e: end = str(e)
            with open("count.tmp", "w") as f: f.write(f"{total} {end}\n")
            import os; os.rename("count.tmp", "count")
    except OSError as e:
        print("connection", n, e, file=sys.stderr)
    finally:
        conn.close()
with socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=64) as l:
    n = 0
    while True:
        n += 1
        threading.Thread(target=serve, args=(l.accept()[0], n), daemon=True).start()
P
serve echo s 7000 "$PYTHON" server.py "$ADDR_S" 7000 || die "the server did not start."

# try NAME [WANTED]   One case; by the stack at first, and handed over (where that can be seen in the counters).
try() {
    rm -f "$SCRATCH/$1.stats."*
    timeout 20 "${IN_C[@]}" env SLUICE_STATS="$SCRATCH/$1.stats.%p" SLUICE_LOG=info SLUICE_LOG_FILE="$SCRATCH/$1.log" \
        "${SL[@]}" ./client "$ADDR_S" 7000 "$1" >"$1.out" 2>&1
    for ((i = 0; i < 40; i++)); do [ -s "$1.out" ] && break; sleep 0.1; done # a child may speak last
    same "$1" "$(cat "$1.out" 2>&1)" "${2:-ok}"
    [ "$(cat "$1.out")" = "${2:-ok}" ] || sed 's/^/#   /' "$1.log" 2>/dev/null | tail -n 6
}
# the stack had it and gave it away
moved() { [ -n "$KERNEL_ONLY" ] || check "$1: handed over" "$(cat "$1.log" 2>&1)" grep -q 'goes on in the kernel because' "$1.log"; }

for c in fdopen fork_child_uses fork_parent_closes fork_parent_exits fork_chain scm_rights unread_moves \
    peer_closed_moves mapped_moves options_move zerocopy_moves sleeper_follows poller_follows; do
    try $c
    moved $c
done
serve echo1 s 7001 "$PYTHON" server.py "$ADDR_S" 7001 || die "the second server did not start."
"${IN_S[@]}" nft 'add table ip hold; add chain ip hold i { type filter hook input priority 0; }; add rule ip hold i tcp dport 7001 drop'
{ sleep 0.7; "${IN_S[@]}" nft delete table ip hold; } &
try syn_sent_moves
moved syn_sent_moves
wait $!
try half_closed_moves # ended both ways already, but not read
try reset_moves
try fork_parent_goes_on
[ -n "$KERNEL_ONLY" ] || check "fork_parent_goes_on: the stack keeps it" "$(cat fork_parent_goes_on.log 2>&1)" \
    sh -c '! grep -q "goes on in the kernel because another" fork_parent_goes_on.log'
if [ -n "$KERNEL_ONLY" ]; then
    skip owner_killed "the kernel's connections outlive their process"
else
    try owner_killed 2>/dev/null # the shell would tell of the kill
fi
try exec_inherits "through exec"
try spawn_stdin "$(printf 'through spawn\nok')"

# what was written arrives, though the program is gone
for c in exit_unsent close_exit_unsent exec_cloexec; do
    rm -f count
    timeout 20 "${IN_C[@]}" env SLUICE_LOG=info SLUICE_LOG_FILE="$SCRATCH/$c.log" "${SL[@]}" ./client "$ADDR_S" 7000 $c >$c.out 2>&1
    for ((i = 0; i < 150; i++)); do [ -e count ] && break; sleep 0.1; done
    same "$c: all $(cat $c.out) bytes arrive, and the end" "$(cat count 2>&1)" "$(cat $c.out) end"
done

# bash: standard output becomes the connection; commands inherit it
same "bash /dev/tcp" "$(timeout 20 "${IN_C[@]}" "${SL[@]}" bash -c "exec 3<>/dev/tcp/$ADDR_S/7000
    printf 'echo\nhello\n' >&3; read -r x <&3; echo more >&3; y=\$(head -n1 <&3); echo \"\$x \$y\"" 2>&1)" "hello more"

# Servers of several processes. A client that sends and gets its bytes back; it begins when the port is open.
cat >echo.py <<'P'
import socket, sys, threading, time
addr, port, n = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
data = bytes(i * 11 & 255 for i in range(n))
def send():
    try: s.sendall(data); s.shutdown(socket.SHUT_WR)
    except OSError: pass
def once():
    global s
    s = socket.create_connection((addr, port), timeout=8)
    threading.Thread(target=send, daemon=True).start()
    out = b""
    while d := s.recv(65536): out += d
    return "ok" if out == data else f"{len(out)} of {n} bytes"
for i in range(200):
    try: print(once()); break
    except ConnectionRefusedError: time.sleep(0.02)
    except OSError as e:
        if "again" not in sys.argv: print(repr(e)); break
        sys.argv.pop()
P
# echo_client PORT [again]   again: one reset is answered by another try
echo_client() { timeout 15 "${IN_S[@]}" "$PYTHON" echo.py "$ADDR_C" "$1" 100000 ${2:-} 2>&1; }
# server CASE COMMAND...   in the background; its status is waited for as $!
server() {
    timeout 30 "${IN_C[@]}" env SLUICE_STATS="$SCRATCH/$1.stats.%p" SLUICE_LOG=info SLUICE_LOG_FILE="$SCRATCH/$1.log" \
        "${SL[@]}" "${@:2}" >"$1.out" 2>&1 &
}
# opens NAME CASE AT_LEAST   that many of its connections were the stack's
opens() {
    [ -n "$KERNEL_ONLY" ] || check "$1" "TcpPassiveOpens is $(stat_of "$2" TcpPassiveOpens)" [ "$(stat_of "$2" TcpPassiveOpens)" -ge "$3" ]
}

server fork_server ./client "$ADDR_S" 7000 fork_server
for ((i = 0; i < 100; i++)); do [ -n "$("${IN_C[@]}" ss -Hltn 'sport = :4242')" ] && break; sleep 0.05; done
sleep 0.3
for i in 1 2 3 4 5; do
    same "fork server, connection $i" "$(echo_client 4242)" ok
done
wait $!
same "fork server ends" "$(cat fork_server.out)" ok
opens "fork server: all five connections were the stack's" fork_server 5

port=4243
for c in prefork_server prefork_parent_killed prefork_child_killed parent_accepts_first wait_server; do
    server $c ./client "$ADDR_S" 7000 $c
    pid=$!
    again=
    [ $c != wait_server ] || again=again # shim/listener.c
    same "$c: the first connection" "$(echo_client $port $again)" ok
    same "$c: the second connection" "$(echo_client $port)" ok
    wait $pid 2>/dev/null
    same "$c ends" "$(grep -v Killed $c.out)" ok
    port=$((port + 1))
done

cat >forking.py <<'P'
import socketserver, sys
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while d := self.request.recv(65536): self.request.sendall(d)
class Server(socketserver.ForkingMixIn, socketserver.TCPServer): allow_reuse_address = True
with Server(("", int(sys.argv[1])), Echo) as s:
    for i in range(4): s.handle_request()
P
server forking "$PYTHON" forking.py 4250
for ((i = 0; i < 100; i++)); do [ -n "$("${IN_C[@]}" ss -Hltn 'sport = :4250')" ] && break; sleep 0.05; done
sleep 0.3
for i in 1 2 3 4; do
    same "socketserver.ForkingMixIn, connection $i" "$(echo_client 4250)" ok
    sleep 0.2 # the child has ended
done
wait $!
opens "socketserver.ForkingMixIn: all four connections were the stack's" forking 4
[ "$(stat_of forking TcpPassiveOpens)" = 4 ] || sed "s/^/#   /" forking.log forking.out

# nothing is left behind
sleep 0.2
same "no connection is left on the client's side" "$("${IN_C[@]}" ss -Htn state established state fin-wait-1 state close-wait | wc -l)" 0
report_end
