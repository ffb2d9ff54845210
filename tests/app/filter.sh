#!/bin/bash
# SPDX-License-Identifier: MIT
# Rules of sluice's own (-o filter=FILE) before real programs: what a drop and each kind of reject look like to a client
# and to a peer, what a mistake in the file says, and the counters of the rules in sluicectl and in the JSON at the end.
set -u
. "$(dirname "$0")/../lib/netns.sh"
. "$(dirname "$0")/../lib/report.sh"
[ -z "$KERNEL_ONLY" ] || { skip "rules of sluice's own" "runs on the kernel's TCP (SLUICE=env)"; report_end; }
netns_up filter
www=$SCRATCH/www
mkdir -p "$www"
head -c 1M /dev/urandom >"$www/f"
nginx_up nginx 8080 || die "nginx did not start."
# filtered RUN RULES CURL-OPTION...   curl under these rules; its words in $SCRATCH/RUN.log
filtered() {
    local name=$1
    printf '%s\n' "$2" >"$SCRATCH/rules"
    shift 2
    sl "$name" -o filter="$SCRATCH/rules" curl -sS -o "$SCRATCH/got" "$@" "http://$ADDR_S:8080/f" >"$SCRATCH/$name.log" 2>&1
}
# fails NAME RUN STATUS WORDS   after filtered
fails() {
    local rc=$?
    same "$1: curl's status" "$rc" "$3"
    check "$1: curl says so" "$(cat "$SCRATCH/$2.log")" grep -qiE "$4" "$SCRATCH/$2.log"
    check "$1: counted" "NETFILTER_DROP: $(stat_of "$2" NETFILTER_DROP)" grep -q '"reason": "NETFILTER_DROP"' "$SCRATCH/$2.stats."*
}

filtered accept "# what the test needs
accept out tcp to $ADDR_S port 8080
accept in tcp from $ADDR_S port 8080
drop in
drop out"
same "rules that accept: a download" "$(sha "$SCRATCH/got")" "$(sha "$www/f")"
served_by_stack "rules that accept: through the stack" accept
check "each rule has counted its packets and bytes" "$(grep -A8 '"rules"' "$SCRATCH/accept.stats."*)" "$PYTHON" - "$SCRATCH/accept.stats."* <<'P'
import json, sys
rules = {r["line"]: r for r in json.load(open(sys.argv[1]))["rules"]}
assert sorted(rules) == [2, 3, 4, 5], rules
assert rules[3]["bytes"] > 1 << 20 and rules[3]["packets"] > 10, rules
assert rules[2]["packets"] >= 3 and rules[2]["bytes"] >= 40 * rules[2]["packets"], rules
assert rules[4]["packets"] == rules[5]["packets"] == 0, rules
P

filtered out-drop "drop out tcp to any port 8080" --connect-timeout 1
fails "output dropped" out-drop 28 'timed? ?out|timeout'
filtered in-drop "drop in tcp from $ADDR_S" --connect-timeout 1
fails "input dropped" in-drop 28 'timed? ?out|timeout'
filtered refused "reject out tcp to any port 8080" --connect-timeout 5
fails "output rejected" refused 7 'Connection refused|Failed to connect|Could not connect'
cat >"$SCRATCH/connect.py" <<P
import errno, socket
s = socket.socket()
s.settimeout(5)
print(errno.errorcode[s.connect_ex(("$ADDR_S", 8080))])
P
for kind in reset:ECONNREFUSED port-unreachable:ECONNREFUSED host-unreachable:EHOSTUNREACH net-unreachable:ENETUNREACH admin-prohibited:EHOSTUNREACH; do
    echo "reject out tcp with ${kind%:*}" >"$SCRATCH/rules"
    same "connect() against a reject with ${kind%:*}" "$(sl kinds -o filter="$SCRATCH/rules" "$PYTHON" "$SCRATCH/connect.py" 2>&1)" "${kind#*:}"
done

