#!/bin/bash
# SPDX-License-Identifier: MIT
# Simple servers under sluice, clients on the kernel's TCP.
set -u
. "$(dirname "$0")/../lib/netns.sh"
. "$(dirname "$0")/../lib/report.sh"
netns_up servers
www=$SCRATCH/www
mkdir -p "$www" "$SCRATCH/redis"
head -c 16777216 /dev/urandom >"$www/file"
wanted=$(sha "$www/file")
peer() { run timeout --foreground -k 5 "${LIMIT:-30}" "${IN_S[@]}" "$@"; }

if serve http cs 8000 "$PYTHON" -m http.server -d "$www" 8000; then
    peer curl -sS -o "$SCRATCH/out" "http://$ADDR_C:8000/file"
    same "python3 -m http.server: a download" "$(sha "$SCRATCH/out" 2>&1)" "$wanted"
    peer curl -sS --no-progress-meter --parallel --parallel-immediate --parallel-max 16 "http://$ADDR_C:8000/file" -o "$SCRATCH/p#1" $(for i in 1 2 3 4 5 6 7; do echo "http://$ADDR_C:8000/file?$i -o $SCRATCH/p$i"; done)
    same "python3 -m http.server: eight at once" "$(cd "$SCRATCH" && sha256sum p* | cut -d' ' -f1 | sort -u)" "$wanted"
    "${IN_C[@]}" curl -sS -m 10 -o "$SCRATCH/lo" "http://127.0.0.1:8000/file"
    same "python3 -m http.server: a client of the same host, over loopback" "$(sha "$SCRATCH/lo" 2>&1)" "$wanted"
    stop http -INT
    served_by_stack "python3 -m http.server: through the stack" http TcpPassiveOpens
    [ -n "$KERNEL_ONLY" ] || check "python3 -m http.server: nine connections of the stack" "TcpPassiveOpens is $(stat_of http TcpPassiveOpens)" \
        [ "$(stat_of http TcpPassiveOpens)" -ge 9 ]
else
    not_ok "python3 -m http.server" "it did not start"
fi

for how in "" -R; do
    name="iperf3 -s, ${how:+client receives}${how:-client sends}"
    name=${name%-R}
    if serve iperf cs 5201 iperf3 -s -1; then
        peer iperf3 -c "$ADDR_C" -n 64M -J $how >"$SCRATCH/iperf.json"
        rc=$?
        bytes=$("$PYTHON" -c 'import json, sys; print(json.load(open(sys.argv[1]))["end"]["sum_received"]["bytes"])' "$SCRATCH/iperf.json" 2>&1 | tail -n 1)
        # The end of the test overtakes data on another connection: what is still queued then is not counted, on the
        # kernel's TCP neither (58 to 66 of 67 MB there).
        check "$name: 64 MiB" "iperf3's status $rc; received $bytes" eval '[ $rc = 0 ] && [ "$bytes" -ge 16000000 ]'
        sleep 0.3 # -1: it ends by itself, and writes its counters
        stop iperf -INT
        served_by_stack "$name: through the stack" iperf TcpPassiveOpens
    else
        not_ok "$name" "iperf3 did not start"
    fi
done

if serve redis cs 6379 redis-server --port 6379 --bind 0.0.0.0 --protected-mode no --save "" --daemonize no --dir "$SCRATCH/redis"; then
    head -c 1000000 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$SCRATCH/value"
    answer=$(peer redis-cli -h "$ADDR_C" -x set key <"$SCRATCH/value")
    same "redis-server: SET of 2 MB" "$answer" OK
    peer redis-cli -h "$ADDR_C" get key >"$SCRATCH/got"
    same "redis-server: GET of it" "$(tr -d '\n' <"$SCRATCH/got" | sha256sum)" "$(sha256sum <"$SCRATCH/value")"
    peer redis-benchmark -h "$ADDR_C" -n 5000 -c 20 -q -t set,get >"$SCRATCH/bench" 2>&1
    check "redis-server: redis-benchmark, 20 clients" "$(tail -n 3 "$SCRATCH/bench")" grep -q 'GET.*requests per second' "$SCRATCH/bench"
    peer redis-benchmark -h "$ADDR_C" -n 20000 -c 10 -P 32 -q -t get >"$SCRATCH/bench" 2>&1
    check "redis-server: pipelined" "$(tail -n 3 "$SCRATCH/bench")" grep -q 'GET.*requests per second' "$SCRATCH/bench"
    stop redis -TERM
    served_by_stack "redis-server: through the stack" redis TcpPassiveOpens
else
    not_ok "redis-server" "it did not start"
fi

if serve nc cs 9000 nc -l -p 9000 >/dev/null 2>&1 || serve nc cs 9000 nc -l 9000; then
    peer nc -N "$ADDR_C" 9000 <"$www/file"
    sleep 0.5
    stop nc -INT
    same "nc -l receives 16 MiB" "$(sha "$SCRATCH/nc.log")" "$wanted"
    served_by_stack "nc -l: through the stack" nc TcpPassiveOpens
else
    not_ok "nc -l" "it did not start"
fi
# Nobody waits in a call of the stack: the handshake is made all the same. What was never accepted is reset at the end.
# (The look before says that it accepts by itself.)
if serve busy cs 9100 "$PYTHON" -c 'import select, socket, time; l = socket.create_server(("", 9100)); select.select([l], [], [], 0); time.sleep(3)'; then
    said=$(peer "$PYTHON" -c '
import socket, sys
c = socket.create_connection((sys.argv[1], 9100), 1.5)
print("connected")
c.settimeout(10)
try:
    print(c.recv(1))
except ConnectionResetError:
    print("reset")' "$ADDR_C" 2>&1 | tail -n 2 | tr '\n' ' ')
    same "a listener whose program sleeps" "$said" "connected reset "
    stop busy -INT
    [ -n "$KERNEL_ONLY" ] || same "a listener whose program sleeps: through the stack" "$(stat_of busy TcpPassiveOpens)" 1
else
    not_ok "a listener whose program sleeps" "it did not start"
fi
report_end
