#!/bin/bash
# SPDX-License-Identifier: MIT
# The demo: nginx on the kernel's TCP in one network namespace, an unmodified curl on ours in another; a file down
# and a file up, compared, with the counters of both stacks.
# DEMO_DOWN, DEMO_UP: sizes in MiB (1024 and 256).
set -u
. "$(dirname "$0")/../lib/netns.sh"
down=${DEMO_DOWN:-1024} up=${DEMO_UP:-256}
bold='' dim='' off=''
if [ -t 1 ] && [ "${TERM:-dumb}" != dumb ]; then bold=$'\e[1m' dim=$'\e[2m' off=$'\e[0m'; fi
say() { echo "$dim$*$off"; }

[[ $down =~ ^[1-9][0-9]*$ && $up =~ ^[1-9][0-9]*$ && $up -le $down ]] ||
    die "DEMO_DOWN=$down and DEMO_UP=$up are not right: whole MiB, and no more up than down."
command -v curl >/dev/null || die "curl is not installed; run make deps."

# The files live in memory where there is room, so that the disk is not what is measured.
need=$((down * 2 + up * 2 + 64))
room() { df -Pm "$1" 2>/dev/null | awk 'NR == 2 { print $4 }'; }
free=$(awk '/^MemAvailable/ { print int($2 / 1024) }' /proc/meminfo)
if [ -z "${NETNS_SCRATCH:-}" ]; then
    NETNS_SCRATCH=${TMPDIR:-/tmp}
    [ "$(room /dev/shm || echo 0)" -gt $need ] && [ "$free" -gt $((need + 1024)) ] && NETNS_SCRATCH=/dev/shm
fi
[ "$(room "$NETNS_SCRATCH")" -gt $need ] || die "$NETNS_SCRATCH has less than $need MiB free; name a directory with more in TMPDIR."

netns_up demo
www=$SCRATCH/www
mkdir -p "$www"
url=http://$ADDR_S:8080

say "$([ -n "${NETNS_GIVEN:-}" ] && echo "Two network devices" || echo "Two namespaces, one veth pair"): curl at $ADDR_C, nginx at $ADDR_S."
say "Making $down MiB of random bytes ..."
run head -c "${down}M" /dev/urandom >"$www/down.bin" || die "could not write $www/down.bin."
head -c "${up}M" "$www/down.bin" >"$SCRATCH/up.bin" || die "could not write $SCRATCH/up.bin."
nginx_up nginx 8080 || die "nginx did not start."

declare -A R
meter=(-sS)
[ -t 2 ] && [ "${TERM:-dumb}" != dumb ] && meter=(-#)
# transfer WHICH ARG...   One curl under sluice; leaves what it did in R[WHICH.*].
transfer() {
    local which=$1 in0 out0 rc
    shift
    in0=$(kernel_tcp InSegs) out0=$(kernel_tcp OutSegs)
    LIMIT=${DEMO_LIMIT:-180} sl "$which" curl "${meter[@]}" -f -w '%{time_total} %{size_download} %{size_upload}\n' "$@" "$url/$which.bin" >"$SCRATCH/$which.w"
    rc=$?
    [ $rc -eq 0 ] || die "curl failed with status $rc$([ $rc -ne 124 ] || echo " (out of time)")."
    read -r "R[$which.seconds]" d u <"$SCRATCH/$which.w"
    R[$which.bytes]=$((${d%.*} + ${u%.*}))
    R[$which.kin]=$(($(kernel_tcp InSegs) - in0)) R[$which.kout]=$(($(kernel_tcp OutSegs) - out0))
    R[$which.gbps]=$(awk -v b="${R[$which.bytes]}" -v s="${R[$which.seconds]}" 'BEGIN { printf "%.2f", b * 8 / s / 1e9 }')
    for key in TcpInSegs TcpOutSegs TcpRetransSegs mode; do
        R[$which.$key]=-
        [ -n "$KERNEL_ONLY" ] || R[$which.$key]=$(stat_of "$which" $key)
    done
}

say "sluice curl: $down MiB down ..."
transfer down -o "$SCRATCH/got.bin"
say "Comparing SHA-256 ..."
wanted=$(sha "$www/down.bin")
got=$(sha "$SCRATCH/got.bin")
R[down.sha]=$([ "$wanted" = "$got" ] && echo equal || echo DIFFERENT)
rm -f "$SCRATCH/got.bin"
say "sluice curl: $up MiB up (PUT) ..."
transfer up -o /dev/null -T "$SCRATCH/up.bin"
R[up.sha]=$([ "$(sha "$SCRATCH/up.bin")" = "$(sha "$www/up.bin")" ] && echo equal || echo DIFFERENT)

row() { printf '  %-34s %18s %18s\n' "$1" "${R[down.$2]}" "${R[up.$2]}"; }
echo
printf '%s  %-34s %18s %18s%s\n' "$bold" "" download "upload (PUT)" "$off"
row "bytes" bytes
row "seconds" seconds
row "Gb/s" gbps
row "segments sent by the stack" TcpOutSegs
row "segments received by the stack" TcpInSegs
row "segments retransmitted" TcpRetransSegs
row "segments sent by the kernel's TCP" kout
row "segments received by the kernel's" kin
row "SHA-256" sha
printf '  %-34s %s\n\n' "interface bound as" "${R[down.mode]}"

[ "${R[down.sha]}${R[up.sha]}" = equalequal ] || die "the bytes that arrived are not the bytes that were sent."
if [ -n "$KERNEL_ONLY" ]; then
    echo "The kernel's TCP did this, not sluice (SLUICE=$SLUICE)."
    exit 0
fi
stack=$((${R[down.TcpInSegs]} + ${R[down.TcpOutSegs]} + ${R[up.TcpInSegs]} + ${R[up.TcpOutSegs]}))
kernel=$((${R[down.kin]} + ${R[down.kout]} + ${R[up.kin]} + ${R[up.kout]}))
# The proof: our stack counted what so many bytes need at the least (whole super-frames), the kernel next to nothing.
[ $stack -gt $(((down + up) * 4)) ] || die "the stack counted only $stack segments: the kernel carried these bytes. SLUICE_LOG=info says why."
[ $kernel -lt $((stack / 100 + 10)) ] || die "the kernel's own TCP counted $kernel segments of this traffic."
echo "${bold}Both files arrived unchanged, through $stack segments of our own stack; the kernel's TCP in that namespace counted $kernel.$off"
