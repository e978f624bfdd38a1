#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A worker a queue, and the other ioctls that stock got after 6.1: ours has them everywhere.
# vm: timeout=120
# shellcheck disable=SC2317,SC2154 # called through check; set by relay.sh
# shellcheck source=guest-tests/lab/ktap.sh
. /vd/guest-tests/lab/ktap.sh
# shellcheck source=guest-tests/progs/relay.sh
. /vd/guest-tests/progs/relay.sh

[ -x "$progs/workers" ] || skip_all "build/guest-tests isn't built (make -C guest-tests/progs)"
check "the modules load" load_ours
relay "" workers "$node"
check "they unload" unload_ours
ktap_done
