#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The dirty log against what memory shows: split and packed rings, in order, under a copying
# thread. The same program on stock's node shows that the test is a fair one.
# vm: timeout=240
# allow-log: vhost_direct: .*can't write the dirty log  # a test takes the log's memory away
# shellcheck disable=SC2317,SC2154 # called through check; set by relay.sh
# shellcheck source=guest-tests/lab/ktap.sh
. /vd/guest-tests/lab/ktap.sh
# shellcheck source=guest-tests/progs/relay.sh
. /vd/guest-tests/progs/relay.sh

[ -x "$progs/dirty-log" ] || skip_all "build/guest-tests isn't built (make -C guest-tests/progs)"
for metadata in direct user; do
	check "$metadata: the modules load" load_ours metadata=$metadata
	relay "$metadata: " dirty-log "$node"
	check "$metadata: they unload" unload_ours
done
check "stock vhost_net loads" modprobe vhost_net
relay "stock: " dirty-log /dev/vhost-net
check "stock unloads" rmmod vhost_net
ktap_done
