#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Busy polling: its ioctls, traffic of a driver that kicks only when it is asked to, the sibling
# queue, and the ends of a poll.
# vm: timeout=240
# shellcheck disable=SC2317,SC2154 # called through check; set by relay.sh
# shellcheck source=guest-tests/lab/ktap.sh
. /vd/guest-tests/lab/ktap.sh
# shellcheck source=guest-tests/progs/relay.sh
. /vd/guest-tests/progs/relay.sh

[ -x "$progs/busy" ] || skip_all "build/guest-tests isn't built (make -C guest-tests/progs)"
for metadata in direct user; do
	check "$metadata: the modules load" load_ours metadata=$metadata
	relay "$metadata: " busy $node
	check "$metadata: they unload" unload_ours
done
ktap_done
