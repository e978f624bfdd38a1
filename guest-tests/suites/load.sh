#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The modules and the node: coming, going, taking over, what they cost and leave behind.
# vm: timeout=600
# shellcheck disable=SC2317,SC2154 # called through check; set by relay.sh
# shellcheck source=guest-tests/lab/ktap.sh
. /vd/guest-tests/lab/ktap.sh
# shellcheck source=guest-tests/progs/relay.sh
. /vd/guest-tests/progs/relay.sh

core=/sys/module/vhost_direct
debug=/sys/kernel/debug/vhost_direct
# On a sanitizer kernel all takes longer.
slow=$((${VD_SLOW:-0} ? 10 : 1))

[ -x "$progs/device" ] || skip_all "build/guest-tests isn't built (make -C guest-tests/progs)"

is() {
	[ "$("$@" 2>/dev/null)" = "$want" ]
}

is_loaded() {
	grep -q "^$1 " /proc/modules
}

not_loaded() {
	! is_loaded "$1"
}

absent() {
	[ ! -e "$1" ]
}

# holds NAME WHAT [NODE]: a test that the program gets "ready"; it runs on as $held
holds() {
	"$progs/device" "$2" "${3:-$node}" >/tmp/held 2>&1 </dev/null &
	held=$!
	for _ in $(seq 100); do
		grep -q ready /tmp/held && break
		sleep 0.05
	done
	if grep -q ready /tmp/held; then
		pass "$1"
	else
		fail "$1" "$(cat /tmp/held)"
	fi
}

# Reaped, and its last reference to the node gone.
drop() {
	kill -KILL "$held"
	wait "$held" 2>/dev/null
	true
}

worker_of() {
	for comm in /proc/[0-9]*/comm; do
		if [ "$(cat "$comm" 2>/dev/null)" = "vhost-$1" ]; then
			basename "$(dirname "$comm")"
			return
		fi
	done
	return 1
}

# A thread that has ended is listed for a moment more.
no_worker_of() {
	worker_of "$1" >/dev/null || return 0
	sleep 0.2
	! worker_of "$1"
}

folders() {
	find "$debug" -mindepth 1 -maxdepth 1 -type d | wc -l
}

# message_since MARK TEXT: the kernel said so after the mark
message_since() {
	dmesg | sed -n "/$1/,\$p" | grep -qF "$2"
}

mark() {
	mark_text="load-suite-mark-$$-$1"
	echo "<6>$mark_text" >/dev/kmsg
}

test_load() {
	check "the modules load" load_ours
	check "the node is there" test -c $node
	want="600"
	check "its mode is 0600" is stat -c %a $node
	refuse "no /dev/vhost-net without takeover" test -e /dev/vhost-net
	check "they unload" unload_ours
	check "the node is gone" absent $node
	check "debugfs' folder is gone" absent $debug
	check "they load again" load_ours
	refuse "the core doesn't unload while the other needs it" rmmod vhost_direct
}

test_open() {
	holds "a program opens the node" open
	refuse "no unloading while the node is open" rmmod vhost_direct_net
	check "rmmod says that it is in use" sh -c 'rmmod vhost_direct_net 2>&1 | grep -qi "in use"'
	drop
	holds "a program owns the device" own
	refuse "no unloading while the device has an owner" rmmod vhost_direct_net
	check "the worker is named after the owner" worker_of "$held"
	want=1
	check "debugfs shows the device" is folders
	check "debugfs shows the queue's counters" \
		sh -c "grep -q '^packets  *0' $debug/*/tx && grep -q '^ring_size' $debug/*/rx"
	drop
	check "the worker is gone after a close without VHOST_RESET_OWNER" no_worker_of "$held"
	want=0
	check "debugfs shows it no longer" is folders
	check "they unload after a close without VHOST_RESET_OWNER" unload_ours
}

