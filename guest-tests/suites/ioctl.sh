#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The same calls on stock's node and on ours, by 64-bit and by 32-bit programs: the same answers,
# but for the differences that stand below with their reasons. Then calls that race each other
# and the traffic.
# vm: timeout=600
# shellcheck disable=SC2317,SC2154 # called through check; set by relay.sh
# shellcheck source=guest-tests/lab/ktap.sh
. /vd/guest-tests/lab/ktap.sh
# shellcheck source=guest-tests/progs/relay.sh
. /vd/guest-tests/progs/relay.sh

bits32=
target=naa.5001405000000001
configfs=/sys/kernel/config/target

[ -x "$progs/ioctl" ] || skip_all "build/guest-tests isn't built (make -C guest-tests/progs)"

# stock_has SET: the ioctls that stock got after 6.1. FORK_FROM_OWNER came to 6.12 with its updates.
stock_has() {
	case $1 in
	workers) since=6.5 ;;
	fork) since=6.12 ;;
	array) since=7.2 ;;
	esac
	printf '%s\n' "$since" "$(uname -r)" | sort -CV
}

# Where ours may answer otherwise, by SET: pattern of the call|stock's answer|ours|why, and perhaps
# |before VERSION or |from VERSION of the kernel. A line that no call needs is an error too:
# the list must not outlive its reasons.
differences() {
	case $1 in
	all) cat <<'END' ;;
features offered, bit 34|0|1|packed rings (VIRTIO_F_RING_PACKED): stock never had them
VHOST_SET_FEATURES, bit 34|EOPNOTSUPP|0|and so is accepted
features offered, bit 35|0|1|use in order (VIRTIO_F_IN_ORDER): stock hasn't|before 7.2
VHOST_SET_FEATURES, bit 35|EOPNOTSUPP|0|and so is accepted|before 7.2
features offered, bit 40|0|1|reset of one queue (VIRTIO_F_RING_RESET): stock hasn't|before 6.12
VHOST_SET_FEATURES, bit 40|EOPNOTSUPP|0|and so is accepted|before 6.12
memory table: stopped, size 0 at 0|0|EFAULT|stock takes it for the whole address space
memory table: stopped, *kernel memory|0|EFAULT|stock sees it only when a queue starts; before that nothing is used
memory table: stopped, user address wraps|0|EFAULT|the same
memory table: stopped, the last user page and more|0|EFAULT|the same
END
	workers) cat <<'END' ;;
NEW, after four whose number had no place|7|3|stock keeps workers whose number it couldn't tell, ours ends them
NEW, the last of 24|25|EBUSY|16 a device: RLIMIT_NPROC doesn't count threads of the kernel's
mode 0: NEW|EFAULT|1|stock has one thread of the kernel's a device, ours up to 16
END
	fork) cat <<'END' ;;
GET_FORK_FROM_OWNER, nothing was set|1|0|ours has threads of the kernel's unless told otherwise: the same on every kernel
GET_FORK_FROM_OWNER after VHOST_RESET_OWNER|1|0|the same
END
	array) cat <<'END' ;;
GET: word 0, bit 34|0|1|packed rings (VIRTIO_F_RING_PACKED): stock never had them
*, SET of 2 words, word 0, bit 34|EOPNOTSUPP|0|and so is accepted
END
	esac
}

make_macvtap() {
	modprobe -a dummy macvtap tun tap 2>/dev/null
	ip link add vd-dummy type dummy && ip link set vd-dummy up &&
		ip link add link vd-dummy name vd-macvtap type macvtap mode bridge || return
	[ -c "/dev/tap$(cat /sys/class/net/vd-macvtap/ifindex)" ]
}

# answers NAME PROGRAM ARGUMENT...
answers() {
	answers_to=/tmp/ioctl-$1
	answers_of=$progs/$2
	shift 2
	"$answers_of" "$@" >"$answers_to" 2>&1 && tail -n 1 "$answers_to" | grep -qx 'end: 0'
}

# compare STOCK OURS SET
compare() {
	differences "$3" >/tmp/ioctl-differences
	python3 - "/tmp/ioctl-$1" "/tmp/ioctl-$2" /tmp/ioctl-differences <<'END'
import fnmatch, os, re, sys

def read(path):
    return [line.rstrip("\n").rpartition(": ")[::2] for line in open(path)]

def version(text):
    return [int(part) for part in re.match(r"\d+\.\d+", text)[0].split(".")]

def here(when):
    word, _, since = when.partition(" ")
    if not when:
        return True
    return (version(os.uname().release) < version(since)) == {"before": True, "from": False}[word]

stock, ours = read(sys.argv[1]), read(sys.argv[2])
allowed = [(line.rstrip("\n") + "|").split("|")[:5] for line in open(sys.argv[3]) if line.strip()]
allowed = [entry for entry in allowed if here(entry[4])]
used, wrong = set(), 0
if [name for name, _ in stock] != [name for name, _ in ours]:
    print("the two nodes were not asked the same")
    wrong = 1
for (name, a), (_, b) in zip(stock, ours):
    if a == b:
        continue
    for i, (pattern, x, y, why, _) in enumerate(allowed):
        if fnmatch.fnmatchcase(name, pattern) and fnmatch.fnmatchcase(a, x) \
                and fnmatch.fnmatchcase(b, y) and why:
            used.add(i)
            break
    else:
        print(f"{name}: stock {a}, ours {b}")
        wrong += 1
for i, entry in enumerate(allowed):
    if i not in used:
        print(f"not needed any more: {'|'.join(entry)}")
        wrong += 1
sys.exit(wrong > 0)
END
}

