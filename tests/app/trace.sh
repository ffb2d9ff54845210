#!/bin/bash
# SPDX-License-Identifier: MIT
# --trace prints the walk that stack/README.md tells, function by function, file by file.
set -u
. "$(dirname "$0")/../lib/netns.sh"
. "$(dirname "$0")/../lib/report.sh"
netns_up trace
if [ -n "$KERNEL_ONLY" ]; then
    skip "the walk" "runs on the kernel's TCP (SLUICE=env)"
    report_end
fi
www=$SCRATCH/www
mkdir -p "$www"
head -c 300000 /dev/urandom >"$www/file"
wanted=$(sha "$www/file")
nginx_up nginx 80 || die "nginx did not start."
readme=$TOP/stack/README.md

# listing LOG KIND   "function file:line" of the first KIND in the log, outermost first. Of the calls that took it on where
# it had to wait, only what they did with it.
listing() {
    awk -v k="the first $2:" '/^sluice\[/ { on = index($0, k); mine = 1 } / -- it waits here/ { mine = 0 }
        /^ +(neigh_send_queue|__qdisc_run)\(/ { mine = 1 }
        on && mine && /^ +[A-Za-z_0-9]+\(\)/ { sub(/\(\)/, "", $1); print $1, $2 }' "$1"
}
whole() { awk -v k="the first $2:" '/^sluice\[/ { on = index($0, k) } on' "$1"; }
# told SECTION MARK   what the README's table of that section says is on the stack of that kind: "function file"
told() {
    awk -F '|' -v s="## $1" -v m="$2" '/^## / { on = index($0, s) == 1 } { sub(/\(.*\)/, "", $5) } on && /^\| `/ && index($5, m) { gsub(/[` ]/, "", $2); gsub(/ /, "", $3); print $2, $3 }' "$readme"
}
names() { awk -F '|' -v s="## $1" '/^## / { on = index($0, s) == 1 } on && /^\| `/ && $5 !~ /\(/ { gsub(/[` ]/, "", $2); print $2 }' "$readme"; }
# seen SECTION   of a listing on stdin, the functions that the section has in its table (without those in brackets), each once
# (nf_hook is met at two hooks)
seen() { awk 'NR == FNR { have[$1] = 1; next } have[$1] && !done[$1]++ { sub(/:[0-9]+$/, "", $2); print $1, $2 }' <(names "$1") -; }
one_line() { paste -sd' '; }

# ---- a real curl --------------------------------------------------------------------------------------------

SL+=(--trace)
SLUICE_LOG_FILE=$SCRATCH/log sl curl curl -sS -o "$SCRATCH/out" "http://$ADDR_S/file"
same "curl under --trace" "$(sha "$SCRATCH/out" 2>&1)" "$wanted"
served_by_stack "curl under --trace: through the stack" curl
log=$SCRATCH/log
[ -s "$log" ] || : >"$log"
for kind in SYN ACK data FIN completion; do
    same "one listing of: $kind" "$(grep -c "trace: the first $kind:" "$log")" 1
done
same "no retransmission where nothing is lost" "$(grep -c 'trace: the first retransmission' "$log")" 0

same "data: the README's walk" "$(listing "$log" data | seen Down | one_line)" "$(told Down D | grep -v '^sock_write_iter ' | one_line)"
# The steps that no telling may leave out.
steps='sock_sendmsg sock_sendmsg_nosec inet_sendmsg tcp_sendmsg tcp_sendmsg_locked tcp_push __tcp_push_pending_frames tcp_write_xmit tcp_transmit_skb
    __tcp_transmit_skb ip_queue_xmit ip_local_out nf_hook dst_output ip_output nf_hook ip_finish_output ip_finish_output2
    neigh_output neigh_hh_output dev_queue_xmit sch_direct_xmit dev_hard_start_xmit af_xdp_start_xmit'
same "data: every step" "$(listing "$log" data | cut -d' ' -f1 | grep -xE "$(tr -s ' \n' '|' <<<"$steps" | sed 's/|$//')" | one_line)" \
    "$(tr -s ' \n' ' ' <<<"$steps" | sed 's/ $//')"
same "data: begins with the program's call" "$(listing "$log" data | head -n 1 | cut -d: -f1)" "send shim/calls_io.c"
same "SYN: the README's walk" "$(listing "$log" SYN | seen Down | one_line)" "$(told Down S | one_line)"
same "SYN: begins with the program's call" "$(listing "$log" SYN | head -n 1 | cut -d: -f1)" "connect shim/calls_socket.c"
check "SYN: waits for ARP, and goes on when it is answered" "$(grep -A80 'the first SYN' "$log")" \
    eval 'whole "$log" SYN | grep -q "it waits here for the answer to an ARP" && whole "$log" SYN | grep -q "^ *neigh_update()"'
same "ACK: the README's walk up" "$(listing "$log" ACK | sed '/^tcp_send_ack /,$d' | seen Up | one_line)" "$(told Up A | one_line)"
same "ACK: the README's walk down" "$(listing "$log" ACK | sed -n '/^tcp_send_ack /,$p' | seen Down | one_line)" "$(told Down A | one_line)"
same "FIN: the README's walk" "$(listing "$log" FIN | seen Down | one_line)" "$(told Down F | one_line)"
same "completion: the README's walk" "$(listing "$log" completion | seen Home | one_line)" "$(told Home C | one_line)"
same "FIN: begins with the program's call" "$(listing "$log" FIN | head -n 1 | cut -d: -f1)" "close shim/calls_fd.c"

# Each line is one of that file, and calls something.
bad=
while read -r func where; do
    line=$(sed -n "${where##*:}p" "$TOP/${where%:*}" 2>/dev/null)
    [[ $line == *'('* ]] || bad+="$func $where: $line"$'\n'
done < <(awk '/^ +[A-Za-z_0-9]+\(\) / { print $1, $2 }' "$log" | sort -u)
same "files and lines stand in one column" "$(awk '/^sluice|^ --/ { w = 0; next } { split($0, a, /\)  +/); n = length(a[1]); p = index($0, $2) } w && p != w { print; bad = 1 } { w = p }' "$log")" ""
same "every file and line is one where something is called" "$bad" ""

# ---- write(2), and a reset ------------------------------------------------------------------------------------

SLUICE_LOG_FILE=$SCRATCH/write.log sl write "$PYTHON" -c 'import os, socket, struct, sys
s = socket.create_connection((sys.argv[1], 80))
os.write(s.fileno(), b"GET / HTTP/1.0\r\n\r\n")
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
s.close()' "$ADDR_S"
same "write(2): the README's walk" "$(listing "$SCRATCH/write.log" data | seen Down | one_line)" "$(told Down D | one_line)"
same "write(2): begins with the program's call" "$(listing "$SCRATCH/write.log" data | head -n 1 | cut -d: -f1)" "write shim/calls_io.c"
check "a reset is shown" "$(grep trace: "$SCRATCH/write.log")" eval 'listing "$SCRATCH/write.log" RST | grep -q "^tcp_send_active_reset "'

# ---- a retransmission -------------------------------------------------------------------------------------------

SLUICE_FAULT=loss=100000,seed=5 SLUICE_LOG_FILE=$SCRATCH/lossy.log LIMIT=120 \
    sl lossy curl -sS -f -o /dev/null -T "$www/file" "http://$ADDR_S/up"
same "10 % lost: the upload" "$(sha "$www/up" 2>&1)" "$wanted"
check "10 % lost: a retransmission is shown, down to the ring" "$(grep trace: "$SCRATCH/lossy.log")" \
    eval 'listing "$SCRATCH/lossy.log" retransmission >"$SCRATCH/r" && grep -q "^af_xdp_start_xmit " "$SCRATCH/r"'
same "10 % lost: retransmission: the README's walk" "$(sed -n '/^__tcp_retransmit_skb /,$p' "$SCRATCH/r" | seen Down | one_line)" "$(told Down R | one_line)"

# ---- folded -------------------------------------------------------------------------------------------------------

SL[${#SL[@]} - 1]=--trace=folded
SLUICE_LOG_FILE=$SCRATCH/folded.log sl folded curl -sS -o "$SCRATCH/out" "http://$ADDR_S/file"
same "curl under --trace=folded" "$(sha "$SCRATCH/out" 2>&1)" "$wanted"
folded=$SCRATCH/folded.log
same "folded: every line is \`a;b;c count\`" "$(grep -vcE '^[A-Za-z_0-9]+(;[A-Za-z_0-9]+)+ [1-9][0-9]*$' "$folded")" 0
same "folded: no path twice" "$(sed 's/ [0-9]*$//' "$folded" | sort | uniq -d)" ""
same "folded: the counts add up to the packets that the interface took" "$(awk '{ n += $NF } END { print n + 0 }' "$folded")" "$(stat_of folded tx_packets)"
check "folded: the walk of the data is one of the paths" "$(cat "$folded")" \
    grep -qE '^send;.*sock_sendmsg;sock_sendmsg_nosec;inet_sendmsg;tcp_sendmsg;tcp_sendmsg_locked;tcp_push;.*;ip_queue_xmit;.*;af_xdp_start_xmit' "$folded"

# Ended by a signal that it leaves to its default: the paths all the same, and the signal ends it.
SLUICE_LOG_FILE=$SCRATCH/int.log sl int "$PYTHON" -c 'import os, signal, socket, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
s = socket.create_connection((sys.argv[1], 80)); s.sendall(b"GET / HTTP/1.0\r\n\r\n")
if signal.getsignal(signal.SIGTERM) != signal.SIG_DFL: sys.exit("SIGTERM is seen otherwise")
pid = os.fork()
if not pid: signal.pause()
os.kill(pid, signal.SIGTERM)
if not os.WIFSIGNALED(os.waitpid(pid, 0)[1]): sys.exit("the child lives on")
print("unfinished", end="", file=sys.stderr, flush=True)
os.kill(os.getpid(), signal.SIGINT)' "$ADDR_S" 2>"$SCRATCH/int.err"
same "folded, and SIGINT: its exit status" $? 130
same "folded, and SIGINT: what the program says" "$(cat "$SCRATCH/int.err")" unfinished
check "folded, and SIGINT: the paths are printed" "$(cat "$SCRATCH/int.log")" grep -qE '^send;.*;af_xdp_start_xmit(;[a-z_]+)* [1-9][0-9]*$' "$SCRATCH/int.log"
same "folded, and SIGINT: once, and nothing else" "$(sed 's/ [0-9]*$//' "$SCRATCH/int.log" | sort | uniq -d; grep -vcE '^[A-Za-z_0-9]+(;[A-Za-z_0-9]+)+ [1-9][0-9]*$' "$SCRATCH/int.log")" 0

# ---- a process with children, each with a stack of its own; and without the libraries -----------------------------------

SL[${#SL[@]} - 1]=--trace
SLUICE_LOG_FILE=$SCRATCH/fork.log sl fork "$PYTHON" -c 'import os, socket, sys
def get():
    s = socket.create_connection((sys.argv[1], 80)); s.sendall(b"GET / HTTP/1.0\r\n\r\n")
    while s.recv(65536): pass
    s.close()
get()
pid = os.fork()
if not pid:
    get(); sys.exit(0)
sys.exit(os.waitpid(pid, 0)[1] >> 8)' "$ADDR_S"
same "fork: the process that has the interface prints its data once" "$(grep -c 'the first data:' "$SCRATCH/fork.log")" 1

SLUICE_LOG_FILE=$SCRATCH/threads.log sl threads "$PYTHON" -c 'import socket, sys, threading
def get():
    s = socket.create_connection((sys.argv[1], 80)); s.sendall(b"GET /file HTTP/1.0\r\n\r\n")
    while s.recv(65536): pass
    s.close()
t = [threading.Thread(target=get) for _ in range(8)]
[x.start() for x in t]; [x.join() for x in t]' "$ADDR_S"
same "8 threads at once: one listing of each kind" "$(sed -n 's/.*trace: the first \([A-Za-z-]*\):.*/\1/p' "$SCRATCH/threads.log" | sort | one_line)" "ACK FIN SYN completion data"
same "8 threads at once: data: the README's walk" "$(listing "$SCRATCH/threads.log" data | seen Down | one_line)" "$(told Down D | grep -v '^sock_write_iter ' | one_line)"

# What a distribution's package has: no debugging information. The steps that are functions of their own are there still.
mkdir "$SCRATCH/stripped" && cp "$BUILD/sluice" "$SCRATCH/stripped/" && strip --strip-debug -o "$SCRATCH/stripped/libsluice.so" "$BUILD/libsluice.so"
SLUICE_LOG_FILE=$SCRATCH/stripped.log run timeout 30 "${IN_C[@]}" "${SL[@]:0:${#SL[@]}-2}" "$SCRATCH/stripped/sluice" --trace \
    curl -sS -o "$SCRATCH/out" "http://$ADDR_S/file"
check "stripped: a sentence says so" "$(head -n 3 "$SCRATCH/stripped.log")" grep -q 'libsluice.so has no debugging information' "$SCRATCH/stripped.log"
big='send sock_sendmsg inet_sendmsg tcp_sendmsg tcp_sendmsg_locked tcp_push __tcp_push_pending_frames tcp_write_xmit __tcp_transmit_skb
    ip_queue_xmit ip_output ip_finish_output2 neigh_output dev_queue_xmit sch_direct_xmit dev_hard_start_xmit af_xdp_start_xmit'
same "stripped: data: every function" "$(listing "$SCRATCH/stripped.log" data | cut -d' ' -f1 | grep -xE "$(tr -s ' \n' '|' <<<"$big" | sed 's/|$//')" | one_line)" \
    "$(tr -s ' \n' ' ' <<<"$big" | sed 's/ $//')"

missing() { # LIBRARY WORD   curl as if the library were not installed
    local lib
    lib=$(ldconfig -p | awk -v l="$1" '$1 == l { print $NF; exit }')
    SLUICE_LOG_FILE=$SCRATCH/missing.log run timeout 30 "${IN_C[@]}" unshare -m sh -c 'mount --bind /dev/null "$0" && exec "$@"' "$lib" \
        "${SL[@]}" curl -sS -o "$SCRATCH/out" "http://$ADDR_S/file"
    same "without $1: curl works" "$(sha "$SCRATCH/out" 2>&1)" "$wanted"
    check "without $1: a sentence says so" "$(head -n 3 "$SCRATCH/missing.log")" grep -q "$1 cannot be loaded.*install the package $2" "$SCRATCH/missing.log"
}
missing libdw.so.1 libdw1
check "without libdw.so.1: the functions all the same" "$(head -n 20 "$SCRATCH/missing.log")" eval 'grep -q "^ *tcp_sendmsg_locked()$" "$SCRATCH/missing.log"'
rm -f "$SCRATCH/missing.log"
missing libunwind.so.8 libunwind8

# ---- off ------------------------------------------------------------------------------------------------------------

unset "SL[${#SL[@]}-1]"
SLUICE_LOG_FILE=$SCRATCH/off.log sl off sh -c 'curl -sS -o /dev/null "$0"; cat /proc/self/maps' "http://$ADDR_S/file" >"$SCRATCH/maps"
check "without --trace nothing is printed" "$(cat "$SCRATCH/off.log" 2>&1)" [ ! -s "$SCRATCH/off.log" ]
same "without --trace neither libunwind nor libdw is loaded" "$(grep -cE 'libunwind|libdw' "$SCRATCH/maps")" 0
report_end
