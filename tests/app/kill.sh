#!/bin/bash
# SPDX-License-Identifier: MIT
# SIGKILL in mid-transfer leaves the network as it was: no program on the interface, no map, and the next run starts at once.
set -u
. "$(dirname "$0")/../lib/netns.sh"
. "$(dirname "$0")/../lib/report.sh"
netns_up kill
www=$SCRATCH/www
mkdir -p "$www"
head -c 268435456 /dev/urandom >"$www/file"
head -c 1000000 /dev/urandom >"$www/small"
nginx_up nginx 80 || die "nginx did not start."
export PATH=$PATH:/usr/sbin

# Program and map ids that processes of the client namespace hold, and those on the interface: ours, whoever else
# uses BPF on this machine. One "prog N" or "map N" a line.
ours() {
    local pids ids id
    pids=$(ip netns pids "$NS_C" | paste -sd,)
    ids=$("${IN_C[@]}" ip -j -d link show "$DEV" | grep -o '"prog":{"id":[0-9]*' | grep -o '[0-9]*$')
    {
        for id in $ids; do echo "prog $id"; done
        for kind in prog map; do
            bpftool -j $kind show 2>/dev/null | "$PYTHON" -c 'import json, sys
pids = {int(p) for p in sys.argv[2].split(",") if p}
for entry in json.load(sys.stdin):
    if pids & {p["pid"] for p in entry.get("pids", [])}:
        print(sys.argv[1], entry["id"])' $kind "$pids"
        done
        for id in $ids; do
            bpftool -j prog show id "$id" 2>/dev/null | "$PYTHON" -c 'import json, sys
for m in json.load(sys.stdin).get("map_ids", []): print("map", m)'
        done
    } | sort -u
}
attached() { "${IN_C[@]}" ip link show "$DEV" | grep -c 'prog/xdp'; }
# gone LIST...: waits up to three seconds for all of them to go; says which stay
gone() {
    local i kind id left
    for ((i = 0; i < 30; i++)); do
        left=
        while read -r kind id; do
            [ -z "$kind" ] || ! bpftool "$kind" show id "$id" >/dev/null 2>&1 || left+="$kind $id; "
        done <<<"$1"
        [ -n "$left" ] || [ "$(attached)" != 0 ] || return 0
        sleep 0.1
    done
    echo "$left"
    return 1
}
# The process that really is the program NAME in the client's namespace
find_program() { local p; for p in $(ip netns pids "$NS_C"); do [ "$(cat "/proc/$p/comm" 2>/dev/null)" != "$1" ] || echo "$p"; done | tail -n 1; }

# killed NAME PROGRAM CMD...   Start it under sluice, wait until it moves bytes, kill it, look.
killed() {
    local name=$1 program=$2 job pid held i left t0
    shift 2
    sl victim "$@" >/dev/null 2>&1 &
    job=$!
    for ((i = 0; i < 100; i++)); do
        sleep 0.1
        pid=$(find_program "$program")
        [ -n "$pid" ] && "${started[@]}" && break
    done
    sleep 0.2
    held=$(ours)
    [ -n "$KERNEL_ONLY" ] || check "$name: a program is on the interface while it runs" "$("${IN_C[@]}" ip link show "$DEV")" [ "$(attached)" = 1 ]
    [ -n "$KERNEL_ONLY" ] || check "$name: maps of ours exist while it runs" "found: $held" grep -q '^map' <<<"$held"
    [ -n "$pid" ] || { not_ok "$name: it runs" "no process $program in the namespace"; wait $job; return; }
    kill -9 "$pid"
    left=$(gone "$held")
    check "$name: nothing is left three seconds after SIGKILL" "still there: $left $("${IN_C[@]}" ip link show "$DEV" | head -n 1)" [ -z "$left" ]
    same "$name: no program on the interface" "$(attached)" 0
    wait $job
    t0=$(date +%s%N)
    LIMIT=10 sl next curl -sS -o "$SCRATCH/next" "http://$ADDR_S/small"
    same "$name: the next run works" "$(sha "$SCRATCH/next" 2>&1)" "$(sha "$www/small")"
    served_by_stack "$name: the next run is the stack's again" next
    check "$name: the next run starts at once" "it took $((($(date +%s%N) - t0) / 1000000)) ms" [ $(($(date +%s%N) - t0)) -lt 3000000000 ]
    rm -f "$SCRATCH/next"
}

started=(test -s "$SCRATCH/got")
killed "download" curl curl -sS --limit-rate 20M -o "$SCRATCH/got" "http://$ADDR_S/file"
rm -f "$SCRATCH/got"
started=(eval 'ls "$SCRATCH"/nginx/body/* >/dev/null 2>&1')
killed "upload" curl curl -sS --limit-rate 20M -T "$www/file" "http://$ADDR_S/up"
rm -f "$www/up"

# A server with clients: they are not left hanging.
if serve http cs 8000 "$PYTHON" -m http.server -d "$www" 8000; then
    timeout 60 "${IN_S[@]}" curl -sS --limit-rate 20M -o /dev/null "http://$ADDR_C:8000/file" 2>"$SCRATCH/peer.err" &
    client=$!
    sleep 1
    held=$(ours)
    kill -9 "${SERVER_PID[http]}"
    { wait "${SERVER_PID[http]}"; } 2>/dev/null
    left=$(gone "$held")
    check "server: nothing is left three seconds after SIGKILL" "still there: $left" [ -z "$left" ]
    for ((i = 0; i < 100; i++)); do
        kill -0 $client 2>/dev/null || break
        sleep 0.1
    done
    check "server: its client learns of the end within ten seconds" "curl still waits" eval '! kill -0 $client 2>/dev/null'
    kill $client 2>/dev/null
    wait $client 2>/dev/null
    unset 'SERVER_PID[http]'
else
    not_ok "server" "python3 -m http.server did not start"
fi
report_end
