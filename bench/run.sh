#!/bin/bash
# SPDX-License-Identifier: MIT
# The kernel and sluice in turn on the same veth pair, the far end always on the kernel's TCP. Prints a table and
# writes BUILD/bench.json. QUICK=1: 3 rounds of 1 s; else 7 rounds of 3 s. Both namespaces use cubic.
set -u
. "$(dirname "$0")/../tests/lib/netns.sh"
[ -z "$KERNEL_ONLY" ] || echo "SLUICE=$SLUICE: the column of sluice is the kernel's as well."
if [ "${QUICK:-}" = 1 ]; then rounds=3 seconds=1; else rounds=7 seconds=3; fi
rounds=${ROUNDS:-$rounds} seconds=${SECONDS_EACH:-$seconds}
bin=$BUILD/bench
[ -x "$bin/peer" ] || die "$bin/peer is not built; run make bench."
netns_up bench
for ns in "$NS_C" "$NS_S"; do ip netns exec "$ns" sysctl -qw net.ipv4.tcp_congestion_control=cubic 2>/dev/null; done

cores=$(nproc)
near=() far=() placement="one core"
[ "$cores" -lt 2 ] || near=(taskset -c 0) far=(taskset -c 1) placement="client on core 0, peer on core 1 of $cores"
results=$SCRATCH/results
serve peer s 7000 "${far[@]}" "$bin/peer" "$ADDR_S" 7000 || die "the peer did not start."
serve free s 7001 "$bin/peer" "$ADDR_S" 7001 || die "the peer did not start."

# one TEST STACK UNIT CMD...   Run it once, keep its first number.
one() {
    local test=$1 stack=$2 unit=$3 value
    shift 3
    case $stack in
    sluice*) value=$(LIMIT=$((seconds * 4 + 20)) sl bench "$@") ;;
    *) value=$(run timeout --foreground $((seconds * 4 + 20)) "${IN_C[@]}" "$@") ;;
    esac
    if [ -z "$value" ]; then
        echo "$test on $stack failed; it is left out of the table." >&2
        return
    fi
    if [[ $stack == sluice* && -z $KERNEL_ONLY && $(stat_of bench TcpActiveOpens) = 0 ]]; then
        echo "$test on $stack was not served by the stack; it is left out of the table (SLUICE_LOG=info says why)." >&2
        return
    fi
    printf '%s\t%s\t%s\t%s\n' "$test" "$stack" "$unit" "$value" >>"$results"
}
offload() { # on|off, at both ends
    "${IN_C[@]}" ethtool -K "$DEV" tso "$1" gso "$1" >/dev/null 2>&1
    "${IN_S[@]}" ethtool -K "$DEV" tso "$1" gso "$1" >/dev/null 2>&1
}

for ((round = 1; round <= rounds; round++)); do
    [ ! -t 2 ] || printf 'round %d of %d ...\r' $round $rounds >&2
    for stack in kernel sluice; do
        for way in up down; do
            one "one stream $way" $stack Gb/s "${near[@]}" "$bin/stream" "$ADDR_S" 7000 $way $seconds
        done
        for nagle in nagle nodelay; do
            one "64-byte writes, $nagle" $stack M/s "${near[@]}" "$bin/small" "$ADDR_S" 7000 64 $seconds $nagle
        done
        one "64-byte request/response" $stack us "${near[@]}" "$bin/rr" "$ADDR_S" 7000 64 $seconds
        one "the same, not pinned" $stack us "$bin/rr" "$ADDR_S" 7001 64 $seconds
    done
    SLUICE_PROFILE=latency one "64-byte request/response" "sluice -p latency" us "${near[@]}" "$bin/rr" "$ADDR_S" 7000 64 $seconds
    offload off
    for way in up down; do
        one "one stream $way" "kernel, no TSO/GSO" Gb/s "${near[@]}" "$bin/stream" "$ADDR_S" 7000 $way $seconds
    done
    offload on
done
mode=-
[ -n "$KERNEL_ONLY" ] || mode=$(stat_of bench mode)
[ -s "$results" ] || die "no measurement came through."
"$PYTHON" "$TOP/bench/report.py" "$results" "$BUILD/bench.json" "placement=$placement" "rounds=$rounds" "seconds=$seconds" \
    "kernel=$(uname -r)" "cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "mode=$mode" \
    "commit=$(git -C "$TOP" rev-parse --short HEAD 2>/dev/null)" "MTU=$("${IN_C[@]}" ip -o link show "$DEV" | sed 's/.* mtu \([0-9]*\).*/\1/')"
