#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A hostile driver against our node: illegal rings, memory that isn't there, words rewritten
# while they are read. With the rings reached directly and by user access, with frames in
# batches and one by one.
# vm: timeout=900
# shellcheck disable=SC2317,SC2154 # called through check; set by relay.sh
# shellcheck source=guest-tests/lab/ktap.sh
. /vd/guest-tests/lab/ktap.sh
# shellcheck source=guest-tests/progs/relay.sh
. /vd/guest-tests/progs/relay.sh

[ -x "$progs/bad-input" ] || skip_all "build/guest-tests isn't built (make -C guest-tests/progs)"
for metadata in direct user; do
	check "$metadata: the modules load" load_ours metadata=$metadata
	# How frames are sent has nothing to do with how the ring is read.
	[ $metadata = user ] || relay "$metadata, one by one: " bad-input "$node" single
	# Last: what is logged is limited for a minute then, until the modules are loaded anew.
	relay "$metadata, batches: " bad-input "$node" batch
	check "$metadata: the modules unload afterwards" unload_ours
done
ktap_done
