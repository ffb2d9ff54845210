# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Two network namespaces joined by a veth pair, and servers in them. Source it, then:
#
#   netns_up KIND            client namespace ("${IN_C[@]}", ADDR_C, DEV), server namespace ("${IN_S[@]}", ADDR_S),
#                            a scratch directory (SCRATCH). Everything goes away when the script ends, however it
#                            ends; what an earlier killed run of this KIND left goes first.
#   serve NAME SIDE PORT CMD...   start CMD in the background (SIDE: c, s, or cs: c under sluice), wait for its port
#   stop NAME                end it
#   run CMD...               in the foreground, yet a signal to this script is handled at once
#   sl NAME CMD...           CMD in the client namespace under sluice; counters go to $SCRATCH/NAME.stats.PID
#   stat_of NAME COUNTER     sum of a counter over the processes of that run
#
# SLUICE=env runs everything on the kernel's TCP (KERNEL_ONLY is then 1): to try a script, or a suspicion.
# NETNS_GIVEN="NS ADDR_S ADDR_C DEV": the client side is this namespace, the server side is NS (the virtual machine).

BUILD=${BUILD:-build}
SAN=${SAN:-}
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
case $BUILD in /*) ;; *) BUILD=$TOP/$BUILD ;; esac
PYTHON=${PYTHON:-$([ -x /usr/bin/python3 ] && echo /usr/bin/python3 || echo python3)}
KERNEL_ONLY=
SL=("${SLUICE:-$BUILD/sluice}")
case ${SL[0]##*/} in env) KERNEL_ONLY=1 ;; esac
if [ -z "$KERNEL_ONLY" ]; then
    case $SAN in
    address) # the sanitizer's runtime has to be there before the instrumented library
        SL=(env "LD_PRELOAD=$(gcc -print-file-name=libasan.so)" "${SL[@]}")
        export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=0}:verify_asan_link_order=0
        ;;
    thread) SL=(env "LD_PRELOAD=$(gcc -print-file-name=libtsan.so)" "${SL[@]}") ;;
    esac
fi

die() { echo "${0##*/}: $*" >&2; exit 1; }

declare -A SERVER_PID=()
SCRATCH='' NS_C='' NS_S=''
IN_C=() IN_S=()

# End every process of a namespace of ours and remove it.
netns_remove() {
    local ns=$1 p i
    [ -e "/run/netns/$ns" ] || return 0
    for i in 1 2 3 4 5 6 7 8; do
        p=$(ip netns pids "$ns" 2>/dev/null) || break
        [ -n "$p" ] || break
        # shellcheck disable=SC2086
        if [ "$i" -lt 5 ]; then kill $p 2>/dev/null; else kill -9 $p 2>/dev/null; fi
        sleep 0.1
    done
    ip netns del "$ns" 2>/dev/null
}

