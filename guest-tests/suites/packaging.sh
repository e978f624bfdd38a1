#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# What packaging/ says works on an installed system: dependencies, node, takeover.
# vm: timeout=120 own-boot
# shellcheck disable=SC2317 # the functions are called through check
# shellcheck source=guest-tests/lab/ktap.sh
. /vd/guest-tests/lab/ktap.sh

[ -e /vd/vhost_direct_net.ko ] || skip_all "the modules are not built"
[ -x /lib/systemd/systemd-udevd ] || skip_all "no udev in this image"

here=/lib/modules/$(uname -r)
extra=$here/extra

# Some kernels have tun and tap built in.
loaded() {
	grep -q "^$1 " /proc/modules ||
		grep -q "/$1\.ko$" "/lib/modules/$(uname -r)/modules.builtin"
}

# A folder of modules with few in it: depmod reads each one, and thousands take minutes here
# where they are compressed.
few_modules() (
	set -e
	few=/run/packaging-modules
	mkdir -p "$few/extra"
	cp "$here"/modules.order "$here"/modules.builtin* "$few"
	modprobe --show-depends --all tun tap vhost_net macvtap dummy | sed -n 's/^insmod //p' | sort -u | while read -r path _; do
		mkdir -p "$few/$(dirname "${path#"$here"/}")"
		cp "$path" "$few/${path#"$here"/}"
	done
	mount --bind "$few" "$here"
)

settle() {
	udevadm settle --timeout=20
}

node_is() {
	found=$(stat -c '%G %a %t:%T' "$1")
	echo "$found"
	case $found in
	"$2"*) ;;
	*) return 1 ;;
	esac
}

opens() {
	: <"$1"
}

in_use() {
	[ "$(cat /sys/module/vhost_direct_net/refcnt)" -gt 0 ]
}

pidfile=/run/packaging-qemu.pid

qemu_with_vhostfd() {
	qemu-system-x86_64 -machine q35,accel=tcg -m 64 -S -display none -daemonize -pidfile "$pidfile" \
		-netdev tap,id=n0,ifname=tap0,script=no,downscript=no,vhost=on,vhostfd=4 \
		-device virtio-net-pci,netdev=n0,romfile=
}

# Two pairs of queues: as README has it for a QEMU without our patches.
qemu_with_vhostfds() {
	qemu-system-x86_64 -machine q35,accel=tcg -m 64 -S -display none -daemonize -pidfile "$pidfile" \
		-netdev tap,id=n0,fds=6:7,vhost=on,vhostfds=4:5 \
		-device virtio-net-pci,netdev=n0,mq=on,mac="$(cat /sys/class/net/vd-mv/address)",romfile=
}

macvtap() {
	ip link add vd-low type dummy && ip link set vd-low up &&
		ip link add link vd-low name vd-mv type macvtap mode bridge && ip link set vd-mv up &&
		[ -c "/dev/tap$(cat /sys/class/net/vd-mv/ifindex)" ]
}

two_devices() {
	[ "$(find /sys/kernel/debug/vhost_direct -mindepth 1 -maxdepth 1 -name "$(cat "$pidfile")-*" | wc -l)" = 2 ]
}

worker_of_qemu() {
	[ "$(grep -lx "vhost-$(cat "$pidfile")" /proc/[0-9]*/comm | wc -l)" = 1 ]
}

device_of_qemu() {
	grep ring_size "/sys/kernel/debug/vhost_direct/$(cat "$pidfile")"-*/tx
}

end_qemu() {
	pid=$(cat "$pidfile")
	kill "$pid"
	timeout 20 sh -c "while [ -e /proc/$pid ]; do sleep 0.1; done"
}

# Uncomments the example's lines that begin with one of the words.
takeover_example() {
	sed -nE 's/^#(options vhost_direct_net takeover|alias|blacklist)/\1/p' \
		/vd/packaging/modprobe.d-vhost-direct.conf >/etc/modprobe.d/vhost-direct.conf
	[ "$(wc -l </etc/modprobe.d/vhost-direct.conf)" = 4 ]
}

check "a folder of the modules that are needed" few_modules
mkdir -p /etc/udev/rules.d
cp /vd/vhost_direct.ko /vd/vhost_direct_net.ko "$extra"
cp /vd/packaging/60-vhost-direct.rules /etc/udev/rules.d
check "depmod" depmod
check "udev starts" /lib/systemd/systemd-udevd --daemon
check "modprobe loads the core, tun and tap too" modprobe vhost_direct_net
for module in vhost_direct tun tap; do
	check "$module is loaded" loaded $module
done
check "stock's module is not" sh -c '! grep -q "^vhost_net " /proc/modules'
check "udev has seen the node" settle
check "the node is group kvm's" node_is /dev/vhost-direct-net "kvm 660"
check "it opens" opens /dev/vhost-direct-net
exec 4<>/dev/vhost-direct-net
check "QEMU takes the open node as vhostfd" qemu_with_vhostfd
exec 4<&-
check "its worker is named after QEMU" worker_of_qemu
check "debugfs shows QEMU's device" device_of_qemu
check "QEMU ends" end_qemu
check "a macvtap" macvtap
tap=/dev/tap$(cat /sys/class/net/vd-mv/ifindex)
exec 4<>/dev/vhost-direct-net 5<>/dev/vhost-direct-net 6<>"$tap" 7<>"$tap"
check "QEMU takes two open files of the node as vhostfds, and two of a macvtap" qemu_with_vhostfds
exec 4<&- 5<&- 6<&- 7<&-
check "debugfs shows two devices" two_devices
check "that QEMU ends" end_qemu
ip link del vd-low
check "modprobe -r takes both away" modprobe -r vhost_direct_net
check "the core is gone" sh -c '! grep -q "^vhost_direct " /proc/modules'
check "stock's module beside ours" modprobe -a vhost_net vhost_direct_net
refuse "takeover while stock's module is loaded" sh -c \
	'modprobe -r vhost_direct_net && modprobe vhost_direct_net takeover=1'
check "stock's module goes" modprobe -r vhost_net

check "the takeover example" takeover_example
# At boot systemd makes this node of modules.devname, before anything is loaded.
rm -f /dev/vhost-net
mknod /dev/vhost-net c 10 238
check "opening /dev/vhost-net loads ours" opens /dev/vhost-net
check "ours is loaded" loaded vhost_direct_net
check "stock's module is not, with takeover" sh -c '! grep -q "^vhost_net " /proc/modules'
check "udev has seen the taken node" settle
check "the taken node is stock's: 10:238, group kvm" node_is /dev/vhost-net "kvm 660 a:ee"
exec 4</dev/vhost-net
check "an open file counts for ours" in_use
refuse "no unloading while it is open" modprobe -r vhost_direct_net
exec 4<&-
check "and back" modprobe -r vhost_direct_net
check "with the takeover's lines, stock's module comes if it is named" modprobe vhost_net
check "its node, taken before, opens" opens /dev/vhost-net
check "it goes" modprobe -r vhost_net
rm -f /etc/modprobe.d/vhost-direct.conf
check "stock's module serves again" modprobe vhost_net
check "its node opens" opens /dev/vhost-net
udevadm control --exit
ktap_done
