#!/bin/bash
# SPDX-License-Identifier: MIT
# What sluice cannot or may not serve is the kernel's, and one sentence says why; what is wrong is refused.
set -u
. "$(dirname "$0")/../lib/netns.sh"
. "$(dirname "$0")/../lib/report.sh"
netns_up fallback
www=$SCRATCH/www
mkdir -p "$www" "$SCRATCH/bin"
chmod 777 "$SCRATCH"
head -c 30000000 /dev/urandom >"$www/file"
wanted=$(sha "$www/file")
nginx_up nginx 80 || die "nginx did not start."
export SLUICE_LOG=info

# by_kernel NAME RUN PATTERN OUT   The file came, the stack opened nothing, the kernel did, and the log says why.
by_kernel() {
    same "$1: works" "$(sha "$4" 2>&1)" "$wanted"
    rm -f "$4"
    [ -z "$KERNEL_ONLY" ] || return
    same "$1: not by the stack" "$(stat_of "$2" TcpActiveOpens)" 0
    [ -n "$3" ] || return # what the user asked for needs no explanation
    check "$1: says why" "$(head -n 5 "$SCRATCH/$2.log")" grep -qiE "$3" "$SCRATCH/$2.log"
    grep -iE "$3" "$SCRATCH/$2.log" | head -n 1 | sed 's/^/#   /'
}

