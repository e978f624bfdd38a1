#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# What a queue does at a time: when the driver is told, when it is to kick, frames taken ahead of
# their buffers, batches, and a queue's share of the worker; by counts of calls. On stock as well:
# these are its habits.
# vm: timeout=180
# shellcheck disable=SC2317,SC2154 # called through check; set by relay.sh
# shellcheck source=guest-tests/lab/ktap.sh
. /vd/guest-tests/lab/ktap.sh
# shellcheck source=guest-tests/progs/relay.sh
. /vd/guest-tests/progs/relay.sh

# turns PREFIX NODE TX RX: of ours or stock's, what a kick of either queue runs
turns() {
	relay "$1" turns "$2" signal told wish ahead
	[ "$2" != "$node" ] || relay "$1" turns "$2" long
	# A part of the sanitizer kernels, a module of Debian's, which the first tap loads.
	tun=
	! grep -q '^tun ' /proc/modules || tun=tun:
	check "${1}calls of the socket are counted" \
		insmod /vd/guest-tests/kmod/vd_inject.ko func=${tun}tun_sendmsg comm=vhost-
	relay "$1" turns "$2" batch
	check "${1}visits are counted instead" sh -c "rmmod vd_inject &&
		insmod /vd/guest-tests/kmod/vd_inject.ko func=$3 comm=vhost-"
	relay "$1" turns "$2" share
	check "${1}visits of the other queue are" sh -c "rmmod vd_inject &&
		insmod /vd/guest-tests/kmod/vd_inject.ko func=$4 comm=vhost-"
	relay "$1" turns "$2" share-rx
	check "${1}nothing is counted any more" rmmod vd_inject
}

[ -x "$progs/turns" ] || skip_all "build/guest-tests isn't built (make -C guest-tests/progs)"
[ -e /vd/guest-tests/kmod/vd_inject.ko ] || skip_all "guest-tests/kmod isn't built (make modules VD_TESTS=y)"
for metadata in direct user; do
	check "$metadata: the modules load" load_ours metadata=$metadata
	turns "$metadata: " $node vhost_direct_net:vd_net_tx_kick vhost_direct_net:vd_net_rx_kick
	check "$metadata: polls of sockets can be held up" insmod /vd/guest-tests/kmod/vd_inject.ko \
		func=vhost_direct:vd_poll_again usecs=0 comm=vhost-
	relay "$metadata: " turns $node shown
	check "$metadata: nothing is held up any more" rmmod vd_inject
	check "$metadata: they unload" unload_ours
done
check "stock vhost_net loads" modprobe vhost_net
turns "stock: " /dev/vhost-net vhost_net:handle_tx_kick vhost_net:handle_rx_kick
check "stock unloads" rmmod vhost_net
ktap_done
