#!/bin/sh
# SPDX-License-Identifier: MIT
# The exported symbols of libsluice.so are exactly those of shim/intercept.def.
#   exports.sh --map          print the linker's version script
#   exports.sh [libsluice.so] compare; default build/libsluice.so
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
wanted() { sed -n 's/^SYM(\([A-Za-z0-9_]*\),.*/\1/p' "$root/shim/intercept.def" | LC_ALL=C sort; }

if [ "${1-}" = --map ]; then
    printf '{\n  global:\n'
    wanted | sed 's/.*/    &;/'
    printf '  local: *;\n};\n'
    exit 0
fi
lib=${1:-$root/${BUILD:-build}/libsluice.so}
case $lib in "$root//"*) lib=${lib#"$root/"} ;; esac
[ -e "$lib" ] || { echo "not ok - $lib is not built"; exit 1; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
wanted >"$tmp/wanted"
[ -z "$(uniq -d "$tmp/wanted")" ] || { echo "intercept.def lists twice: $(uniq -d "$tmp/wanted")"; exit 1; }
nm -D --defined-only "$lib" | awk '{print $NF}' | LC_ALL=C sort >"$tmp/exported"
if ! diff "$tmp/wanted" "$tmp/exported" >"$tmp/diff"; then
    echo "not ok - $lib exports what shim/intercept.def lists (<: listed only, >: exported only)"
    sed -n 's/^[<>]/#   &/p' "$tmp/diff"
    exit 1
fi
echo "ok - $(wc -l <"$tmp/wanted") symbols are exported, as shim/intercept.def lists"
