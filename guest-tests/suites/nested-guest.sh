#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A guest VM of Debian's unmodified QEMU on /dev/vhost-net: stock's module first, to know
# that the guest works, then this project's in its place.
# vm: timeout=420 no-sanitizer="a nested guest needs kvm_amd and is too slow there"
# One processor that ticks all the time: docs/maintainers.md, "Nested guests".
# vm: smp=1 append="nohz=off highres=off"
# vm 7.2: timeout=480
# shellcheck disable=SC2317 # the functions are called through check
# shellcheck source=guest-tests/lab/ktap.sh
. /vd/guest-tests/lab/ktap.sh

nested=/vd/guest-tests/lab/nested-guest
out=/tmp/nested-guest

line() {
	grep -q "^nested backend=$1 test=$2 .*$3" "$out"
}

ping_complete() {
	line "$1" ping 'sent=50 received=50 '
}

# try BACKEND [OPTION...]: a guest with that back end, and its card with the options
try() {
	backend=$1
	shift
	$nested --backend "$backend" --seconds 2 "$@" >"$out" 2>&1
	status=$?
	diag "$(cat "$out")"
	tested "$backend${2:+ ($2)}"
}

# Stock may lose frames: it is here to show that the guest works.
tested() {
	lost=0
	[ "$backend" = stock ] && lost=
	check "$1: the guest boots" line "$backend" boot seconds=
	check "$1: QEMU uses the back end" line "$backend" vhost pid=
	check "$1: no ping is lost" ping_complete "$backend"
	check "$1: packets from the guest${lost:+, none lost}" line "$backend" tx "frames=[1-9].* lost=$lost"
	check "$1: packets to the guest${lost:+, none lost}" line "$backend" rx "frames=[1-9].* lost=$lost"
	check "$1: a file to the guest arrives unchanged" line "$backend" send sha256=
	check "$1: a file from the guest arrives unchanged" line "$backend" fetch sha256=
	check "$1: the modules unload afterwards" grep -q "test=unload" "$out"
	check "$1: nothing failed" test $status = 0
}

try stock
if [ -e /vd/vhost_direct.ko ] && [ -e /vd/vhost_direct_net.ko ]; then
	try direct
	try user
	# Which stock has never had.
	try direct --device ,packed=on
	check "direct (,packed=on): the rings are packed" line direct vhost rings=packed
else
	skip "direct: the guest boots" "the modules are not built"
fi
ktap_done
