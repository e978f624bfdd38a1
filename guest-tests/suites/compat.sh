#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Devices that 32-bit programs set up and drive on the 64-bit kernel (compat ioctls); that each call
# is answered as stock answers it is in suite ioctl. Messages of an IOTLB in their first form have
# another layout in such a program, with stock as well: it must use the second, as iotlb does here.
# vm: timeout=180
# shellcheck disable=SC2317,SC2154 # called through check; set by relay.sh
# shellcheck source=guest-tests/lab/ktap.sh
. /vd/guest-tests/lab/ktap.sh
# shellcheck source=guest-tests/progs/relay.sh
. /vd/guest-tests/progs/relay.sh

[ -x "$progs/32/reset" ] || skip_all "build/guest-tests isn't built (make -C guest-tests/progs)"
# Without an argument it says how it is used, and ends with 2.
"$progs/32/reset" 2>/dev/null
[ $? -eq 2 ] || skip_all "this kernel runs no 32-bit programs"
check "the modules load" load_ours
relay "32 bits: " 32/reset $node
relay "32 bits: " 32/dirty-log $node
relay "32 bits: " 32/workers $node
relay "32 bits: " 32/iotlb $node v2
check "they unload" unload_ours
ktap_done
