#!/bin/bash
# SPDX-License-Identifier: MIT
# The option qdisc before a real program: an upload under fq and tbf takes as long as their rates say, the counters are
# those of the discipline, and what cannot be is told in a sentence.
set -u
. "$(dirname "$0")/../lib/netns.sh"
. "$(dirname "$0")/../lib/report.sh"
[ -z "$KERNEL_ONLY" ] || { skip "queueing disciplines" "runs on the kernel's TCP (SLUICE=env)"; report_end; }
netns_up qdisc
www=$SCRATCH/www
mkdir -p "$www"
head -c 2500000 /dev/urandom >"$SCRATCH/f"
nginx_up nginx 8080 || die "nginx did not start."
# uploads NAME RUN QDISC LEAST MOST KIND   2.5 MB (20 Mbit) in LEAST to MOST milliseconds
uploads() {
    local t
    rm -f "$www/f"
    t=$(sl "$2" -o qdisc="$3" curl -sS -o /dev/null -w '%{time_total}' -T "$SCRATCH/f" "http://$ADDR_S:8080/f" 2>"$SCRATCH/log")
    same "$1: an upload" "$(sha "$www/f" 2>&1)" "$(sha "$SCRATCH/f")"
    served_by_stack "$1: through the stack" "$2"
    check "$1: takes $4 to $5 ms" "$t s; $(cat "$SCRATCH/log")" awk -v t="$t" -v lo="$4" -v hi="$5" 'BEGIN { exit !(t * 1000 >= lo && t * 1000 <= hi) }'
    same "$1: the discipline" "$(stat_of "$2" kind)" "$6"
}
uploads "fq with a rate" fq fq,maxrate=40mbit,limit=5000 400 5000 fq
check "fq has held packets up" "overlimits $(stat_of fq overlimits)" [ "$(stat_of fq overlimits)" -gt 10 ]
same "and dropped none" "$(stat_of fq dropped)" 0
uploads "tbf" tbf tbf,rate=40mbit,burst=64k,limit=4m 400 5000 tbf
check "tbf has held packets up" "overlimits $(stat_of tbf overlimits)" [ "$(stat_of tbf overlimits)" -gt 10 ]
uploads "pfifo_fast" pfifo pfifo_fast,limit=500 0 5000 pfifo_fast

# A bucket that no frame fits in: not an error of the option, but of this interface.
sl burst --log=info -o qdisc=tbf,rate=40mbit,burst=1000 curl -sS -o "$SCRATCH/got" "http://$ADDR_S:8080/f" 2>"$SCRATCH/log"
same "a burst less than a frame: the kernel serves" "$(sha "$SCRATCH/got" 2>&1)" "$(sha "$SCRATCH/f")"
check "a burst less than a frame: says why" "$(cat "$SCRATCH/log")" \
    grep -q "left to the kernel.*burst of 1000 bytes is less than a frame of $DEV, 1514 bytes" "$SCRATCH/log"
sl bad -o qdisc=fq,rate=1mbit touch "$SCRATCH/started" >"$SCRATCH/log" 2>&1
same "a parameter of another discipline: status" $? 125
check "a parameter of another discipline: said" "$(cat "$SCRATCH/log")" grep -q "fq has limit, flow_limit, quantum, initial_quantum and maxrate" "$SCRATCH/log"
report_end