# no privilege: the library where anybody can read it
cp "$BUILD/sluice" "$BUILD/libsluice.so" "$SCRATCH/bin/" 2>/dev/null
chmod 755 "$SCRATCH/bin" "$SCRATCH/bin/"* 2>/dev/null
launcher=("${SL[@]}")
[ -n "$KERNEL_ONLY" ] || SL[${#SL[@]} - 1]=$SCRATCH/bin/sluice
program=("${SL[@]}")
SL=(setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs)
sl nobody "${program[@]}" curl -sS -o "$SCRATCH/nobody.out" "http://$ADDR_S/file" 2>"$SCRATCH/nobody.log"
SL=("${launcher[@]}")
by_kernel "without privilege" nobody 'left to the kernel.*privilege' "$SCRATCH/nobody.out"

# loopback
serve lo c 8000 "$PYTHON" -m http.server -b 127.0.0.1 -d "$www" 8000
sl loopback curl -sS -o "$SCRATCH/lo.out" http://127.0.0.1:8000/file 2>"$SCRATCH/loopback.log"
by_kernel "loopback" loopback 'loopback|127\.0\.0\.1' "$SCRATCH/lo.out"

# switched off, by policy, per device, and per kind of socket
SLUICE_ACCELERATE=off sl off curl -sS -o "$SCRATCH/off.out" "http://$ADDR_S/file" 2>"$SCRATCH/off.log"
by_kernel "accelerate=off" off '' "$SCRATCH/off.out"
SLUICE_DEV=nosuch0 sl dev curl -sS -o "$SCRATCH/dev.out" "http://$ADDR_S/file" 2>"$SCRATCH/dev.log"
by_kernel "dev= names another interface" dev "$DEV" "$SCRATCH/dev.out"
SLUICE_MODE=zero-copy sl zerocopy curl -sS -o "$SCRATCH/zc.out" "http://$ADDR_S/file" 2>"$SCRATCH/zerocopy.log"
by_kernel "mode=zero-copy on a driver without it" zerocopy "$DEV: .*option mode=zero-copy asks for" "$SCRATCH/zc.out"

# a firewall that the stack's packets would not meet
if "${IN_C[@]}" nft -f - <<'N' 2>/dev/null; then
table inet fw {
    chain in { type filter hook input priority 0; policy accept; tcp dport 22 drop; }
}
N
    sl firewall curl -sS -o "$SCRATCH/fw.out" "http://$ADDR_S/file" 2>"$SCRATCH/firewall.log"
    by_kernel "a host with firewall rules" firewall 'firewall|nftables|rules' "$SCRATCH/fw.out"
    SLUICE_FIREWALL=ignore sl fwignore curl -sS -o "$SCRATCH/fw.out" "http://$ADDR_S/file" 2>/dev/null
    same "firewall=ignore: works" "$(sha "$SCRATCH/fw.out")" "$wanted"
    served_by_stack "firewall=ignore: through the stack" fwignore
    "${IN_C[@]}" nft delete table inet fw
else
    skip "a host with firewall rules" "this kernel has no nftables"
fi

# a queue that another program has
if [ -z "$KERNEL_ONLY" ]; then
    sl holder curl -sS --limit-rate 8M -o /dev/null "http://$ADDR_S/file" 2>/dev/null &
    holder=$!
    sleep 0.5
    sl second curl -sS -o "$SCRATCH/second.out" "http://$ADDR_S/file" 2>"$SCRATCH/second.log"
    by_kernel "no free queue" second 'left to the kernel.*(queue|in use|another XDP program)' "$SCRATCH/second.out"
    wait $holder
fi

# IPv6
if [ -d /proc/sys/net/ipv6 ] && for side in C S; do
    in="IN_${side}[@]"
    "${!in}" sh -c "echo 0 >/proc/sys/net/ipv6/conf/all/disable_ipv6; echo 0 >/proc/sys/net/ipv6/conf/$DEV/disable_ipv6; ip addr add fd00:77::$([ $side = C ] && echo 1 || echo 2)/64 dev $DEV nodad" || false
done; then
    serve six s 8006 "$PYTHON" -m http.server -b fd00:77::2 -d "$www" 8006
    sl ipv6 curl -sS -g -o "$SCRATCH/six.out" 'http://[fd00:77::2]:8006/file' 2>"$SCRATCH/ipv6.log"
    by_kernel "IPv6" ipv6 'IPv6' "$SCRATCH/six.out"
    sl mapped curl -sS -g -o "$SCRATCH/mapped.out" "http://[::ffff:$ADDR_S]/file" 2>"$SCRATCH/mapped.log"
    same "an AF_INET6 socket to an IPv4 address: works" "$(sha "$SCRATCH/mapped.out" 2>&1)" "$wanted"
    served_by_stack "an AF_INET6 socket to an IPv4 address: through the stack" mapped
else
    skip "IPv6" "this kernel has none"
fi

# The errors are the kernel's own.
errno_of() { # ADDRESS PORT [TIMEOUT]
    sl errno "$PYTHON" -c 'import errno, socket, sys
s = socket.socket(); s.settimeout(float(sys.argv[3])) if len(sys.argv) > 3 else None
try: print(errno.errorcode.get(s.connect_ex((sys.argv[1], int(sys.argv[2]))), 0))
except OSError as e: print("raised", e)' "$@" 2>/dev/null
}
same "unroutable destination" "$(errno_of 192.0.2.1 80)" ENETUNREACH
same "nobody listens" "$(errno_of "$ADDR_S" 9)" ECONNREFUSED
if [ -z "$KERNEL_ONLY" ]; then
    wanted_errno=$("${IN_C[@]}" "$PYTHON" -c 'import errno, socket, sys
print(errno.errorcode.get(socket.socket().connect_ex((sys.argv[1], 80)), 0))' "${ADDR_S%.*}.99")
    same "no such neighbour" "$(errno_of "${ADDR_S%.*}.99" 80)" "$wanted_errno"
fi

# Wrong options, and the statuses of env(1)
if [ -z "$KERNEL_ONLY" ]; then
    unset SLUICE_LOG
    status() { timeout 20 "${IN_C[@]}" "$@" >"$SCRATCH/out" 2>"$SCRATCH/err"; echo $?; }
    same "unknown option: status" "$(status "${SL[@]}" -o bogus=1 touch "$SCRATCH/started")" 125
    check "unknown option: its name is said" "$(cat "$SCRATCH/err")" grep -q bogus "$SCRATCH/err"
    same "malformed value: status" "$(status "${SL[@]}" -o spin=banana touch "$SCRATCH/started")" 125
    check "malformed value: option and value are said" "$(cat "$SCRATCH/err")" eval 'grep -q spin "$SCRATCH/err" && grep -q banana "$SCRATCH/err"'
    same "malformed environment: status" "$(status env SLUICE_SPIN=banana "${SL[@]}" touch "$SCRATCH/started")" 125
    same "the program was not started" "$(ls "$SCRATCH/started" 2>/dev/null)" ""
    same "no such program" "$(status "${SL[@]}" /no/such/program)" 127
    touch "$SCRATCH/plain"
    same "a file that is no program" "$(status "${SL[@]}" "$SCRATCH/plain")" 126
    same "the program's own status" "$(status "${SL[@]}" sh -c 'exit 42')" 42
    same "a log file that cannot be written: status" "$(status "${SL[@]}" --log=info -o log_file=/no/such/log curl -sS -o /dev/null "http://$ADDR_S/file")" 0
    check "a log file that cannot be written: a sentence, and the log" "$(cat "$SCRATCH/err")" \
        eval 'grep -q "the log file /no/such/log cannot be written" "$SCRATCH/err" && grep -q "info: $DEV: AF_XDP" "$SCRATCH/err"'
    status "${SL[@]}" --log=info -o "log_file=$SCRATCH/log.%p" "$PYTHON" -c 'import os, socket, sys
def talk():
    socket.create_connection((sys.argv[1], 80), 10).close()
talk()
child = os.fork()
if not child:
    talk()
    os._exit(0)
os.waitpid(child, 0)' "$ADDR_S" >/dev/null
    same "%p in a log file: a forked child writes its own" "$(find "$SCRATCH" -name 'log.[0-9]*' | wc -l)" 2
    same "nothing runs: no header alone" "$(status "$BUILD/sluicectl" ss; cat "$SCRATCH/out")" 0
    same "doctor of a process: status" "$(status "$BUILD/sluicectl" doctor 1)" 1
    same "no descriptor, program or map is left" "$("${IN_C[@]}" ip link show "$DEV" | grep -c xdp)" 0
fi
report_end
