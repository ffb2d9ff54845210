#!/bin/bash
# SPDX-License-Identifier: MIT
# run.sh [CMD...]   Run CMD (default: tests/vm/transfers.sh) in a small virtual machine whose two network devices do
# AF_XDP zero-copy. The machine sees this host's files at the same paths, read-only (what it writes there is lost),
# and $OUT at /run/out, writable. No KVM needed: QEMU emulates (TCG), so nothing measured in it is performance.
#
#   zca 10.9.0.1/24   in the first namespace: where CMD runs
#   zcb 10.9.0.2/24   in the namespace "zcb"; a QEMU hub joins the two
#
# What makes virtio_net bind zero-copy: Linux >= 6.13 and VIRTIO_F_ACCESS_PLATFORM (iommu_platform=on).
# Exit status: CMD's; 125 when the machine did not come to the end. Environment: OUT, SMP (1), MEM (1536 MiB),
# LIMIT (seconds for one boot, 1800), TRIES (2), KERNEL (a pattern of package names).
set -eu
here=$(cd "$(dirname "$0")" && pwd) top=$(cd "$(dirname "$0")/../.." && pwd)
BUILD=${BUILD:-build}
case $BUILD in /*) ;; *) BUILD=$top/$BUILD ;; esac
work=$BUILD/vm
OUT=${OUT:-$work/out}
KERNEL=${KERNEL:-linux-image-6.18.*-cloud-amd64}
MODULES="failover net_failover virtio_net overlay"
say() { printf '[%4d s] %s\n' $SECONDS "$*"; }
die() { echo "tests/vm/run.sh: $*" >&2; exit 125; }
[ "$(id -u)" = 0 ] || die "it needs root (virtiofsd serves the host's files): sudo make test-vm."
command -v qemu-system-x86_64 >/dev/null && command -v busybox >/dev/null || die "QEMU or busybox is missing; run make deps-vm."
mkdir -p "$work" "$OUT"
exec 8>"$work/lock"
flock -n 8 || die "another run uses $work; wait for its end, or name another BUILD."

# ---- a kernel from Debian's backports: unpacked, never installed, with package lists of our own --------------

if ! ls "$work"/kernel/boot/vmlinuz-* >/dev/null 2>&1; then
    say "downloading a kernel ($KERNEL) ..."
    apt=$work/apt
    rm -rf "$apt" "$work/kernel"
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    : >"$apt/status"
    mirror=$(apt-get indextargets --format '$(SITE)' 2>/dev/null | grep -m1 -E '/debian/?$') || die "no Debian archive is configured for apt."
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie-backports main" >"$apt/sources.list"
    cat >"$apt/apt.conf" <<C
Dir::Etc::sourcelist "$apt/sources.list"; Dir::Etc::sourceparts "/dev/null"; Dir::State::lists "$apt/lists";
Dir::State::status "$apt/status"; Dir::Cache "$apt/cache"; Acquire::Languages "none"; APT::Sandbox::User "root";
C
    export APT_CONFIG=$apt/apt.conf
    apt-get -qq update
    package=$(apt-cache search --names-only "^$KERNEL\$" | awk '{ print $1 }' | sort -V | tail -n 1)
    [ -n "$package" ] || die "trixie-backports has no package $KERNEL; name another in KERNEL."
    (cd "$apt" && apt-get -qq download "$package" && dpkg -x "$package"_*.deb "$work/kernel")
    unset APT_CONFIG
    rm -rf "$apt"
fi
vmlinuz=$(ls "$work"/kernel/boot/vmlinuz-*)
say "kernel ${vmlinuz##*/vmlinuz-}"

# ---- the first file system: busybox, modules, and an init that moves on to the host's files ------------------

make_initrd() {
    local root=$work/initrd m file
    rm -rf "$root"
    mkdir -p "$root"/{bin,modules,proc,lower,upper,root}
    cp "$(command -v busybox)" "$root/bin/busybox"
    for m in $MODULES; do
        file=$(find "$work/kernel" -name "$m.ko*" | head -n 1)
        case $file in
        *.xz) xz -dc "$file" >"$root/modules/$m.ko" ;;
        '') die "the kernel package has no module $m." ;;
        *) cp "$file" "$root/modules/$m.ko" ;;
        esac
    done
    cat >"$root/init" <<I
#!/bin/busybox sh
b=/bin/busybox
\$b mount -t proc proc /proc
for m in $MODULES; do \$b insmod /modules/\$m.ko || echo "insmod \$m failed"; done
\$b mount -t virtiofs -o ro host /lower && \$b mount -t tmpfs tmpfs /upper && \$b mkdir /upper/files /upper/work &&
    \$b mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work overlay /root || \$b poweroff -f
