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
check "they load with fork_from_owner_default=1" load_ours fork_from_owner_default=1
relay "fork_from_owner_default=1: " workers "$node" default
warning="vhost_direct: fork_from_owner_default: this kernel has no such threads"
case $(uname -r) in
6.1.*) check "the kernel's log says that 6.1 can't" sh -c "dmesg | grep -qF '$warning'" ;;
*) check "the kernel's log doesn't complain" sh -c "! dmesg | grep -qF '$warning'" ;;
esac
check "they unload with it" unload_ours
ktap_done
