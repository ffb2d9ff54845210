#!/bin/bash
# SPDX-License-Identifier: MIT
# Inside the virtual machine: the demo's two transfers over a device bound zero-copy, with the driver's counters
# before and after. The virtio driver counts what an AF_XDP socket sends zero-copy as tx_xdp_tx, not as tx_packets.
set -u
cd "$(dirname "$0")/../.." || exit 1
counters() { # of zca: packets that went the ordinary way, and those of XDP zero-copy
    plain=$(cat /sys/class/net/zca/statistics/tx_packets)
    xdp=$(ethtool -S zca | awk '$1 == "tx_xdp_tx:" { n = $2 } END { print n + 0 }')
    rx=$(cat /sys/class/net/zca/statistics/rx_packets)
}
echo "Linux $(uname -r), driver $(ethtool -i zca | awk '$1 == "driver:" { print $2 }')"
counters
plain0=$plain xdp0=$xdp rx0=$rx
export SLUICE_MODE=zero-copy
NETNS_GIVEN="zcb 10.9.0.2 10.9.0.1 zca" NETNS_SCRATCH=/run/out DEMO_LIMIT=${DEMO_LIMIT:-900} tests/app/demo.sh
rc=$?
counters
echo "driver counters of zca: tx_packets +$((plain - plain0)), xdp_tx (zero-copy) +$((xdp - xdp0)), rx_packets +$((rx - rx0))"
echo "ethtool -S zca:"
ethtool -S zca | awk '$2 > 0'
[ $rc = 0 ] || exit $rc
if [ $((xdp - xdp0)) -lt 1000 ] || [ $((plain - plain0)) -gt $(((xdp - xdp0) / 10)) ]; then
    echo "The driver did not send these packets zero-copy."
    exit 1
fi
echo "The driver sent them zero-copy."
