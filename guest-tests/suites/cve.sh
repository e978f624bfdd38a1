#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Tests of published bugs on stock's node. Those it passes ask for nothing unheard of; those
# it fails see the fault that they are made for. Ours passes all of them, in the suites that
# docs/cve.md names.
# vm: timeout=180
# shellcheck disable=SC2317,SC2154 # called through check; set by relay.sh
# shellcheck source=guest-tests/lab/ktap.sh
. /vd/guest-tests/lab/ktap.sh
# shellcheck source=guest-tests/progs/relay.sh
. /vd/guest-tests/progs/relay.sh

stock=/dev/vhost-net

# A head that it can't consume stays where it is.
stuck() {
	"$progs/bad-input" "$stock" batch stuck >/tmp/stuck 2>&1
	cat /tmp/stuck
	grep -q '^1\.\.2$' /tmp/stuck
}

[ -x "$progs/bad-input" ] || skip_all "build/guest-tests isn't built (make -C guest-tests/progs)"
modprobe -a tun tap
check "stock vhost_net loads" modprobe vhost_net
relay "stock: " bad-input $stock batch stock
relay "stock: " storm $stock 1 backend
relay "stock: " device loops $stock
check "stock: the tests that hold up its queue run" stuck
check "stock: a chain shorter than the header is seen to hold up the queue (CVE-2022-2132)" \
	grep -q '^not ok .*CVE-2022-2132' /tmp/stuck
check "stock: a checksum beyond the frame is seen to hold up the queue (CVE-2024-11614)" \
	grep -q '^not ok .*CVE-2024-11614' /tmp/stuck
check "stock unloads" rmmod vhost_net
ktap_done
