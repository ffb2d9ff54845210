#!/bin/bash
# SPDX-License-Identifier: MIT
# An address of the stack's own (-o address=): it answers ARP and ping itself, connects and accepts, and the kernel
# keeps its own address beside it.
set -u
. "$(dirname "$0")/../lib/netns.sh"
. "$(dirname "$0")/../lib/report.sh"
[ -z "$KERNEL_ONLY" ] || { skip "an address of the stack's own" "runs on the kernel's TCP (SLUICE=env)"; report_end; }
netns_up own
own=${ADDR_C%.*}.9
www=$SCRATCH/www
mkdir -p "$www"
head -c 4M /dev/urandom >"$www/f"
wanted=$(sha "$www/f")
nginx_up nginx 8080 || die "nginx did not start."
peer() { run timeout --foreground -k 5 "${LIMIT:-30}" "${IN_S[@]}" "$@"; }
pings() { peer ping -c 3 -i 0.2 -W 2 "$1" >"$SCRATCH/ping" 2>&1; }
export SLUICE_DEV=$DEV SLUICE_ADDRESS=$own/24

sl get curl -sS -o "$SCRATCH/got" "http://$ADDR_S:8080/f"
same "a download" "$(sha "$SCRATCH/got" 2>&1)" "$wanted"
served_by_stack "a download: through the stack" get
check "the peer knows it by the stack's own address" "$(peer ip neigh)" \
    eval 'peer ip neigh | grep -q "^$own dev .* lladdr"'

if serve http cs 8099 "$PYTHON" -m http.server -d "$www" 8099; then
    peer curl -sS -m 20 -o "$SCRATCH/served" "http://$own:8099/f"
    same "a server" "$(sha "$SCRATCH/served" 2>&1)" "$wanted"
    check "the stack answers ping" "$(cat "$SCRATCH/ping" 2>&1)" pings "$own"
    check "the kernel answers ping at its own address" "$(cat "$SCRATCH/ping" 2>&1)" pings "$ADDR_C"
    stop http -INT
    served_by_stack "a server: through the stack" http TcpPassiveOpens
else
    not_ok "a server" "it did not start"
fi
check "nobody answers once the program has ended" "something answers ping at $own" eval '! pings "$own"'

# Another host that has the address answers our probe: the kernel serves then, and the address is left alone.
peer ip addr add "$own/32" dev "$DEV"
sl taken --log=info curl -sS -o "$SCRATCH/got2" "http://$ADDR_S:8080/f" 2>"$SCRATCH/log"
same "an address that another host has: the kernel serves" "$(sha "$SCRATCH/got2" 2>&1)" "$wanted"
check "an address that another host has: says why" "$(cat "$SCRATCH/log")" \
    grep -q "left to the kernel.*another host on the link has this address" "$SCRATCH/log"
peer ip addr del "$own/32" dev "$DEV"

# So with an address of the kernel's here (no probe finds it), and an interface that there is not.
refused() { # NAME SENTENCE OPTION...
    local name=$1 sentence=$2
    shift 2
    sl refused "$@" --log=info curl -sS -o "$SCRATCH/got" "http://$ADDR_S:8080/f" 2>"$SCRATCH/log"
    same "$name: the kernel serves" "$(sha "$SCRATCH/got" 2>&1)" "$wanted"
    check "$name: says why" "$(cat "$SCRATCH/log")" grep -q "left to the kernel.*$sentence" "$SCRATCH/log"
}
refused "an address that this host has" "this host has the address already" -o "address=$ADDR_C/24"
refused "an interface that there is not" "there is no interface 'nosuch'" -o dev=nosuch
report_end
