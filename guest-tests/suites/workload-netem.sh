#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# What netem, the kernel's own, does to packets is what the load generator counts; each of its paths
# to each other one on this kernel; networks that are too slow. The rest of that test runs beside the virtual machines
# (guest-tests/workload/tests/workload-paths), where there may be no netem.
# vm: timeout=240
set -e
modprobe -a veth sch_netem
exec /vd/guest-tests/workload/tests/workload-paths --only paths --only slow --only without --only netem