# A disk for stock's vhost-scsi, the one of its devices that knows workers: a queue can have a back end.
make_target() {
	modprobe -a target_core_mod vhost_scsi || return
	mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config || return
	cd "$configfs" && mkdir -p core/rd_mcp_0/vd "vhost/$target/tpgt_1/lun/lun_0" &&
		echo rd_pages=64 >core/rd_mcp_0/vd/control && echo 1 >core/rd_mcp_0/vd/enable &&
		echo naa.5001405000000002 >"vhost/$target/tpgt_1/nexus" &&
		ln -s "$configfs/core/rd_mcp_0/vd" "vhost/$target/tpgt_1/lun/lun_0/vd"
}

drop_target() {
	cd "$configfs" && rm "vhost/$target/tpgt_1/lun/lun_0/vd" &&
		rmdir "vhost/$target/tpgt_1/lun/lun_0" "vhost/$target/tpgt_1" "vhost/$target" vhost \
			core/rd_mcp_0/vd core/rd_mcp_0 &&
		rmmod vhost_scsi
}

# newer STOCK|OURS: what the node answers to the newer ioctls, as far as stock has them
newer() {
	for set in workers fork array; do
		stock_has $set || continue
		case $1-$set in
		stock-workers) words="/dev/vhost-scsi $target" ;;
		stock-*) words=/dev/vhost-net ;;
		*) words=$node ;;
		esac
		for bits in '' ${bits32:+32}; do
			# shellcheck disable=SC2086 # words
			check "$1 answers every call of $set$bits" \
				answers "$1-$set$bits" "${bits:+32/}ioctl" $set $words
		done
	done
}

# same_newer: the two of newer
same_newer() {
	for set in workers fork array; do
		for bits in '' 32; do
			same="$set$bits: with the same results as stock"
			if ! stock_has $set; then
				skip "$same" "stock has these ioctls from $since on"
			elif [ "$bits" ] && [ -z "$bits32" ]; then
				skip "$same" "this kernel runs no 32-bit programs"
			else
				check "$same" compare "stock-$set$bits" "ours-$set$bits" $set
			fi
		done
	done
}

# wrong_sockets FILE: what answered refused all sockets but a packet socket of type raw.
wrong_sockets() {
	for queue in 0 1; do
		for kind in UDP TCP "raw IP" "UDP over IPv6" "raw IPv6" "a unix stream" \
			"a unix datagram" netlink "AF_PACKET SOCK_DGRAM"; do
			grep -q "^SET_BACKEND, queue $queue, $kind: E" "$1" ||
				{ echo "queue $queue, $kind" && return 1; }
		done
	done
}

# has_macvtap FILE: what answered took a macvtap; had it none to try, both nodes would agree on that.
has_macvtap() {
	[ "$(grep -c "^SET_BACKEND, queue [01], a macvtap: 0$" "$1")" -eq 2 ] || { grep macvtap "$1"; return 1; }
}

same_features() {
	for node_name in stock masked; do
		grep -E "^(features offered|VHOST_SET_FEATURES), bit" "/tmp/ioctl-$node_name" >"/tmp/offered-$node_name"
	done
	[ "$(wc -l </tmp/offered-stock)" -gt 100 ] && diff /tmp/offered-stock /tmp/offered-masked
}

# Without an argument it says how it is used, and ends with 2.
"$progs/32/ioctl" 2>/dev/null
[ $? -ne 2 ] || bits32=yes

check "a macvtap to try" make_macvtap
# Not in there: check runs it in a shell of its own.
macvtap=/dev/tap$(cat /sys/class/net/vd-macvtap/ifindex)
check "stock vhost_net loads" modprobe vhost_net
check "stock answers every call" answers stock ioctl /dev/vhost-net "$macvtap"
check "stock: a macvtap is taken" has_macvtap /tmp/ioctl-stock
check "stock: sockets of other kinds are refused (CVE-2020-10942)" wrong_sockets /tmp/ioctl-stock
[ -z "$bits32" ] || check "stock answers a 32-bit program" answers stock32 32/ioctl /dev/vhost-net "$macvtap"
if stock_has workers; then
	check "a target for stock's vhost-scsi" make_target
	newer stock
	check "the target goes" drop_target
fi
check "stock unloads" rmmod vhost_net
diag "$(wc -l </tmp/ioctl-stock) calls"
for metadata in direct user; do
	check "$metadata: the modules load" load_ours metadata=$metadata
	check "$metadata: ours answers every call" answers $metadata ioctl $node "$macvtap"
	check "$metadata: with the same results" compare stock $metadata all
	check "$metadata: sockets of other kinds are refused (CVE-2020-10942)" \
		wrong_sockets /tmp/ioctl-$metadata
	if [ -n "$bits32" ]; then
		check "$metadata: ours answers a 32-bit program" answers ${metadata}32 32/ioctl $node "$macvtap"
		check "$metadata: with the same results as stock" compare stock32 ${metadata}32 all
	else
		skip "$metadata: 32-bit programs" "this kernel runs none"
	fi
	relay "$metadata: " storm $node
	relay "$metadata: " reset $node
	check "$metadata: they unload" unload_ours
done
check "the modules load for the newer ioctls" load_ours
newer ours
same_newer
check "they unload after the newer ioctls" unload_ours
# shellcheck disable=SC2034 # load_ours reads it
net_parameters=stock_features=1
check "stock_features=1: the modules load" load_ours
check "stock_features=1: ours answers every call" answers masked ioctl $node "$macvtap"
check "stock_features=1: what is offered, and what is accepted, is what stock's node says" same_features
check "stock_features=1: they unload" unload_ours
mkdir -p /results/ioctl && cp /tmp/ioctl-* /results/ioctl/
ip link del vd-dummy
ktap_done
