#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A hostile driver against our node: illegal rings, memory that isn't there, words rewritten
# while they are read. With the rings reached directly and by user access, with frames in
# batches and one by one.
# vm: timeout=420
# shellcheck disable=SC2317 # the functions are called through check
# shellcheck source=guest-tests/lab/ktap.sh
. /vd/guest-tests/lab/ktap.sh

progs=/vd/build/guest-tests
node=/dev/vhost-direct-net
out=/tmp/bad-input

load() {
	modprobe -a tun tap && insmod /vd/vhost_direct.ko metadata="$1" &&
		insmod /vd/vhost_direct_net.ko
}

unload() {
	rmmod vhost_direct_net && rmmod vhost_direct
}

# The program's KTAP becomes part of ours, with the mode before each name.
relay() {
	"$progs/bad-input" "$node" "$@" >"$out" 2>&1
	relay_status=$?
	while IFS= read -r line; do
		case $line in
		"ok "*) pass "$mode: ${line#ok * - }" ;;
		"not ok "*) fail "$mode: ${line#not ok * - }" ;;
		"KTAP "* | "1.."*) ;;
		*) diag "${line#\# }" ;;
		esac
	done <"$out"
	check "$mode: bad-input came to its end" grep -q '^1\.\.' "$out"
	[ $relay_status -le 1 ] || fail "$mode: bad-input ended well" "status $relay_status"
}

[ -x "$progs/bad-input" ] || skip_all "build/guest-tests/bad-input isn't built"
for metadata in direct user; do
	mode=$metadata
	check "$mode: the modules load" load $metadata
	for way in batch single; do
		mode="$metadata $way"
		# The messages are the same for both ways and take time to wait for.
		if [ "$way" = batch ]; then
			relay $way log
		else
			relay $way
		fi
	done
	mode=$metadata
	check "$mode: the modules unload afterwards" unload
done
ktap_done
