#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The host VM is what the other suites take it for.
# vm: timeout=60
# shellcheck disable=SC2317 # the functions are called through check
# shellcheck source=guest-tests/lab/ktap.sh
. /vd/guest-tests/lab/ktap.sh

has_flag() {
	grep -qw "$1" /proc/cpuinfo
}

mounted() {
	grep -q "^[^ ]* $1 $2 " /proc/mounts
}

can_write() {
	echo "$$" >/results/selftest && [ "$(cat /results/selftest)" = "$$" ]
}

huge_pages() {
	echo 4 >/proc/sys/vm/nr_hugepages
	[ "$(cat /proc/sys/vm/nr_hugepages)" = 4 ] && echo 0 >/proc/sys/vm/nr_hugepages
}

if [ -n "${VD_SANITIZER:-}" ]; then
	check "the kernel is the sanitizer kernel" grep -q -- "-vd-$VD_SANITIZER " /proc/version
else
	check "the kernel is Debian's own" grep -q 'debian-kernel@' /proc/version
fi
check "the modules are this kernel's" modprobe -n vhost_net
check "all processors are up" test "$(nproc)" = 2
check "smap" has_flag smap
check "nested virtualisation" grep -qwE 'svm|vmx' /proc/cpuinfo
# What TCG is bad at is hidden from kernels that it runs; a real processor shows what it has.
for flag in erms fsrm; do
	if grep -q "QEMU TCG CPU" /proc/cpuinfo; then
		refuse "no $flag: it changes which copy routine is measured" has_flag $flag
	else
		skip "no $flag: it changes which copy routine is measured" "under KVM it isn't hidden"
	fi
done
check "the clock is the tsc" grep -qxE 'tsc|kvm-clock' \
	/sys/devices/system/clocksource/clocksource0/current_clocksource
check "cgroup v2" mounted /sys/fs/cgroup cgroup2
check "hugetlbfs" mounted /dev/hugepages hugetlbfs
check "debugfs" mounted /sys/kernel/debug debugfs
check "tracefs" mounted /sys/kernel/tracing tracefs
check "the repository is read-only" mounted /vd 9p
refuse "no writing to the repository" touch /vd/written-from-a-vm
check "results can be written" can_write
check "huge pages" huge_pages
check "stock vhost_net loads" modprobe vhost_net
check "/dev/vhost-net appears" test -c /dev/vhost-net
check "stock vhost_net unloads" rmmod vhost_net
for program in qemu-system-x86_64 dpdk-testpmd ethtool numactl strace swapon bpftool python3; do
	check "$program is installed" command -v $program
done
check "nothing warned during boot" sh -c '! dmesg | grep -q "WARNING:"'
ktap_done
