#!/bin/bash
# SPDX-License-Identifier: MIT
# run.sh SECONDS [TARGET...]   Run the fuzz targets of build-fuzz, two at a time, each for so long. TAP lines; a crash
# leaves its input in build-fuzz/crashes and says how to run it again. The corpus in build-fuzz/corpus grows from run to run.
# FUZZ_SEED=n: the same inputs in the same order (0, the default: new ones each time); make test uses 1.
set -u
cd "$(dirname "$0")/../.." || exit 1
seconds=${1:-30}
shift
B=build-fuzz
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(tcp options fragment arp cookie)
export ASAN_OPTIONS="abort_on_error=1:detect_leaks=${FUZZ_LEAKS:-0}:allocator_may_return_null=1:quarantine_size_mb=16:malloc_context_size=5${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1"
mkdir -p "$B/crashes"
declare -A pid
failed=0
trap 'for p in "${pid[@]}"; do kill "$p" 2>/dev/null; done; exit 130' INT TERM

start() {
    local t=$1
    tests/fuzz/seeds.py "$t" "$B/seeds/$t" && mkdir -p "$B/corpus/$t" || return 1
    "$B/${t}_fuzz" -max_total_time="$seconds" -max_len=600 -timeout=60 -seed="${FUZZ_SEED:-0}" -rss_limit_mb=1500 -print_final_stats=1 -entropic=0 \
        -artifact_prefix="$B/crashes/$t-" "$B/corpus/$t" "$B/seeds/$t" >"$B/$t.log" 2>&1 &
    pid[$t]=$!
}

finish() {
    local t=$1 rc runs cov
    wait "${pid[$t]}"
    rc=$?
    unset "pid[$t]"
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$B/$t.log")
    cov=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$B/$t.log" | tail -n 1)
    if [ $rc -eq 0 ]; then
        echo "ok - fuzz $t: ${runs:-?} inputs in $seconds s, ${cov:-?} edges"
    else
        echo "not ok - fuzz $t: status $rc; the input lies in $B/crashes; again with: $B/${t}_fuzz FILE"
        grep -vE '^#[0-9]+\s+(NEW|REDUCE|pulse|RELOAD|INITED)' "$B/$t.log" | head -n 60
        failed=1
    fi
}

for ((i = 0; i < ${#targets[@]}; i += 2)); do
    for t in "${targets[@]:i:2}"; do
        start "$t" || { echo "not ok - fuzz $t: no seeds"; failed=1; }
    done
    for t in "${targets[@]:i:2}"; do
        [ -z "${pid[$t]:-}" ] || finish "$t"
    done
done
exit $failed
