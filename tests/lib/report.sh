# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Results as TAP lines; tests/run.sh counts them. The script's exit status is report_end's.
REPORT_FAILED=0

ok() { echo "ok - $1"; }
not_ok() { # NAME [DETAIL]
    echo "not ok - $1"
    [ -z "${2:-}" ] || sed 's/^/#   /' <<<"$2"
    REPORT_FAILED=$((REPORT_FAILED + 1))
}
skip() { echo "ok - $1 # SKIP $2"; }
# check NAME DETAIL-ON-FAILURE CMD...   ok when CMD succeeds
check() {
    local name=$1 detail=$2
    shift 2
    if "$@"; then ok "$name"; else not_ok "$name" "$detail"; fi
}
same() { # NAME GOT WANTED
    if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "got    $2"$'\n'"wanted $3"; fi
}
# served_by_stack NAME RUN [COUNTER [SEGMENTS]]   The run's connections were the stack's: its counters say so, and
# at least so many segments (3) came in.
served_by_stack() {
    local name=$1 run=$2 counter=${3:-TcpActiveOpens} opens segs
    if [ -n "$KERNEL_ONLY" ]; then
        skip "$name" "runs on the kernel's TCP (SLUICE=env)"
        return
    fi
    opens=$(stat_of "$run" "$counter") segs=$(stat_of "$run" TcpInSegs)
    if [ "${opens:-0}" -ge 1 ] 2>/dev/null && [ "${segs:-0}" -ge "${4:-3}" ] 2>/dev/null; then
        ok "$name"
    else
        not_ok "$name" "the stack's counters: $counter ${opens:-none}, TcpInSegs ${segs:-none}"
    fi
}
report_end() { exit $((REPORT_FAILED > 0)); }
