#!/bin/bash
# SPDX-License-Identifier: MIT
# Through a link that loses, reorders and doubles packets the same bytes arrive.
set -u
. "$(dirname "$0")/../lib/netns.sh"
. "$(dirname "$0")/../lib/report.sh"
netns_up lossy
www=$SCRATCH/www
mkdir -p "$www"
head -c 16777216 /dev/urandom >"$www/file"
wanted=$(sha "$www/file")
nginx_up nginx 80 || die "nginx did not start."
url=http://$ADDR_S

# both NAME TAG   A download and an upload under the conditions of now
both() {
    LIMIT=120 sl "$2-down" curl -sS -o "$SCRATCH/$2.out" "$url/file"
    same "$1: download" "$(sha "$SCRATCH/$2.out" 2>&1)" "$wanted"
    served_by_stack "$1: download through the stack" "$2-down"
    LIMIT=120 sl "$2-up" curl -sS -f -T "$www/file" "$url/$2.up"
    same "$1: upload" "$(sha "$www/$2.up" 2>&1)" "$wanted"
    served_by_stack "$1: upload through the stack" "$2-up"
    rm -f "$SCRATCH/$2.out" "$www/$2.up"
}

# 2 % each way, at the peer: what comes in, and what goes out
if "${IN_S[@]}" nft -f - <<N; then
table netdev lossy {
    chain in { type filter hook ingress device "$DEV" priority 0; policy accept; numgen random mod 100 < 2 counter drop; }
    chain out { type filter hook egress device "$DEV" priority 0; policy accept; numgen random mod 100 < 2 counter drop; }
}
N
    both "2 % lost each way by nftables" nft
    lost=$("${IN_S[@]}" nft list table netdev lossy | grep -o 'counter packets [0-9]*' | awk '{ n += $3 } END { print n + 0 }')
    check "nftables did lose packets" "its counters say $lost" [ "$lost" -gt 4 ]
    [ -n "$KERNEL_ONLY" ] || check "lost segments were sent again" "TcpRetransSegs of the upload is $(stat_of nft-up TcpRetransSegs)" [ "$(stat_of nft-up TcpRetransSegs)" -gt 0 ]
    "${IN_S[@]}" nft delete table netdev lossy
else
    skip "2 % lost each way by nftables" "this kernel has no nftables netdev hooks"
fi

if "${IN_S[@]}" tc qdisc add dev "$DEV" root netem delay 1ms reorder 95% 50% 2>/dev/null; then
    both "reordered by the peer's netem" netem
    "${IN_S[@]}" tc qdisc del dev "$DEV" root
else
    skip "reordered by the peer's netem" "this kernel has no sch_netem"
fi

if [ -z "$KERNEL_ONLY" ]; then
    export SLUICE_FAULT=loss=20000,reorder=20000,dup=10000,seed=7
    both "2 % lost, 2 % reordered, 1 % doubled by the fault device" fault
    export SLUICE_FAULT=corrupt=10000,seed=11
    both "1 % corrupted by the fault device" corrupt
    unset SLUICE_FAULT
fi
report_end
