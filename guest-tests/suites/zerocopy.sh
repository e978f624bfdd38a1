#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# TX zero copy: which frames go uncopied, when their buffers come back, what is counted, and who
# takes the device away meanwhile. The module vd_keep is a network that keeps frames as long as
# a test wants and shows their contents; then a bridge with a delay, XDP and macvtap; then
# traffic under memory events. What comes back is in the dirty log.
# vm: timeout=300 append="secretmem.enable=1"
# shellcheck disable=SC2317,SC2154 # called through check; set by relay.sh
# shellcheck source=guest-tests/lab/ktap.sh
. /vd/guest-tests/lab/ktap.sh
# shellcheck source=guest-tests/progs/relay.sh
. /vd/guest-tests/progs/relay.sh

param=/sys/module/vhost_direct_net/parameters/experimental_zcopytx

# load_zerocopy METADATA [PARAMETER]
load_zerocopy() {
	# shellcheck disable=SC2034 # load_ours reads it
	net_parameters=${2:-}
	load_ours metadata="$1"
}

# Uncopied frames there must be, and what vring checks is right.
under_events() {
	/vd/build/bench/vring --dev "$node" --dir both --check --size 1500 --seconds 3 "$@" \
		>/tmp/vring.json || return
	python3 -c '
import json
stats = json.load(open("/tmp/vring.json"))["stats"]["tx"]
print(stats)
assert stats["zerocopy"] > 0 and abs(stats["zerocopy"] - stats["zerocopy_done"]) <= 128'
}

was_late() {
	[ "$(cat /sys/module/vd_inject/parameters/done)" -gt 0 ]
}

[ -x "$progs/zerocopy" ] || skip_all "build/guest-tests isn't built (make -C guest-tests/progs)"
[ -e /vd/guest-tests/kmod/vd_keep.ko ] || skip_all "guest-tests/kmod isn't built (make modules VD_TESTS=y)"
# Modules on some kernels, built in or not there at all on others.
modprobe -aq dummy macvtap bridge sch_netem
check "somebody who keeps frames" insmod /vd/guest-tests/kmod/vd_keep.ko
check "the modules load" load_zerocopy direct
check "experimental_zcopytx is 0 unless it is asked for, as stock's" grep -qx 0 $param
relay "zero copy off: " zerocopy $node off
check "they unload" unload_ours
for metadata in direct user; do
	check "$metadata: the modules load with experimental_zcopytx=1" load_zerocopy $metadata experimental_zcopytx=1
	relay "$metadata: zero copy: " zerocopy $node on
	relay "$metadata: zero copy: " zerocopy $node network
	check "$metadata: zero copy: traffic of a driver that fills the ring" under_events
	check "$metadata: zero copy: chains, indirect" under_events --chain 5 --indirect --size 300:4000
	check "$metadata: they unload" unload_ours
done
check "the modules load once more" load_zerocopy direct experimental_zcopytx=1
# Chains go back in the ioctl then.
check "the worker is held up before it looks at what has left" \
	insmod /vd/guest-tests/kmod/vd_inject.ko func=vhost_direct_net:vd_net_tx_socket usecs=300000
relay "zero copy, a late worker: " zerocopy $node on log-stop
check "the worker came late" was_late
check "the worker is held up no more" rmmod vd_inject
check "zero copy: traffic under memory events" under_events --queues 2 --events fork,split,unrelated,mremap
check "they unload at last" unload_ours
check "nothing is kept" rmmod vd_keep
ktap_done