test_parameters() {
	check "the modules load with metadata=user" load_ours metadata=user
	want=user
	check "metadata reads as user" is cat $core/parameters/metadata
	check "metadata can be written" sh -c "echo direct >$core/parameters/metadata"
	want=direct
	check "metadata reads as direct" is cat $core/parameters/metadata
	for bad in garbage '' directly 1; do
		refuse "metadata refuses '$bad'" sh -c "echo '$bad' >$core/parameters/metadata"
	done
	check "metadata is still direct" is cat $core/parameters/metadata
	want=64
	check "max_mem_regions is 64" is cat $core/parameters/max_mem_regions
	# What QEMU asks the open node's device for (qemu-patches/).
	node_sysfs=/sys/dev/char/$(printf "%d:%d" "0x$(stat -c %t $node)" "0x$(stat -c %T $node)")
	check "the node tells the same" is cat "$node_sysfs/max_mem_regions"
	refuse "max_mem_regions is read-only" sh -c "echo 128 >$core/parameters/max_mem_regions"
	relay "" device regions $node
	check "they unload" unload_ours
	check "they load with max_mem_regions=128" load_ours max_mem_regions=128
	relay "" device regions $node
	check "they unload with it" unload_ours
	# Left by another suite it has the usual 64.
	rmmod vhost 2>/dev/null
	check "stock loads with max_mem_regions=128" sh -c "modprobe vhost max_mem_regions=128 && modprobe vhost_net"
	relay "stock: " device regions /dev/vhost-net
	check "stock unloads with it" rmmod vhost_net vhost
	refuse "metadata=garbage doesn't load" insmod /vd/vhost_direct.ko metadata=garbage
	check "and left nothing" not_loaded vhost_direct
}

test_cgroup() {
	group=/sys/fs/cgroup/vd-load-suite
	check "the modules load" load_ours
	mkdir -p $group
	# The shell that starts the owner is in the group, and so is the owner.
	sh -c "echo \$\$ >$group/cgroup.procs; exec $progs/device own $node" >/tmp/held 2>&1 &
	held=$!
	for _ in $(seq 100); do
		grep -q ready /tmp/held && break
		sleep 0.05
	done
	worker=$(worker_of "$held")
	want="0::/vd-load-suite"
	check "the worker is in its owner's cgroup" is cat "/proc/$worker/cgroup"
	drop
	check "the cgroup can be removed: the worker has left it" rmdir $group
}

# top_shows PID: a queue of its moves packets through windows, now or soon
top_shows() {
	for _ in $(seq 10); do
		/vd/bench/vhost-direct-top --once --json --interval 0.5 >/tmp/top || return
		! top_has "$1" || return 0
	done
	return 1
}

top_has() {
	python3 - "$1" /tmp/top <<'END'
import json, sys
rows = json.load(open(sys.argv[2]))["queues"]
tx = [row for row in rows if row["pid"] == sys.argv[1] and row["queue"] == "tx"]
print(tx)
sys.exit(not (tx and tx[0]["owner"] == "device" and tx[0]["per_second"]["packets"] > 0
              and tx[0]["path"] == "direct" and tx[0]["direct"] > 0.5))
END
}

test_kill() {
	for i in 1 2 3; do
		holds "traffic runs ($i)" traffic
		sleep 0.5
		[ "$i" != 1 ] || check "vhost-direct-top shows it" top_shows "$held"
		start=$(date +%s%N)
		drop
		end=$(date +%s%N)
		check "SIGKILL under traffic ends the owner in time ($i)" \
			test $((end - start)) -lt $((2000000000 * slow))
		check "and its worker ($i)" no_worker_of "$held"
	done
	check "they unload after that" unload_ours
}

# traced EVENT QUEUE FIELDS [PID]: it is in the trace, now or soon; all of it says so, and is of
# that owner's device.
traced() {
	for _ in $(seq 100); do
		grep -q "$1:" "$tracing/trace" && break
		sleep 0.1
	done
	grep "$1:" "$tracing/trace" >/tmp/traced || return
	! grep -Ev "$1: dev=${4:-[0-9]+}-[0-9]+ queue=$2 $3\$" /tmp/traced
}

# folder_traced: what the trace calls a device is its folder in debugfs
folder_traced() {
	test -d "$debug/$(sed -n 's/.* dev=\([^ ]*\) .*/\1/p' /tmp/traced | tail -n 1)"
}

# trace EVENT 1|0: from here on, or not any more.
trace() {
	[ "$2" = 0 ] || echo >"$tracing/trace"
	echo "$2" >"$tracing/events/vhost_direct/$1/enable"
}

