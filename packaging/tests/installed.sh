#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The system that packaging/tests/dkms.sh leaves, booted: the package's modules at work, and purged
# under a loaded module; then make install, what a boot does, and make uninstall.
# shellcheck disable=SC2317 # the functions are called through check
# shellcheck source=guest-tests/lab/ktap.sh
. /vd/guest-tests/lab/ktap.sh

release=$(uname -r)
here=/lib/modules/$release
node=/dev/vhost-direct-net
export DEBIAN_FRONTEND=noninteractive

# The module in memory is the file that modprobe finds, and that is where it should be.
is_from() {
	for module in vhost_direct vhost_direct_net; do
		path=$(modinfo -n "$module") || return
		echo "$path"
		case $path in
		"$here/$1"/$module.ko*) ;;
		*) return 1 ;;
		esac
		for field in version srcversion; do
			[ "$(cat /sys/module/"$module"/"$field")" = "$(modinfo -F "$field" "$module")" ] || return
		done
	done
}

# udevd may look for new rules later than it sees the node.
node_is_kvm() {
	udevadm settle --timeout=60
	found=$(stat -c '%G %a' "$node")
	echo "$found"
	[ "$found" = "kvm 660" ]
}

traffic() {
	/vd/build/bench/vring --dev "$node" --dir both --packets 2000 --check --warmup 0 --timeout 30
}

ours() {
	find /etc /lib/modules /usr/lib/udev /lib/udev /usr/src /usr/local /usr/sbin /usr/share/man /var/lib/dkms \
		-iname '*vhost*direct*'
	grep -rl 'vhost.direct' "$here"/modules.* /etc
}

nothing_left() {
	left=$(ours)
	[ -z "$left" ] || { echo "$left" && false; }
}

files() {
	find /etc /lib/modules /usr/local /lib/udev ! -name '*.bin' | sort
}

# Nothing that follows says anything without it.
node_or_end() {
	[ -c "$node" ] && return
	fail "there is a node" "$(dmesg | tail -n 20)"
	ktap_done
}

unloaded() {
	! grep -q '^vhost_direct' /proc/modules && [ ! -e "$node" ]
}

# As make sign left them: the installation may strip or compress.
are_signed() {
	serial=$(openssl x509 -inform DER -in /root/vhost-direct/build/sign/MOK.der -noout -serial)
	for module in vhost_direct vhost_direct_net; do
		signed=$(modinfo -F sig_key "$module" | tr -d :)
		echo "$module: ${signed:-no signature}, $serial"
		[ "serial=$signed" = "$serial" ] || return
	done
}

in_source() {
	make -s -C /root/vhost-direct "$@"
}

# DKMS's build is in the way, and make install says so.
install_shadowed() {
	mkdir -p "$here/updates/dkms"
	cp /root/vhost-direct/vhost_direct*.ko "$here/updates/dkms"
	in_source install >/run/said 2>&1
	status=$?
	rm -r "$here/updates/dkms"
	rmdir --ignore-fail-on-non-empty "$here/updates"
	depmod
	cat /run/said
	[ "$status" = 0 ] && grep -q "modprobe takes $here/updates/dkms/vhost_direct_net.ko, not" /run/said &&
		grep -q "dkms uninstall vhost-direct/" /run/said
}

install_quiet() {
	in_source install >/run/said 2>&1 || { cat /run/said && false; }
	! grep "modprobe takes" /run/said
}

check "udev starts" /lib/systemd/systemd-udevd --daemon
check "modprobe by name" modprobe vhost_direct_net
node_or_end
check "what is loaded is what DKMS built" is_from updates/dkms
check "the node is group kvm's by the package's rule" node_is_kvm
check "it moves packets" traffic
exec 4<>$node
check "the package is purged while its module is loaded, and its node open" \
	dpkg -P vhost-direct-dkms
check "no file is left of it" nothing_left
check "the loaded module goes on" traffic
exec 4<&-
check "rmmod takes it away" rmmod vhost_direct_net vhost_direct
check "it is gone" unloaded
refuse "and doesn't come back" modprobe vhost_direct_net

files >/run/before
check "make install beside a build by DKMS says which one modprobe takes" install_shadowed
check "make install alone says nothing of that" install_quiet
check "modprobe by name, after make install" modprobe vhost_direct_net
check "what is loaded is what make installed" is_from extra
check "it is signed as make sign did it" are_signed
check "the node is group kvm's by the rule of make install" node_is_kvm
check "it moves packets, after make install" traffic
check "vhost-direct-top is in the path, and shows no device" vhost-direct-top --once
check "modprobe -r" modprobe -r vhost_direct_net
check "all is unloaded" unloaded

# What a boot does of it: udev's rules are read, and systemd loads what it is told to.
udevadm control --exit
cp /root/vhost-direct/packaging/modules-load.d-vhost-direct.conf /etc/modules-load.d/vhost-direct.conf
check "udev starts, as at boot" /lib/systemd/systemd-udevd --daemon
check "systemd-modules-load" /lib/systemd/systemd-modules-load
check "it has loaded the module" is_from extra
check "the node is group kvm's, as at boot" node_is_kvm

rm /etc/modules-load.d/vhost-direct.conf
check "make uninstall, with the module loaded" in_source uninstall
files >/run/after
check "what there was before is there, and nothing else" diff /run/before /run/after
check "nothing is left" nothing_left
check "rmmod takes that away, too" rmmod vhost_direct_net vhost_direct
refuse "which doesn't come back either" modprobe vhost_direct_net
udevadm control --exit
ktap_done
