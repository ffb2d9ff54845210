#!/bin/bash
# SPDX-License-Identifier: MIT
# run.sh [--no-app] [WORD]   Run the tests (those whose path has WORD) and end with one line of totals.
#
# Three kinds: tests/check/*.sh (structure), Criterion programs (BUILD/tests/*/*_test), tests/app/*.sh (real
# programs in network namespaces, root). All speak TAP lines ("ok - name", "not ok - name", "# SKIP why"), which
# is what is counted; a program that dies or runs out of time counts as one failure more.
set -u
cd "$(dirname "$0")/.." || exit 1
export BUILD=${BUILD:-build} SAN=${SAN:-}
app=1
[ "${1:-}" = --no-app ] && { app=; shift; }
only=${1:-}
passed=0 failed=0 skipped=0
failures=()
out=$(mktemp -d "${TMPDIR:-/tmp}/sluice-test.XXXXXX")
current=
cleanup() { rm -rf "$out"; }
trap cleanup EXIT
trap '[ -z "$current" ] || { kill "$current" 2>/dev/null; wait "$current"; }; echo "Interrupted."; exit 130' INT TERM
slow=1
[ -n "$SAN" ] && slow=4
programs=(tests/unit/*_test.c tests/tcp/*_test.c tests/sim/*_test.c)
[ "$SAN" != thread ] || programs=(tests/unit/*_threads_test.c) # see tests/lib/tinytest.h

# count NAME TAPFILE STATUS   Add up one program's lines; STATUS is its exit status.
count() {
    local name=$1 tap=$2 rc=$3 p f s
    s=$(grep -ciE '^(not )?ok\b.*# *skip' "$tap")
    f=$(grep -iE '^not ok\b' "$tap" | grep -viEc '# *skip')
    p=$(grep -iE '^ok\b' "$tap" | grep -viEc '# *skip')
    if [ $((p + f + s)) -eq 0 ]; then # a script that only says "N checks, M failed"
        read -r p f < <(sed -n 's/^.*: \([0-9]*\) checks, \([0-9]*\) failed$/\1 \2/p' "$tap" | tail -n 1)
        p=$((${p:-0} - ${f:-0})) f=${f:-0}
    fi
    if [ "$rc" -eq 124 ] || [ "$rc" -eq 137 ]; then
        echo "not ok - $name ran out of time" | tee -a "$out/said"
        failures+=("$name: ran out of time") f=$((f + 1))
    elif [ "$rc" -ne 0 ] && [ "$f" -eq 0 ]; then
        failures+=("$name: exit status $rc") f=$((f + 1))
    elif [ "$rc" -eq 0 ] && [ $((p + f + s)) -eq 0 ]; then
        failures+=("$name: ran no test") f=1
    fi
    while IFS= read -r line; do failures+=("$name: ${line#not ok - }"); done \
        < <(grep -iE '^not ok\b' "$tap" | grep -viE '# *skip')
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    last="$p passed, $f failed$([ "$s" -eq 0 ] || echo ", $s skipped")"
}

# bounded SECONDS CMD...   In the background, so that Ctrl-C reaches this script's trap at once.
bounded() {
    local limit=$(($1 * slow))
    shift
    timeout -k 15 "$limit" "$@" &
    current=$!
    wait "$current"
    local rc=$?
    current=
    return $rc
}

selected() { [ -z "$only" ] || [[ $1 == *$only* ]]; }

export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=0:abort_on_error=0}" UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1}"

for t in tests/check/*.sh; do
    [ -e "$t" ] && selected "$t" || continue
    echo "# $t"
    : >"$out/tap"
    bounded 120 bash "$t" > >(trap "" INT TERM; exec tee "$out/tap") 2>&1
    rc=$?
    sleep 0.05 # the tee above may still be writing
    count "$t" "$out/tap" $rc
done

for src in "${programs[@]}"; do
    [ -e "$src" ] && selected "$src" || continue
    t=$BUILD/${src%.c} start=$(date +%s%N)
    printf '# %-44s ' "$src"
    if [ ! -x "$t" ]; then
        echo "not built"
        failures+=("$src: not built") failed=$((failed + 1))
        continue
    fi
    : >"$out/tap"
    bounded 180 "$t" --tap="$out/tap" --timeout=$((150 * slow)) >"$out/text" 2>&1
    rc=$?
    before=$failed
    count "$src" "$out/tap" $rc
    if [ "$failed" -eq $before ] && grep -q 'Assertion Failed' "$out/text"; then # Criterion does not count those
        failures+=("$src: an assertion failed at the end of a test, in its fixture") failed=$((failed + 1))
        last="$last, and an assertion in a fixture"
    fi
    echo "$last  ($((($(date +%s%N) - start) / 1000000)) ms)"
    grep '^# ' "$out/text" # what a program wants to be seen
    [ "$failed" -eq $before ] || tail -n 60 "$out/text"
done

# make test alone (it builds them): the threaded tests under ThreadSanitizer, and 30 s of each fuzz target.
if [ -n "$app" ] && [ -z "$SAN" ]; then
    for src in tests/unit/*_threads_test.c; do
        t=build-thread/${src%.c}
        selected "$t" || continue
        printf '# %-44s ' "$t"
        : >"$out/tap"
        bounded 180 "$t" --tap="$out/tap" --timeout=120 >"$out/text" 2>&1
        rc=$? before=$failed
        count "$t" "$out/tap" $rc
        echo "$last"
        [ "$failed" -eq $before ] || grep -A40 -m1 'WARNING: ThreadSanitizer\|failed:' "$out/text"
    done
    if selected tests/fuzz; then
        echo "# tests/fuzz"
        : >"$out/tap"
        FUZZ_SEED=${FUZZ_SEED:-1} bounded 300 tests/fuzz/run.sh "${FUZZ_SECONDS:-30}" > >(trap "" INT TERM; exec tee "$out/tap") 2>&1
        rc=$?
        sleep 0.05
        count tests/fuzz "$out/tap" $rc
    fi
fi

if [ -n "$app" ]; then
    for t in tests/app/*.sh; do
        [ "$t" != tests/app/demo.sh ] && selected "$t" || continue
        echo "# $t"
        if [ "$(id -u)" != 0 ]; then
            echo "ok - $t # SKIP needs root for network namespaces: sudo make test"
            skipped=$((skipped + 1))
            continue
        fi
        : >"$out/tap"
        bounded 300 bash "$t" "$BUILD" > >(trap "" INT TERM; exec tee "$out/tap") 2>&1
        rc=$?
        sleep 0.05
        count "$t" "$out/tap" $rc
    done
fi

if [ ${#failures[@]} -gt 0 ]; then
    echo
    echo "Failed:"
    printf '  %s\n' "${failures[@]}"
fi
echo
if [ $skipped -gt 0 ]; then
    echo "$passed passed, $failed failed, $skipped skipped"
else
    echo "$passed passed, $failed failed"
fi
[ $failed -eq 0 ] && [ $passed -gt 0 ]
