# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
# KTAP for tests written in sh. Source it, call the functions below, end with ktap_done.
#
#   . /vd/guest-tests/lab/ktap.sh
#   ktap_plan 3                          # optional: otherwise the plan comes last
#   check "the node is there" test -c /dev/vhost-net
#   refuse "unload while open" rmmod vhost_direct_net
#   skip "hugepages of 1 GB" "the processor has none"
#   ktap_done
#
# check and refuse run a command and show its output only if the test fails. pass, fail
# and skip report what was found out some other way. A suite that dies before ktap_done
# lacks its plan, which counts as a failure.

ktap_count=0
ktap_failed=0
ktap_planned=0
echo "KTAP version 1"

ktap_plan() {
	ktap_planned=$1
	echo "1..$1"
}

diag() {
	printf '%s\n' "$*" | sed 's/^/# /'
}

pass() {
	ktap_count=$((ktap_count + 1))
	echo "ok $ktap_count - $1"
}

# fail NAME [WHY]
fail() {
	ktap_count=$((ktap_count + 1))
	ktap_failed=$((ktap_failed + 1))
	[ $# -lt 2 ] || diag "$2"
	echo "not ok $ktap_count - $1"
}

# skip NAME REASON
skip() {
	ktap_count=$((ktap_count + 1))
	echo "ok $ktap_count - $1 # SKIP $2"
}

# check NAME COMMAND...: passes if the command succeeds
check() {
	ktap_name=$1
	shift
	if ktap_output=$("$@" 2>&1); then
		pass "$ktap_name"
	else
		fail "$ktap_name" "status $? of: $*
$ktap_output"
	fi
}

# refuse NAME COMMAND...: passes if the command fails by itself (not by a signal)
refuse() {
	ktap_name=$1
	shift
	ktap_output=$("$@" 2>&1)
	ktap_status=$?
	if [ $ktap_status -gt 0 ] && [ $ktap_status -lt 124 ]; then
		pass "$ktap_name"
	else
		fail "$ktap_name" "status $ktap_status, a refusal was expected of: $*
$ktap_output"
	fi
}

# skip_all REASON: nothing here can run
skip_all() {
	echo "1..0 # SKIP $1"
	exit 0
}

ktap_done() {
	[ "$ktap_planned" -gt 0 ] || echo "1..$ktap_count"
	[ "$ktap_failed" -eq 0 ]
	exit
}