cd /root
\$b mount -t proc proc proc; \$b mount -t sysfs sysfs sys; \$b mount -t devtmpfs dev dev; \$b mount -t tmpfs run run
\$b mkdir -p dev/shm dev/pts run/netns run/out
\$b mount -t tmpfs shm dev/shm; \$b mount -t devpts pts dev/pts; \$b mount -t bpf bpf sys/fs/bpf
\$b ln -s /proc/self/fd dev/fd
\$b mount -t virtiofs out run/out
echo; echo VM-BEGIN
\$b chroot /root /bin/bash /run/out/guest.sh
rc=\$?
echo; echo "VM-STATUS=\$rc"
\$b sync
\$b poweroff -f
I
    chmod 755 "$root/init"
    (cd "$root" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$work/initrd.gz"
    rm -rf "$root"
}
make_initrd

[ $# -gt 0 ] || set -- "$here/transfers.sh"
{
    cat <<'G'
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C TMPDIR=/tmp TERM=dumb
echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6 2>/dev/null
ip link set lo up; ip netns add zcb; ip -n zcb link set lo up
for slot in 04:zca 05:zcb; do
    dev=$(basename /sys/bus/pci/devices/0000:00:"${slot%:*}".0/virtio*/net/*)
    ip link set "$dev" name "${slot#*:}"
done
ip link set zcb netns zcb
ip -n zcb addr add 10.9.0.2/24 dev zcb; ip -n zcb link set zcb up
ip addr add 10.9.0.1/24 dev zca; ip link set zca up
G
    printf 'export BUILD=%q SLUICE=%q\n' "$BUILD" "${SLUICE:-$BUILD/sluice}"
    for name in ${!DEMO_@}; do printf 'export %s=%q\n' "$name" "${!name}"; done
    printf 'cd %q\nexec' "$top"
    printf ' %q' "$@"
    echo
} >"$OUT/guest.sh"

# ---- boot -----------------------------------------------------------------------------------------------------

pids=()
machine=
cleanup() {
    local p
    for p in $machine "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
    wait 2>/dev/null || true
    pids=() machine=
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# share NAME DIR ro|rw   virtiofsd in a mount namespace of its own, where a bind mount makes DIR read-only
share() {
    rm -f "$work/$1.sock"
    unshare -m --propagation private sh -c 'mount --bind "$1" /mnt && { [ "$2" = rw ] || mount -o remount,bind,ro /mnt; } &&
        exec /usr/lib/qemu/virtiofsd --socket-path="$0" -o source=/mnt -o sandbox=chroot -o cache="$3" -o no_writeback' \
        "$work/$1.sock" "$2" "$3" "$([ "$3" = rw ] && echo auto || echo always)" >"$work/$1.log" 2>&1 8>&- &
    pids+=($!)
    local i
    for ((i = 0; i < 100; i++)); do
        [ -S "$work/$1.sock" ] && return
        sleep 0.05
    done
    die "virtiofsd did not start: $(tail -n 1 "$work/$1.log")"
}

MEM=${MEM:-1536}
nic=disable-legacy=on,iommu_platform=on
for try in $(seq "${TRIES:-2}"); do
    share host / ro
    share out "$OUT" rw
    : >"$work/console"
    say "booting (the machine's own words follow)"
    # cmpxchg16b is left out: QEMU 7.2 computes its flags wrongly now and then
    timeout "${LIMIT:-1800}" qemu-system-x86_64 -accel tcg -M q35 -cpu max,-cx16 -smp "${SMP:-1}" -m "$MEM" \
        -object memory-backend-memfd,id=mem,size="${MEM}M",share=on -numa node,memdev=mem \
        -chardev socket,id=c1,path="$work/host.sock" -device vhost-user-fs-pci,chardev=c1,tag=host \
        -chardev socket,id=c2,path="$work/out.sock" -device vhost-user-fs-pci,chardev=c2,tag=out \
        -netdev hubport,id=na,hubid=0 -device virtio-net-pci,addr=4,netdev=na,mac=52:54:00:00:00:0a,$nic \
        -netdev hubport,id=nb,hubid=0 -device virtio-net-pci,addr=5,netdev=nb,mac=52:54:00:00:00:0b,$nic \
        -nographic -nodefaults -no-reboot -serial "file:$work/console" -kernel "$vmlinuz" -initrd "$work/initrd.gz" \
        -append "console=ttyS0 quiet panic=-1" >"$work/qemu.log" 2>&1 8>&- &
    machine=$!
    tail -n +1 -f --pid=$machine "$work/console" | tr -d '\r' | sed -u '1,/^VM-BEGIN/d; /^VM-STATUS=/d; /reboot: Power down/d' &
    words=$!
    wait $machine || true
    wait $words || true
    machine=
    cleanup
    if grep -aq '^VM-STATUS=' "$work/console"; then break; fi
    # a machine that died is booted again, a command that failed is not; either way it is said
    say "the machine died before its end (try $try): $(grep -a -m3 -E 'Oops|BUG|panic|insmod' "$work/console" || tail -n 1 "$work/qemu.log")"
done
status=$(tr -d '\r' <"$work/console" | sed -n 's/^VM-STATUS=\([0-9]*\).*/\1/p' | tail -n 1)
say "status ${status:-none: the machine did not come to the end}"
exit "${status:-125}"
