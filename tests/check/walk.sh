#!/bin/bash
# SPDX-License-Identifier: MIT
# Every function that stack/README.md names in its two walks is defined in the file named beside it.
set -u
cd "$(dirname "$0")/../.."
rc=0 n=0
while IFS='|' read -r _ name file _; do
    name=${name//[\` ]/} file=${file// /}
    [[ $file == */*.[ch] ]] || continue
    n=$((n + 1))
    # a definition: at the start of a line, with its type before it or on the line above, and no ';' behind
    if [ ! -e "$file" ] || ! grep -E "^([A-Za-z_].*[ *])?$name\(" "$file" | grep -qv ';$'; then
        echo "not ok - walk: $name is not in $file"
        rc=1
    fi
done < <(grep -E '^\| `' stack/README.md)
if [ "$n" -lt 50 ]; then
    echo "not ok - walk: only $n functions found in stack/README.md"
    rc=1
fi
[ "$rc" -ne 0 ] || echo "ok - walk: the $n functions of stack/README.md are where it says"
exit $rc
