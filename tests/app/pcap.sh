#!/bin/bash
# SPDX-License-Identifier: MIT
# A capture of a download and an upload, read back by tshark: no bad checksum, nothing malformed, all of it there.
set -u
. "$(dirname "$0")/../lib/netns.sh"
. "$(dirname "$0")/../lib/report.sh"
netns_up pcap
www=$SCRATCH/www
mkdir -p "$www"
head -c 3000000 /dev/urandom >"$www/file"
nginx_up nginx 80 || die "nginx did not start."
if [ -n "$KERNEL_ONLY" ]; then
    skip "capture" "runs on the kernel's TCP (SLUICE=env)"
    report_end
fi

file=$SCRATCH/capture.pcapng
SLUICE_PCAP=$file sl run curl -sS -o "$SCRATCH/out" "http://$ADDR_S/file" --next -sS -f -T "$www/file" "http://$ADDR_S/up"
same "the download while capturing" "$(sha "$SCRATCH/out" 2>&1)" "$(sha "$www/file")"
same "the upload while capturing" "$(sha "$www/up" 2>&1)" "$(sha "$www/file")"
served_by_stack "the transfers: through the stack" run

shark() { tshark -n -r "$file" -o tcp.check_checksum:TRUE -o ip.check_checksum:TRUE -o tcp.desegment_tcp_streams:FALSE "$@" 2>"$SCRATCH/tshark.err"; }
packets=$(shark -T fields -e frame.number | wc -l)
check "tshark reads the capture" "$packets packets; $(head -n 3 "$SCRATCH/tshark.err")" [ "$packets" -gt 20 ]
same "no bad IP checksum" "$(shark -Y 'ip.checksum.status == "Bad"' | wc -l)" 0
same "no bad TCP checksum" "$(shark -Y 'tcp.checksum.status == "Bad"' | wc -l)" 0
check "TCP checksums were looked at" "none is marked good" [ "$(shark -Y 'tcp.checksum.status == "Good"' | wc -l)" -gt 20 ]
same "no malformed packet" "$(shark -Y '_ws.malformed' | wc -l)" 0
same "no error noted by the dissectors" "$(shark -Y '_ws.expert.severity == error' | wc -l)" 0
same "a SYN of ours" "$(shark -Y "tcp.flags.syn == 1 && tcp.flags.ack == 0 && ip.src == $ADDR_C" | wc -l)" 1
# covered ADDRESS   Bytes of the stream from ADDRESS that the capture has, each counted once
covered() {
    shark -Y "tcp.len > 0 && ip.src == $1" -T fields -e tcp.stream -e tcp.seq -e tcp.len | sort -n -k1,1 -k2,2 |
        awk '$1 != stream { stream = $1; end = 0 } { stop = $2 + $3; if (stop > end) { n += stop - ($2 > end ? $2 : end); end = stop } } END { print n + 0 }'
}
bytes=$(covered "$ADDR_S")
check "the download's bytes are all in it" "$bytes bytes of payload from the server" [ "$bytes" -ge 3000000 ]
bytes=$(covered "$ADDR_C")
check "the upload's bytes are all in it" "$bytes bytes of payload from us" [ "$bytes" -ge 3000000 ]
report_end
