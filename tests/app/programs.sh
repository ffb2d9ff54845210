#!/bin/bash
# SPDX-License-Identifier: MIT
# Unmodified client programs under sluice against servers on the kernel's TCP: the bytes are right, and it was us.
set -u
. "$(dirname "$0")/../lib/netns.sh"
. "$(dirname "$0")/../lib/report.sh"
netns_up programs
www=$SCRATCH/www
mkdir -p "$www"
cd "$SCRATCH" || exit 1
export HOME=$SCRATCH GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0 no_proxy='*' LC_ALL=C.UTF-8
unset http_proxy https_proxy
head -c 33554432 /dev/urandom >"$www/big"
head -c 700001 /dev/urandom >"$www/small"
big=$(sha "$www/big") small=$(sha "$www/small")
nginx_up nginx 80 443 || die "nginx did not start."
url=http://$ADDR_S

# the body of an HTTP answer
body() { "$PYTHON" -c 'import sys; sys.stdout.buffer.write(sys.stdin.buffer.read().partition(b"\r\n\r\n")[2])'; }
# got NAME RUN WANTED-SHA [SEGMENTS]: $SCRATCH/RUN.out is right, and the stack carried it
got() {
    same "$1" "$(sha "$SCRATCH/$2.out" 2>&1)" "$3"
    served_by_stack "$1: through the stack" "$2" TcpActiveOpens "${4:-3}"
}

sl curl curl -sS -o curl.out "$url/big"; got "curl downloads 32 MiB" curl "$big"
sl put curl -sS -f -T "$www/small" "$url/put"; cp "$www/put" put.out; got "curl uploads (PUT)" put "$small"
sl keep curl -sS -o /dev/null "$url/small" -o /dev/null "$url/small" -o keep.out "$url/small"; got "curl reuses a connection" keep "$small"
[ -n "$KERNEL_ONLY" ] || same "curl reuses a connection: one handshake" "$(stat_of keep TcpActiveOpens)" 1
sl slow curl -sS --limit-rate 2M -o slow.out "$url/small"; got "curl reads slowly" slow "$small"
sl wget wget -q -O wget.out "$url/big"; got "wget downloads 32 MiB" wget "$big"
sl wget2 wget -q -O wget2.out "$url/small" "$url/small"; same "wget, two files" "$(stat -c %s wget2.out)" 1400002

sl urllib "$PYTHON" -c 'import sys, urllib.request as r
open("urllib.out", "wb").write(r.urlopen(sys.argv[1]).read())' "$url/big"
got "python3 urllib downloads 32 MiB" urllib "$big"
sl client "$PYTHON" -c 'import sys, http.client
c = http.client.HTTPConnection(sys.argv[1], 80, timeout=20)
body = open(sys.argv[2], "rb").read()
c.request("PUT", "/put2", body); r = c.getresponse(); r.read(); assert r.status in (201, 204), r.status
c.request("GET", "/put2"); open("client.out", "wb").write(c.getresponse().read())' "$ADDR_S" "$www/small"
got "python3 http.client puts and gets on one connection" client "$small"
sl async "$PYTHON" -c 'import asyncio, sys
async def get(host, path):
    r, w = await asyncio.open_connection(host, 80)
    w.write(f"GET /{path} HTTP/1.0\r\n\r\n".encode()); data = await r.read(); w.close()
    return data.split(b"\r\n\r\n", 1)[1]
async def main():
    parts = await asyncio.gather(*[get(sys.argv[1], "small") for i in range(8)])
    assert all(p == parts[0] for p in parts); open("async.out", "wb").write(parts[0])
asyncio.run(main())' "$ADDR_S"
got "python3 asyncio, eight connections at once (epoll)" async "$small"

