#!/bin/bash
# SPDX-License-Identifier: MIT
# Many connections: 64 at once in one curl, and 200 curls one after another.
set -u
. "$(dirname "$0")/../lib/netns.sh"
. "$(dirname "$0")/../lib/report.sh"
netns_up parallel
www=$SCRATCH/www
mkdir -p "$www" "$SCRATCH/got"
for i in $(seq 64); do
    head -c $((500000 + i * 7919)) /dev/urandom >"$www/f$i"
    printf 'url = "http://%s/f%s"\noutput = "%s/got/f%s"\n' "$ADDR_S" "$i" "$SCRATCH" "$i" >>"$SCRATCH/list"
done
head -c 30000000 /dev/urandom >"$www/long"
(cd "$www" && sha256sum f*) >"$SCRATCH/sums"
nginx_up nginx 80 || die "nginx did not start."

equal() { (cd "$SCRATCH/got" && sha256sum --quiet -c "$SCRATCH/sums" 2>&1); }
LIMIT=120 sl many curl -sS --no-progress-meter --parallel --parallel-immediate --parallel-max 64 -K "$SCRATCH/list"
rc=$?
bad=$(equal)
check "64 parallel downloads by one curl are equal" "curl's status $rc; $bad" [ $rc$? = 00 -a -z "$bad" ]
served_by_stack "64 parallel downloads: through the stack" many
[ -n "$KERNEL_ONLY" ] || check "64 parallel downloads: 64 connections of the stack" "TcpActiveOpens is $(stat_of many TcpActiveOpens)" \
    [ "$(stat_of many TcpActiveOpens)" -ge 64 ]

# Two programs at once on one interface: the second finds the queue taken and still works.
sl first curl -sS --limit-rate 8M -o "$SCRATCH/one" "http://$ADDR_S/long" &
first=$!
sleep 0.3
rm -f "$SCRATCH/second.stats."*
timeout 30 "${IN_C[@]}" env "$(stats_env second)" SLUICE_LOG=info "${SL[@]}" curl -sS -o "$SCRATCH/two" "http://$ADDR_S/f2" 2>"$SCRATCH/second.log"
wait $first
check "two programs at once on one interface" "the files differ: $(tail -n 3 "$SCRATCH/second.log")" \
    eval 'cmp -s "$SCRATCH/one" "$www/long" && cmp -s "$SCRATCH/two" "$www/f2"'

rm -f "$SCRATCH"/seq.stats.*
cat >"$SCRATCH/seq.sh" <<'S'
bad=0
for i in $(seq 200); do
    n=$((i % 64 + 1))
    timeout 20 "$@" curl -sS -o "$SCRATCH/seq.out" "http://$ADDR_S/f$n" 2>"$SCRATCH/seq.err" && cmp "$SCRATCH/seq.out" "$SCRATCH/www/f$n" 2>>"$SCRATCH/seq.err"
    rc=$?
    cat "$SCRATCH/seq.err" >&2
    if [ $rc != 0 ]; then
        bad=$((bad + 1))
        { echo "curl $i ended with status $rc:"; tail -n 30 "$SCRATCH/seq.err"; } >>"$SCRATCH/seq.bad"
    fi
    rm -f "$SCRATCH/seq.out"
done
echo $bad
S
export SCRATCH ADDR_S
start=$(date +%s%N)
bad=$(run "${IN_C[@]}" env "$(stats_env seq)" SLUICE_LOG=info bash "$SCRATCH/seq.sh" "${SL[@]}" 2>"$SCRATCH/seq.log")
same "200 curls one after another: how many differ" "$bad" 0
[ ! -e "$SCRATCH/seq.bad" ] || sed 's/^/# /' "$SCRATCH/seq.bad"
echo "# 200 curls took $((($(date +%s%N) - start) / 1000000)) ms"
if [ -z "$KERNEL_ONLY" ]; then
    check "200 curls: every one through the stack" "$(stat_of seq TcpActiveOpens) of 200; $(grep 'left to the kernel' "$SCRATCH/seq.log" | sort | uniq -c)" \
        [ "$(stat_of seq TcpActiveOpens)" = 200 ]
fi
report_end
