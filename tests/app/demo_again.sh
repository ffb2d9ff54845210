#!/bin/bash
# SPDX-License-Identifier: MIT
# The demo, small: twice in a row, and interrupted; it cleans up after itself.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/report.sh
[ "$(id -u)" = 0 ] || { skip "the demo" "needs root"; exit 0; }
export DEMO_DOWN=48 DEMO_UP=16
out=$(mktemp)
trap 'rm -f "$out"; [ -z "${demo:-}" ] || kill "$demo" 2>/dev/null' EXIT
left() { ip netns list | grep -c '^sluice-demo-'; ls -d /tmp/sluice-demo.* /dev/shm/sluice-demo.* 2>/dev/null; }
before=$(left)

for n in first second; do
    timeout -k 5 120 tests/app/demo.sh >"$out" 2>&1
    rc=$?
    check "the demo, $n run" "status $rc: $(tail -n 12 "$out")" [ $rc = 0 ]
    same "the demo, $n run: nothing is left" "$(left)" "$before"
done
for key in bytes seconds Gb/s 'segments sent' retransmitted SHA-256 'bound as'; do
    check "the demo's table has: $key" "$(cat "$out")" grep -q -- "$key" "$out"
done

DEMO_DOWN=600 tests/app/demo.sh >"$out" 2>&1 &
demo=$!
for ((i = 0; i < 300; i++)); do
    grep -q 'MiB down' "$out" && break
    sleep 0.1
done
sleep 0.3
kill -TERM $demo # a script's background child ignores SIGINT; the same trap serves both
wait $demo
rc=$?
demo=
check "the demo, interrupted: status" "it is $rc" [ $rc -gt 128 ]
same "the demo, interrupted: nothing is left" "$(left)" "$before"
exit $((REPORT_FAILED > 0))