# git, over the dumb protocol (many small files by nginx) and the smart one
git init -q --bare "$www/dumb.git"
git init -q work && (
    cd work && git config user.email a@b && git config user.name a
    for i in 1 2 3 4 5 6 7 8; do head -c 200000 /dev/urandom >"f$i"; git add . && git commit -qm "$i"; done
    git push -q "$www/dumb.git" HEAD:refs/heads/main
) >/dev/null 2>&1
git -C "$www/dumb.git" symbolic-ref HEAD refs/heads/main
git -C "$www/dumb.git" update-server-info
tree=$(git -C "$www/dumb.git" rev-parse 'main^{tree}')
sl dumb git clone -q "$url/dumb.git" clone-dumb
same "git clones over dumb http" "$(git -C clone-dumb rev-parse 'HEAD^{tree}' 2>&1)" "$tree"
served_by_stack "git clones over dumb http: through the stack" dumb
if serve githttp s 8081 "$PYTHON" "$TOP/tests/app/git_http.py" "$ADDR_S" 8081 "$www"; then
    sl smart git clone -q "http://$ADDR_S:8081/dumb.git" clone-smart
    same "git clones over smart http" "$(git -C clone-smart rev-parse 'HEAD^{tree}' 2>&1)" "$tree"
    served_by_stack "git clones over smart http: through the stack" smart
else
    not_ok "git clones over smart http" "the server did not start"
fi

# TLS
sl tls curl -sS --cacert cert.pem -o tls.out "https://$ADDR_S/big"; got "curl over TLS" tls "$big"
sl wtls wget -q --ca-certificate=cert.pem -O wtls.out "https://$ADDR_S/small"; got "wget over TLS (gnutls)" wtls "$small"
printf 'GET /small HTTP/1.0\r\n\r\n' >request
sl sclient openssl s_client -quiet -ign_eof -CAfile cert.pem -verify_return_error -connect "$ADDR_S:443" \
    <request 2>/dev/null >sclient.all
body <sclient.all >sclient.out
got "openssl s_client" sclient "$small"

# nc
serve sender s 9001 "$PYTHON" "$TOP/tests/app/peer.py" "$ADDR_S" 9001 send "$www/big"
serve receiver s 9002 "$PYTHON" "$TOP/tests/app/peer.py" "$ADDR_S" 9002 receive "$SCRATCH/received"
sl nc nc -d "$ADDR_S" 9001 >nc.out; got "nc receives 32 MiB" nc "$big"
sl ncsend nc -N "$ADDR_S" 9002 <"$www/small" >ncsend.answer
mv received.1 ncsend.out 2>/dev/null; got "nc sends a file and its end" ncsend "$small"
same "nc reads the answer after its own end" "$(cat ncsend.answer)" "done"

# bash's /dev/tcp: redirections around libc's entry points and descriptors that forked programs inherit
sl bash1 bash -c 'exec 3<>/dev/tcp/$0/80; printf "GET /small HTTP/1.0\r\n\r\n" >&3; cat <&3' "$ADDR_S" | body >bash1.out
got "bash /dev/tcp: exec 3<>, printf >&3, cat <&3" bash1 "$small" 1
sl bash2 bash -c 'exec 3<>/dev/tcp/$0/80; printf "GET /none HTTP/1.0\r\n\r\n" >&3; IFS= read -r line <&3; echo "$line"' "$ADDR_S" >bash2.line
same "bash /dev/tcp: read a line" "$(tr -d '\r' <bash2.line)" "HTTP/1.1 404 Not Found"
sl bash3 bash -c 'cat </dev/tcp/$0/9001' "$ADDR_S" >bash3.out
same "bash /dev/tcp: cat <" "$(sha bash3.out 2>&1)" "$big" # (no counters: the process that had them became cat)
sl bash4 bash -c 'exec 3<>/dev/tcp/$0/80; (printf "GET /small HTTP/1.0\r\n\r\n" >&3); (cat <&3); exec 3>&-' "$ADDR_S" | body >bash4.out
got "bash /dev/tcp: from subshells" bash4 "$small" 1
sl bash5 bash -c 'exec 3<>/dev/tcp/$0/80; printf "GET /none HTTP/1.0\r\n\r\n" >&3; n=0; while IFS= read -r -u 3 line; do n=$((n + 1)); done; [ $n -ge 6 ] && echo lines' "$ADDR_S" >bash5.lines
same "bash /dev/tcp: read -u 3 to the end" "$(cat bash5.lines)" lines
rm -f received.*
sl bash6 bash -c 'cat "$1" >/dev/tcp/$0/9002' "$ADDR_S" "$www/small"
for ((i = 0; i < 60; i++)); do [ ! -e received.2 ] || break; sleep 0.05; done
same "bash /dev/tcp: cat >" "$(sha received.2 2>&1)" "$small"

if [ -z "$KERNEL_ONLY" ]; then
    same "no interface program is left behind" "$("${IN_C[@]}" ip link show "$DEV" | grep -c xdp)" 0
fi
report_end
