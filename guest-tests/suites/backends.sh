#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Back ends beside the tap: frames both ways, contents checked, through macvtap, ipvtap and a
# packet socket, each on one end of a cable (veth) whose other end is the network. Frames with a
# VLAN tag to the guest, through these and a tap. And
# segmentation of UDP tunnels, and taps that hold their senders back, where the kernel's tun can. The same
# on stock's node shows that the test is a fair one. Which files are refused: suite ioctl.
# vm: timeout=450
# shellcheck disable=SC2317,SC2154 # called through check; set by relay.sh
# shellcheck source=guest-tests/lab/ktap.sh
. /vd/guest-tests/lab/ktap.sh
# shellcheck source=guest-tests/progs/relay.sh
. /vd/guest-tests/progs/relay.sh

cable() {
	modprobe -a veth macvtap ipvtap tun tap
	modprobe -q 8021q
	ip link add vd-a type veth peer name vd-b || return
	for end in vd-a vd-b; do
		echo 1 >/proc/sys/net/ipv6/conf/"$end"/disable_ipv6
		ip link set "$end" mtu 1600 up
	done
}

char_device() {
	echo "/dev/tap$(cat /sys/class/net/vd-tap/ifindex)"
}

# on_cable TYPE MODE
on_cable() {
	ip link add link vd-a name vd-tap type "$1" mode "$2" || return
	echo 1 >/proc/sys/net/ipv6/conf/vd-tap/disable_ipv6
	ip link set vd-tap up
	# How an ipvtap knows its frames.
	[ "$1" != ipvtap ] || ip addr add 10.9.9.2/24 dev vd-tap || return
	[ -c "$(char_device)" ]
}

all_kinds() {
	# How the ring is read has nothing to do with the back end: not all of it again.
	[ "$1" = user ] || for kind in "macvtap passthru" "ipvtap l2"; do
		check "$1: ${kind% *} on the cable" on_cable "${kind% *}" "${kind#* }"
		relay "$1: " backends "$2" "${kind% *}" vd-a vd-b "$(char_device)"
		ip link del vd-tap
	done
	relay "$1: " backends "$2" "packet socket" vd-a vd-b
	relay "$1: " backends "$2" tap
	relay "$1: " tunnel "$2"
	relay "$1: " backpressure "$2"
	# Stock promises more than it has: it may stand still.
	[ "$1" = stock ] || relay "$1: " gather "$2"
}

[ -x "$progs/backends" ] || skip_all "build/guest-tests isn't built (make -C guest-tests/progs)"
check "a cable" cable
check "stock vhost_net loads" modprobe vhost_net
all_kinds stock /dev/vhost-net
check "stock unloads" rmmod vhost_net
for metadata in direct user; do
	check "$metadata: the modules load" load_ours metadata=$metadata
	all_kinds $metadata $node
	check "$metadata: they unload" unload_ours
done
ip link del vd-a
ktap_done