# A server: what its peer, on the kernel's TCP, gets to see; and the rules of a running program.
printf '%s\n' "reject in tcp from $ADDR_S port 5001" "reject in tcp from $ADDR_S port 5002 with host-unreachable" \
    "drop in tcp from $ADDR_S port 5003" >"$SCRATCH/rules"
export SLUICE_FILTER=$SCRATCH/rules
peer() { run timeout --foreground -k 5 10 "${IN_S[@]}" curl -sS -o "$SCRATCH/served" "$@" "http://$ADDR_C:8099/f" 2>&1; }
if serve http cs 8099 "$PYTHON" -m http.server -d "$www" 8099; then
    unset SLUICE_FILTER
    peer --connect-timeout 5
    same "a server: who is not named gets in" "$(sha "$SCRATCH/served" 2>&1)" "$(sha "$www/f")"
    check "a server: reject answers by a reset" "$(peer --local-port 5001 --connect-timeout 5 -v)" \
        eval 'peer --local-port 5001 --connect-timeout 5 -v | grep -qi "refused"'
    check "a server: reject with host-unreachable answers by ICMP" "$(peer --local-port 5002 --connect-timeout 5 -v)" \
        eval 'peer --local-port 5002 --connect-timeout 5 -v | grep -qi "no route to host"'
    peer --local-port 5003 --connect-timeout 1 >"$SCRATCH/log"
    same "a server: drop says nothing" $? 28
    "${IN_C[@]}" "$BUILD/sluicectl" nstat >"$SCRATCH/nstat"
    check "sluicectl shows the rules" "$(cat "$SCRATCH/nstat")" \
        grep -qE "^Filter line 1: [1-9][0-9]* packets, [1-9][0-9]* bytes: reject in tcp from $ADDR_S port 5001" "$SCRATCH/nstat"
    check "sluicectl shows what was dropped" "$(cat "$SCRATCH/nstat")" grep -qE '^DropNETFILTER_DROP +[1-9]' "$SCRATCH/nstat"
    check "sluicectl shows the queueing discipline" "$(cat "$SCRATCH/nstat")" \
        grep -qE "^Qdisc pfifo_fast on $DEV: sent [1-9][0-9]* packets, [1-9][0-9]* bytes; dropped 0" "$SCRATCH/nstat"
    "${IN_C[@]}" "$BUILD/sluicectl" --json nstat >"$SCRATCH/json"
    check "and all that as JSON" "$(cat "$SCRATCH/json")" "$PYTHON" - "$SCRATCH/json" <<'P'
import json, sys
one, = json.load(open(sys.argv[1]))
assert [r["line"] for r in one["rules"]] == [1, 2, 3] and all(r["packets"] for r in one["rules"]), one["rules"]
assert one["rules"][1]["rule"].endswith("with host-unreachable"), one["rules"]
assert any(d["reason"] == "NETFILTER_DROP" and d["count"] >= 3 for d in one["drops"]), one["drops"]
assert one["qdiscs"][0]["kind"] == "pfifo_fast" and one["qdiscs"][0]["packets"], one["qdiscs"]
assert one["counters"]["TcpPassiveOpens"] and one["devices"], one
P
    stop http -INT
else
    unset SLUICE_FILTER
    not_ok "a server" "it did not start"
fi

# mistake NAME WORDS   with $SCRATCH/rules (or none): refused before the program starts
mistake() {
    sl mistake -o filter="$SCRATCH/rules" touch "$SCRATCH/started" >"$SCRATCH/log" 2>&1
    same "$1: status" $? 125
    check "$1: said in a sentence" "$(cat "$SCRATCH/log")" grep -q "$2" "$SCRATCH/log"
    check "$1: the program is not started" "it was" [ ! -e "$SCRATCH/started" ]
}
printf '%s\n' "# web" "accept in tcp" "reject in tcp form 10.0.0.1" >"$SCRATCH/rules"
mistake "a mistake in the file" "line 3 of the filter file $SCRATCH/rules is wrong: only tcp, udp, icmp, from, to, port and with"
rm "$SCRATCH/rules"
mistake "no such file" "the filter file $SCRATCH/rules cannot be read: No such file"
report_end
