#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# What dkms and dpkg do with the modules, in an image's file system. Run by packaging/tests/dkms:
# its root is the image's, with dkms, in /run/test what is tested; $release the kernel's, $version ours.
# shellcheck disable=SC2317 # the functions are called through check
# shellcheck source=guest-tests/lab/ktap.sh
. /run/test/ktap.sh

new=/run/test/vhost-direct-dkms_${version:?}_all.deb
old=/run/test/old.deb
here=/lib/modules/${release:?}
said=/run/test/said

# What a command says is looked at, too.
run() {
	"$@" >"$said" 2>&1
	status=$?
	cat "$said"
	return "$status"
}

says() {
	tr -s ' \n' '  ' <"$said" | grep -Eqi "$1" || { cat "$said" && false; }
}

# Files of ours, and lines about us in what depmod makes.
left() {
	find / -xdev -iname '*vhost*direct*' ! -path '/root/*' ! -path '*/.vd/*'
	find "$here" -name updates -empty
	grep -rl vhost_direct "$here"/modules.* /etc /var/lib/dkms
}

nothing_left() {
	left=$(left)
	[ -z "$left" ] || { echo "$left" && false; }
}

none_built() {
	[ -z "$(find /lib/modules -name 'vhost_direct*')" ]
}

status_is() {
	dkms status vhost-direct
	[ "$(dkms status vhost-direct | tr '\n' ' ')" = "$1 " ]
}

configured() {
	[ "$(dpkg-query -W -f '${db:Status-Abbrev}' vhost-direct-dkms)" = "ii " ]
}

# Built for this kernel, where dkms.conf says, with this version's name, and found by depmod.
in_place() {
	for module in vhost_direct vhost_direct_net; do
		path=$(modinfo -k "$release" -n "$module") || return
		echo "$path"
		case $path in
		"$here"/updates/dkms/$module.ko*) ;;
		*) return 1 ;;
		esac
		[ "$(modinfo -k "$release" -F version "$module")" = "$1" ] || return
		[ "$(modinfo -k "$release" -F vermagic "$module" | cut -d' ' -f1)" = "$release" ] || return
	done
}

# That of the core, and what tun and tap are here: modules.
dependencies() {
	modprobe -S "$release" --show-depends vhost_direct_net | tr '\n' ' ' >"$said"
	says "insmod.*/vhost_iotlb.ko.*insmod.*/vhost_direct.ko.*insmod.*/vhost_direct_net.ko"
}

only_version() {
	ls -d /usr/src/vhost-direct-* /var/lib/dkms/vhost-direct/[0-9]*
	[ "$(ls -d /usr/src/vhost-direct-*)" = "/usr/src/vhost-direct-$1" ] &&
		[ "$(ls -d /var/lib/dkms/vhost-direct/[0-9]*)" = "/var/lib/dkms/vhost-direct/$1" ]
}

same_sources() {
	dpkg-deb -x "$new" /tmp/new
	diff -r /tmp/new/usr/src/vhost-direct-"$version" /usr/src/vhost-direct-"$version"
}

# Without packages. What dkms builds of these sources it builds of the package's below.
by_hand() {
	check "make install-dkms" make -C /root/vhost-direct -s install-dkms
	check "it puts there what the package has" same_sources
	check "dkms install adds, builds, installs" dkms install vhost-direct/"$version" -k "$release"
	check "it is in place" in_place "$version"
	check "dkms remove" dkms remove vhost-direct/"$version" --all
	rm -r /usr/src/vhost-direct-"$version"
	check "nothing is left of it" nothing_left
}

# The old version, on a machine whose headers come later.
without_headers() {
	mv "$here/build" "$here/hidden"
	check "without headers the package is installed" run dpkg -i $old
	check "it says that nothing was built, and why" says "skipp.*headers|headers.*skipp"
	check "it is configured" configured
	check "nothing was built" none_built
	mv "$here/hidden" "$here/build"
	check "the hook of the headers' package builds" /etc/kernel/header_postinst.d/dkms "$release"
	check "the old version is in place" in_place 0.0.9
	check "dkms uninstall" dkms uninstall vhost-direct/0.0.9 -k "$release"
	check "it stays built" status_is "vhost-direct/0.0.9, $release, x86_64: built"
	check "no module is left" none_built
	check "dkms install" dkms install vhost-direct/0.0.9 -k "$release"
	check "it is in place again" in_place 0.0.9
}

upgrade() {
	check "dpkg -i of this version over an older one" run dpkg -i "$new"
	check "it is configured after that" configured
	check "this version is in place" in_place "$version"
	check "and is the only one that dkms knows" status_is "vhost-direct/$version, $release, x86_64: installed"
	check "of the older one no file is left" only_version "$version"
	check "depmod knows what it needs" dependencies
}

# Headers and all, but of a version that nobody tests.
another_kernel() {
	other=6.6.0-1-amd64
	mkdir /lib/modules/$other
	cp -d "$here/build" /lib/modules/$other
	refuse "a kernel that isn't tested is refused" run dkms build vhost-direct/"$version" -k $other
	check "because of BUILD_EXCLUSIVE" says "BUILD_EXCLUSIVE directive which does not match this kernel"
	check "the installation of such a kernel doesn't fail" run /etc/kernel/postinst.d/dkms $other
	check "that of its headers neither" run /etc/kernel/header_postinst.d/dkms $other
	check "it is said" says "vhost-direct.*$other|$other.*vhost-direct"
	check "for that kernel there is no module" \
		sh -c "[ -z \"\$(find /lib/modules/$other -name 'vhost_direct*')\" ]"
	rm -r /lib/modules/$other
}

# depmod reads each module, and in the VM, where it comes next, that takes minutes.
few_modules() (
	set -e
	cd "$here"
	modprobe -S "$release" --show-depends --all tun tap vhost_net vhost_direct_net |
		sed -n 's/^insmod \([^ ]*\).*/\1/p' | sort -u >/run/test/needed
	find "$here/kernel" -name '*.ko*' | grep -vxFf /run/test/needed | xargs rm
	depmod "$release"
	modprobe -S "$release" --show-depends --all tun tap vhost_net >/dev/null
	dependencies
)

by_hand
without_headers
upgrade
another_kernel
# As an operator leaves it to make install.
check "make, in the unpacked source package" make -C /root/vhost-direct -s -j"$(nproc)" KDIR="$here/build"
check "make sign makes a pair and signs with it" make -C /root/vhost-direct -s KDIR="$here/build" sign
check "make sign once more changes nothing" run make -C /root/vhost-direct -s KDIR="$here/build" sign
check "it says so" says "vhost_direct.ko is signed already.*vhost_direct_net.ko is signed already"
check "a folder of the modules that are needed" few_modules
ktap_done