netns_stale() { # KIND: what a run that no longer lives has left
    local ns pid dir
    for ns in $(ip netns list 2>/dev/null | awk -v k="sluice-$1-" 'index($1, k) == 1 { print $1 }'); do
        pid=${ns#sluice-"$1"-} pid=${pid%-*}
        [ -e "/proc/$pid" ] || netns_remove "$ns"
    done
    for dir in "${TMPDIR:-/tmp}/sluice-$1".*.* /dev/shm/sluice-"$1".*.*; do
        [ -d "$dir" ] || continue
        pid=${dir##*/sluice-"$1".} pid=${pid%.*}
        [ -e "/proc/$pid" ] || rm -rf "$dir"
    done
}

netns_cleanup() {
    local rc=$? name
    trap '' INT TERM HUP PIPE
    for name in "${!SERVER_PID[@]}"; do stop "$name"; done
    declare -F on_exit >/dev/null && on_exit
    if [ -n "$NS_C$NS_S" ]; then
        netns_remove "$NS_C"
        netns_remove "$NS_S"
    fi
    [ -n "$SCRATCH" ] && rm -rf "$SCRATCH"
    exit $rc
}

netns_up() {
    local kind=$1 ns i
    [ "$(id -u)" = 0 ] || die "making network namespaces needs root; run it with sudo."
    [ -n "$KERNEL_ONLY" ] || { [ -x "${SLUICE:-$BUILD/sluice}" ] && [ -e "$BUILD/libsluice.so" ]; } ||
        die "$BUILD/sluice or libsluice.so is not built; run make first."
    trap netns_cleanup EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap 'exit 129' HUP
    trap 'exit 141' PIPE
    netns_stale "$kind"
    SCRATCH=$(mktemp -d "${NETNS_SCRATCH:-${TMPDIR:-/tmp}}/sluice-$kind.$$.XXXXXX") || die "no scratch directory under ${TMPDIR:-/tmp}."
    chmod 755 "$SCRATCH"
    if [ -n "${NETNS_GIVEN:-}" ]; then
        read -r ns ADDR_S ADDR_C DEV <<<"$NETNS_GIVEN"
        IN_C=(env) IN_S=(ip netns exec "$ns")
        return
    fi
    ADDR_C=10.77.0.1 ADDR_S=10.77.0.2 DEV=veth0
    NS_C=sluice-$kind-$$-c NS_S=sluice-$kind-$$-s
    ip netns add "$NS_C" && ip netns add "$NS_S" || die "the kernel refused a network namespace (is this a container without CAP_SYS_ADMIN?)."
    IN_C=(ip netns exec "$NS_C") IN_S=(ip netns exec "$NS_S")
    for ns in "$NS_C" "$NS_S"; do
        [ ! -d /proc/sys/net/ipv6 ] || ip netns exec "$ns" sh -c 'echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6; echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6'
        ip -n "$ns" link set lo up
    done
    ip link add "$DEV" netns "$NS_C" type veth peer name "$DEV" netns "$NS_S" || die "the kernel refused a veth pair."
    ip -n "$NS_C" addr add $ADDR_C/24 dev "$DEV" && ip -n "$NS_C" link set "$DEV" up
    ip -n "$NS_S" addr add $ADDR_S/24 dev "$DEV" && ip -n "$NS_S" link set "$DEV" up
    for ((i = 0; i < 100; i++)); do
        [[ $(ip -n "$NS_C" -o link show "$DEV") == *LOWER_UP* && $(ip -n "$NS_S" -o link show "$DEV") == *LOWER_UP* ]] && return
        sleep 0.05
    done
    die "the veth pair got no carrier within 5 seconds."
}

run() { # (a background command's input would be /dev/null)
    { "$@" <&9 9<&- & } 9<&0
    wait $!
}

# The option that sends a run's counters to $SCRATCH/NAME.stats.PID.
stats_env() { echo "SLUICE_STATS=$SCRATCH/$1.stats.%p"; }

sl() {
    local name=$1
    shift
    rm -f "$SCRATCH/$name.stats."*
    run timeout --foreground -k 5 "${LIMIT:-60}" "${IN_C[@]}" env "$(stats_env "$name")" "${SL[@]}" "$@"
}

stat_of() { "$PYTHON" "$TOP/tests/lib/stats.py" "$2" "$SCRATCH/$1.stats."*; }

# The kernel's own TCP counter (a column of /proc/net/snmp's Tcp line) in the client's namespace.
kernel_tcp() {
    "${IN_C[@]}" cat /proc/net/snmp | awk -v k="$1" '$1 == "Tcp:" { if (!n) { n = split($0, h) } else for (i = 2; i <= n; i++) if (h[i] == k) print $i }'
}

serve() {
    local name=$1 side=$2 port=$3 i
    local -a in=("${IN_S[@]}") where=("${IN_S[@]}")
    shift 3
    [ "$side" = s ] || where=("${IN_C[@]}")
    case $side in
    c) in=("${IN_C[@]}") ;;
    cs) # SIGINT as a program started by hand has it: the shell's background jobs ignore it
        rm -f "$SCRATCH/$name.stats."*
        in=("${IN_C[@]}" env --default-signal=INT "$(stats_env "$name")" "${SL[@]}")
        ;;
    esac
    "${in[@]}" "$@" </dev/null >"$SCRATCH/$name.log" 2>&1 &
    SERVER_PID[$name]=$!
    for ((i = 0; i < 200; i++)); do
        if [ -n "$("${where[@]}" ss -Hltn "sport = :$port" 2>/dev/null)" ]; then
            [ "$side" != cs ] || sleep 0.1 # what ss sees is the twin; the steering follows at once
            return 0
        fi
        if ! kill -0 "${SERVER_PID[$name]}" 2>/dev/null; then
            echo "# $name ended before it listened on port $port; its last words:" >&2
            tail -n 5 "$SCRATCH/$name.log" | sed 's/^/#   /' >&2
            unset "SERVER_PID[$name]"
            return 1
        fi
        sleep 0.05
    done
    echo "# $name did not listen on port $port within 10 seconds." >&2
    return 1
}

stop() {
    local pid=${SERVER_PID[$1]:-} i
    [ -n "$pid" ] || return 0
    unset "SERVER_PID[$1]"
    kill "${2:--TERM}" "$pid" 2>/dev/null
    for ((i = 0; i < 60; i++)); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.05
    done
    kill -9 "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    return 0
}

# nginx_up NAME PORT [TLSPORT] [DIR]   nginx on the kernel's TCP in the server namespace: serves DIR, takes PUT.
nginx_up() {
    local name=$1 port=$2 tls=${3:-} dir=${4:-$SCRATCH/www} base=$SCRATCH/$1
    mkdir -p "$dir" "$base"
    command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || die "nginx is not installed; run make deps."
    if [ -n "$tls" ] && [ ! -e "$SCRATCH/cert.pem" ]; then
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$ADDR_S" -addext "subjectAltName=IP:$ADDR_S" \
            -keyout "$SCRATCH/key.pem" -out "$SCRATCH/cert.pem" 2>/dev/null || die "openssl could not make a certificate."
    fi
    cat >"$base/nginx.conf" <<C
worker_processes 1;
pid $base/pid;
error_log stderr warn;
events { worker_connections 1024; }
http {
    access_log off;
    sendfile on;
    server_tokens off;
    client_max_body_size 0;
    client_body_temp_path $base/body;
    proxy_temp_path $base/t1; fastcgi_temp_path $base/t2; uwsgi_temp_path $base/t3; scgi_temp_path $base/t4;
    types { }
    default_type application/octet-stream;
    server {
        listen $ADDR_S:$port;
        ${tls:+listen $ADDR_S:$tls ssl; ssl_certificate $SCRATCH/cert.pem; ssl_certificate_key $SCRATCH/key.pem;}
        root $dir;
        location / { dav_methods PUT; create_full_put_path on; autoindex on; }
    }
}
C
    serve "$name" s "$port" /usr/sbin/nginx -p "$base" -e stderr -c "$base/nginx.conf" -g 'daemon off; master_process off;'
}

sha() { sha256sum "$1" | cut -d' ' -f1; }
