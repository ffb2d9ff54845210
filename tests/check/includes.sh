#!/bin/bash
# SPDX-License-Identifier: MIT
# Who may include what: shim -> all; netdev -> stack/core (and rtnl.h -> stack/ipv4/route.h, plain data);
# stack/ipv4, stack/sched -> stack/core; stack/core -> nothing of ours. Nothing in stack/ reads a clock, a random
# source or the environment. No exception but those named here.
set -u
cd "$(dirname "$0")/../.." || exit 1
rc=0

# resolve FILE QUOTED   The project path that an include of FILE means; nothing for what is not ours.
resolve() {
    local dir=${1%/*} path
    for path in "$dir/$2" "$2"; do
        path=$(realpath -m --relative-to=. "$path")
        [ -e "$path" ] && { echo "$path"; return; }
    done
}

verdict() { # NAME, with the complaints on stdin
    local bad
    bad=$(cat)
    if [ -z "$bad" ]; then
        echo "ok - $1"
    else
        echo "not ok - $1"
        sed 's/^/#   /' <<<"$bad"
        rc=1
    fi
}

# includes DIR ALLOWED-REGEX   Every include under DIR that is ours and does not match.
includes() {
    local dir=$1 allowed=$2 file line target
    [ -d "$dir" ] || return
    grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' --include='*.[ch]' --include='*.def' "$dir" |
        while IFS=: read -r file line text; do
            inc=$(sed -E 's/^[^"]*"([^"]*)".*/\1/' <<<"$text")
            target=$(resolve "$file" "$inc")
            [ -n "$target" ] || { [[ $inc == steer.skel.h ]] || echo "$file:$line includes \"$inc\", which is not in the project"; continue; }
            [[ $target =~ $allowed ]] && continue
            [ "$file -> $target" = "netdev/rtnl.h -> stack/ipv4/route.h" ] && continue
            echo "$file:$line includes $target"
        done
}

includes stack/core '^stack/core/' | verdict "stack/core includes nothing of ours outside stack/core"
includes stack/sched '^stack/(core|sched)/' | verdict "stack/sched includes stack/core only"
includes stack/ipv4 '^stack/(core|ipv4)/' | verdict "stack/ipv4 includes stack/core only"
includes netdev '^(stack/core|netdev)/' | verdict "netdev includes stack/core only"
grep -rnE '<netinet/(tcp|ip)\.h>' --include='*.[ch]' stack 2>/dev/null | verdict "stack/ uses the kernel's protocol headers, not libc's"
grep -rnE '(^|[^_[:alnum:].>])(clock_gettime|gettimeofday|time|getrandom|getentropy|random|rand|getenv|secure_getenv|__rdtsc|__builtin_ia32_rdtsc)[[:space:]]*\(' \
    --include='*.[ch]' stack 2>/dev/null | grep -vE '^[^:]*:[0-9]+:[[:space:]]*(/?\*|//)' |
    verdict "nothing in stack/ reads a clock, a random source or the environment"
grep -rLE 'SPDX-License-Identifier: MIT' --include='*.[ch]' --include='*.sh' --include='*.py' --include='*.def' stack netdev shim tests bench 2>/dev/null |
    verdict "every source file names its licence"
exit $rc