test_tracepoints() {
	tracing=/sys/kernel/tracing
	check "the modules load" load_ours metadata=direct
	# One at a time: kicks would push the rest out of the buffer.
	for event in vd_map vd_kick; do
		trace $event 1
		holds "traffic runs for the tracepoint $event" traffic
		fields="result=mapped"
		[ $event = vd_map ] || fields="value=[1-9][0-9]*"
		check "tracepoint $event is seen" traced $event '[rt]x' "$fields" "$held"
		check "what $event calls the device is its folder in debugfs" folder_traced
		trace $event 0
		drop
	done
	for event in vd_invalidate vd_fallback vd_error; do
		trace $event 1
		check "rings are unmapped and come back for the tracepoint $event" \
			env VD_DEV=$node "$progs/mem-cases" munmap
		fields="value=-?[0-9]+"
		[ $event != vd_invalidate ] || fields="range=[0-9a-f]+000-[0-9a-f]+000"
		check "tracepoint $event is seen" traced $event '[rt]x' "$fields"
		trace $event 0
	done
	trace vd_signal 1
	check "a driver that sleeps is served for the tracepoint vd_signal" \
		/vd/build/bench/vring --dev $node --wait call --seconds 0.2
	check "tracepoint vd_signal is seen" traced vd_signal '[rt]x' 'value=[0-9]+'
	trace vd_signal 0
	check "they unload" unload_ours
}

# Frames to be sent lie in pages of eight where there are such; where there are none, nobody may
# make them at once, with all the frames waiting.
test_frame_memory() {
	alloc=/sys/kernel/tracing/events/kmem/mm_page_alloc
	check "the modules load" load_ours metadata=direct
	echo >/sys/kernel/tracing/trace
	echo 'order == 3 && comm ~ "vhost-*"' >$alloc/filter
	echo 1 >$alloc/enable
	check "frames are sent" /vd/build/bench/vring --dev $node --seconds 0.1
	echo 0 >$alloc/enable
	grep order=3 /sys/kernel/tracing/trace >/tmp/traced
	check "memory for frames is asked for in eight pages" test -s /tmp/traced
	refuse "but never made by reclaim" grep -E 'GFP_KERNEL|__GFP_DIRECT_RECLAIM' /tmp/traced
	echo 0 >$alloc/filter
	check "they unload" unload_ours
}

test_takeover() {
	check "stock vhost_net loads" modprobe vhost_net
	mark stock
	check "the core loads beside stock" insmod /vd/vhost_direct.ko
	refuse "takeover=1 fails while stock is loaded" insmod /vd/vhost_direct_net.ko takeover=1
	check "the kernel says why" message_since "$mark_text" "/dev/vhost-net is held by vhost_net"
	check "nothing is half registered: no module" not_loaded vhost_direct_net
	check "nothing is half registered: no node" absent $node
	check "stock's node still answers" sh -c "$progs/ioctl /dev/vhost-net | grep -qx 'features offered, bit 32: 1'"
	check "without takeover it loads beside stock" insmod /vd/vhost_direct_net.ko
	check "both nodes are there" test -c $node -a -c /dev/vhost-net
	check "it unloads" rmmod vhost_direct_net
	check "stock unloads" rmmod vhost_net
	check "takeover=1 loads without stock" insmod /vd/vhost_direct_net.ko takeover=1
	check "/dev/vhost-net is there" test -c /dev/vhost-net
	want="a ee"
	check "with stock's number" is stat -c '%t %T' /dev/vhost-net
	check "our own node isn't" absent $node
	holds "it is ours: it has a debugfs folder" own /dev/vhost-net
	want=1
	check "one device" is folders
	drop
	refuse "stock doesn't load while we serve its node" modprobe vhost_net
	check "they unload" unload_ours
	check "stock loads again" modprobe vhost_net
	check "stock unloads again" rmmod vhost_net
}

test_load
test_open
test_parameters
test_cgroup
test_kill
test_tracepoints
test_frame_memory
test_takeover
for metadata in direct user; do
	check "$metadata: the modules load" load_ours metadata=$metadata
	relay "$metadata: " device check $node
	relay "$metadata: " device leaks $node
	check "$metadata: they unload" unload_ours
done
ktap_done
