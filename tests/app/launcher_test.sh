#!/bin/sh
# SPDX-License-Identifier: MIT
# The launcher: options refused with a sentence, exit statuses as env(1)'s, what the program's environment gets.
# Usage: launcher_test.sh [BUILD_DIR]   (needs no network and no privilege)
set -u
real=$(cd "${1:-build}" && pwd) || exit 1
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
# An empty library beside a copy of the launcher: what is tested here is the launcher alone.
build=$tmp/b
mkdir "$build" && cp "$real/sluice" "$build/" && echo 'int x;' | cc -shared -fPIC -x c - -o "$build/libsluice.so" || exit 1
sluice=$build/sluice
export ASAN_OPTIONS="${ASAN_OPTIONS:-}:verify_asan_link_order=0:detect_leaks=0"
for v in $(env | sed -n 's/^\(SLUICE_[A-Z_]*\)=.*/\1/p'); do unset "$v"; done
failed=0 run=0

# expect STATUS 'pattern in the output' COMMAND...
expect() {
    want=$1 pattern=$2
    shift 2
    "$@" >"$tmp/out" 2>&1
    got=$?
    run=$((run + 1))
    if [ "$got" != "$want" ] || { [ -n "$pattern" ] && ! grep -Eq -- "$pattern" "$tmp/out"; }; then
        failed=$((failed + 1))
        echo "FAIL: $*"
        echo "  status $got, expected $want; output should match: $pattern"
        sed 's/^/  | /' "$tmp/out"
    fi
}

# The program's own status
expect 0 '' "$sluice" true
expect 1 '' "$sluice" false
expect 7 '' "$sluice" sh -c 'exit 7'
expect 0 '^-x --pcap$' "$sluice" echo -x --pcap
expect 0 '^--help$' "$sluice" -- printf '%s\n' --help
# 127 not found, 126 found but cannot be run
expect 127 "cannot run 'no-such-program-here': No such file" "$sluice" no-such-program-here
touch "$tmp/plain"
expect 126 "cannot run '$tmp/plain': Permission denied" "$sluice" "$tmp/plain"
# 125 our own errors: the option, the value, what would be right; the program does not start
expect 125 'no program was given' "$sluice"
expect 125 'no program was given' "$sluice" -p latency
expect 125 'no program was given' "$sluice" --
expect 125 "unrecognized option '--traces'" "$sluice" --traces echo STARTED
expect 125 "option trace: 'bogus' is not right; it must be off, list or folded" "$sluice" --trace=bogus echo STARTED
expect 125 "option spin: 'abc' is not right; it must be a whole number of microseconds from 0 to 1000000" "$sluice" -o spin=abc echo STARTED
expect 125 "option spin: '1000001'" "$sluice" -o spin=1000001 true
expect 125 "option spin: '-1'" "$sluice" -o spin=-1 true
expect 125 "option spin: ''" "$sluice" -o spin= true
expect 125 "option ring: '100' .*a power of two" "$sluice" -o ring=100 true
expect 125 'option foo: there is no such option .value .1.*; the options are profile log' "$sluice" -o foo=1 true
expect 125 'must be KEY=VALUE' "$sluice" -o spin true
expect 125 'must be KEY=VALUE' "$sluice" -o =3 true
expect 125 "option lane: 'maybe' is not right; it must be auto, on or off" "$sluice" -o lane=maybe true
expect 125 "option log: 'loud' .*error, warn, info or debug" "$sluice" --log=loud true
expect 125 "option profile: 'fast' .*default, latency or throughput" "$sluice" -p fast true
expect 125 'the keys are loss' "$sluice" -o fault=loss=2,x=3 true
expect 125 'at most 1000000' "$sluice" -o fault=loss=1000001 true
expect 125 'interface name is empty' "$sluice" -o dev=eth0,,eth1 true
expect 125 'at most 15 characters' "$sluice" -o dev=abcdefghijklmnop true
expect 125 'prefix length is missing' "$sluice" -o address=192.0.2.1 true
expect 125 'needs option address' "$sluice" -o gateway=192.0.2.1 true
expect 125 'option address: .0.0.0.0/24. .*no host' "$sluice" -o dev=eth0 -o address=0.0.0.0/24 true
expect 125 'option gateway: .192.0.3.1. .*in the network of option address' "$sluice" -o dev=eth0 -o address=192.0.2.7/24 -o gateway=192.0.3.1 true
expect 125 'option congestion: .vegas. .*cubic, reno or bbr' "$sluice" -o congestion=vegas true
expect 125 'the filter file / cannot be read: Is a directory' "$sluice" -o filter=/ true
expect 125 'needs option dev' "$sluice" -o address=192.0.2.1/24 true
expect 125 'option umem: .512.' "$sluice" -o umem=512 true
expect 125 "environment variable SLUICE_SPIN: option spin: 'x'" env SLUICE_SPIN=x "$sluice" echo STARTED
expect 125 'environment variable SLUICE_FOO: option foo: there is no such option' env SLUICE_FOO=1 "$sluice" true
expect 125 'SLUICE_LIB: ./no/such.' env SLUICE_LIB=/no/such "$sluice" true
for o in spin=x lane=x foo=1; do
    "$sluice" -o "$o" touch "$tmp/started" 2>/dev/null
    [ ! -e "$tmp/started" ] || { echo "FAIL: the program started despite -o $o"; failed=$((failed + 1)); }
done
# What the program gets
expect 0 "^LD_PRELOAD=$build/libsluice.so$" env -u LD_PRELOAD "$sluice" env
expect 0 '^SLUICE_SPIN=50$' "$sluice" -o spin=50 env
expect 0 '^SLUICE_PROFILE=latency$' "$sluice" -p latency env
expect 0 "^SLUICE_PCAP=$tmp/x.pcap$" sh -c "cd '$tmp' && '$sluice' --pcap=x.pcap env"
expect 0 '^SLUICE_LOG=info$' "$sluice" --log=info env
expect 0 "^LD_PRELOAD=$build/libsluice.so$" "$sluice" "$sluice" env
# The library alone: a malformed variable ends the program before main
if [ -z "${SAN:-}" ]; then
    expect 125 "environment variable SLUICE_SPIN: option spin: 'x'" env LD_PRELOAD="$real/libsluice.so" SLUICE_SPIN=x echo STARTED
    expect 0 '^STARTED$' env LD_PRELOAD="$real/libsluice.so" SLUICE_SPIN=1 echo STARTED
fi
# Help and version
expect 0 'lane_min_segs=1..64 segments \(4\)' "$sluice" --help
expect 0 '^sluice [0-9]' "$sluice" --version
# A program that the library cannot reach: one sentence, and it runs
if printf 'int main(void){return 3;}' | cc -static -x c - -o "$tmp/static" 2>/dev/null; then
    expect 3 'statically linked' "$sluice" "$tmp/static"
    printf '#!%s\n' "$tmp/static" >"$tmp/script"
    chmod +x "$tmp/script"
    expect 3 'statically linked' "$sluice" "$tmp/script"
fi

echo "launcher_test: $run checks, $failed failed"
[ "$failed" = 0 ]
