#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The device IOTLB: a program that is driver, owner and IOMMU in one moves the guest's pages
# about under traffic. With windows and without, with an IOTLB that holds next to nothing, or
# nothing, and on stock's node, which shows that the test is a fair one.
# Red zones behind small pieces of kernel memory: who writes there is reported in the kernel log.
# vm: timeout=700 append="slub_debug=FZ,kmalloc-*"
# shellcheck disable=SC2317,SC2154 # called through check; set by relay.sh
# shellcheck source=guest-tests/lab/ktap.sh
. /vd/guest-tests/lab/ktap.sh
# shellcheck source=guest-tests/progs/relay.sh
. /vd/guest-tests/progs/relay.sh

entries() {
	[ "$(cat /sys/module/vhost_direct/parameters/max_iotlb_entries)" = "$1" ]
}

[ -x "$progs/iotlb" ] || skip_all "build/guest-tests isn't built (make -C guest-tests/progs)"
check "a module that asks for pages' age loads" insmod /vd/guest-tests/kmod/vd_ask.ko
for metadata in direct user; do
	check "$metadata: the modules load" load_ours metadata=$metadata
	check "$metadata: max_iotlb_entries is stock's" entries 2048
	VD_METADATA=$metadata relay "$metadata: " iotlb "$node"
	check "$metadata: they unload" unload_ours
done
rmmod vd_ask
check "16 entries: the modules load" load_ours max_iotlb_entries=16
relay "16 entries: " iotlb "$node"
check "16 entries: they unload" unload_ours
check "stock vhost_net loads" modprobe vhost_net
relay "stock: " iotlb /dev/vhost-net
check "stock unloads" rmmod vhost_net
check "no entry: the modules load" load_ours max_iotlb_entries=0
relay "no entry: " iotlb "$node" none
check "no entry: they unload" unload_ours
rmmod vhost 2>/dev/null
check "no entry: stock loads" sh -c "modprobe vhost max_iotlb_entries=0 && modprobe vhost_net"
relay "stock, no entry: " iotlb /dev/vhost-net none
check "no entry: stock unloads" rmmod vhost_net vhost
ktap_done
