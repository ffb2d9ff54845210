#!/bin/bash
# SPDX-License-Identifier: MIT
# What every socket call answers, on the kernel's TCP and under sluice: the same, line by line (socket_api.c).
set -u
. "$(dirname "$0")/../lib/netns.sh"
. "$(dirname "$0")/../lib/report.sh"
netns_up api
cd "$SCRATCH" || exit 1
gcc -O1 -w -D_GNU_SOURCE -o socket_api "$TOP"/tests/app/socket_api{,_send}.c -lpthread || die "socket_api.c does not compile"
serve peer s 9000 ./socket_api peer 9000
for group in new connect mapped data ends time select epoll fds options info sendfile writing urgent errqueue splice signals threads listen stdio; do
    want=$("${IN_C[@]}" timeout 20 ./socket_api "$ADDR_S" 9000 "$group" 2>&1)
    got=$(sl "api-$group" timeout 20 ./socket_api "$ADDR_S" 9000 "$group" 2>/dev/null)
    same "socket calls: $group" "$(diff <(echo "$want") <(echo "$got"))" ""
done
report_end
