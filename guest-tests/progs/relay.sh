# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
# For suites that run our test programs; source it after ktap.sh.

progs=/vd/build/guest-tests
# shellcheck disable=SC2034 # for the suites
node=/dev/vhost-direct-net

# load_ours PARAMETER...: both modules; parameters go to the core, takeover to the other
# load_ours [CORE'S PARAMETER...]; the net back end's are in $net_parameters
net_parameters=
load_ours() {
	# shellcheck disable=SC2086 # words
	modprobe -a tun tap vhost_iotlb && insmod /vd/vhost_direct.ko "$@" &&
		insmod /vd/vhost_direct_net.ko $net_parameters
}

unload_ours() {
	rmmod vhost_direct_net && rmmod vhost_direct
}

# relay PREFIX PROGRAM ARGUMENT...: the program's KTAP becomes part of the suite's
relay() {
	relay_prefix=$1
	relay_program=$2
	shift 2
	"$progs/$relay_program" "$@" >/tmp/relay 2>&1
	relay_status=$?
	while IFS= read -r relay_line; do
		case $relay_line in
		"ok "*"# SKIP "*)
			relay_line=${relay_line#ok * - }
			skip "$relay_prefix${relay_line% # SKIP *}" "${relay_line##*# SKIP }"
			;;
		"ok "*) pass "$relay_prefix${relay_line#ok * - }" ;;
		"not ok "*) fail "$relay_prefix${relay_line#not ok * - }" ;;
		"KTAP "* | "1.."*) ;;
		*) diag "${relay_line#\# }" ;;
		esac
	done </tmp/relay
	# A program that died lacks its plan, or a test that it has.
	relay_plan=$(sed -n 's/^1\.\.//p' /tmp/relay)
	relay_lines=$(grep -cE '^(not )?ok ' /tmp/relay)
	if [ $relay_status -gt 1 ] || [ "$relay_plan" != "$relay_lines" ]; then
		fail "$relay_prefix$relay_program ended well" \
			"status $relay_status, $relay_lines results of ${relay_plan:-an unknown number}"
	fi
}
