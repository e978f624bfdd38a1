#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# What netem, the kernel's own, does to packets is what the load generator counts, and it does without
# what io_uring lacks. The rest of that test runs beside the virtual machines
# (guest-tests/workload/tests/workload-paths), where there may be no netem.
# vm: timeout=480 no-sanitizer="what it tests isn't in the modules"
set -e
modprobe -a veth sch_netem
exec /vd/guest-tests/workload/tests/workload-paths --only without --only netem
