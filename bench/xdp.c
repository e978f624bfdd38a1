// SPDX-License-Identifier: GPL-2.0-only
/*
 * The BPF programs of a run, written as instructions so that neither a compiler
 * nor a loader is needed where vring runs. That which checks frames: xdp_check.c.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vring.h"

int vr_bpf(int cmd, union bpf_attr *attr)
{
	return syscall(__NR_bpf, cmd, attr, sizeof(*attr));
}

int vr_bpf_load(unsigned int type, const struct bpf_insn *insns, unsigned int n)
{
	static char log[65536];
	union bpf_attr a;
	int fd;

	memset(&a, 0, sizeof(a));
	a.prog_type = type;
	a.insns = (uintptr_t)insns;
	a.insn_cnt = n;
	a.license = (uintptr_t)"GPL";
	a.log_buf = (uintptr_t)log;
	a.log_size = sizeof(log);
	a.log_level = 1;
	fd = vr_bpf(BPF_PROG_LOAD, &a);
	if (fd < 0)
		vr_die_errno("BPF program refused (%s)", log);
	return fd;
}

/* return @action; */
int vr_xdp_return_load(int action)
{
	const struct bpf_insn code[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = action },
		{ .code = BPF_JMP | BPF_EXIT },
	};

	return vr_bpf_load(BPF_PROG_TYPE_XDP, code, sizeof(code) / sizeof(code[0]));
}

/* By a link, which goes with its file. */
void vr_xdp_attach(int prog, int ifindex)
{
	union bpf_attr a;
	int link;

	memset(&a, 0, sizeof(a));
	a.link_create.prog_fd = prog;
	a.link_create.target_ifindex = ifindex;
	a.link_create.attach_type = BPF_XDP;
	a.link_create.flags = XDP_FLAGS_DRV_MODE;
	link = vr_bpf(BPF_LINK_CREATE, &a);
	if (link < 0)
		vr_die_errno("can't attach an XDP program in driver mode");
}

/*
 * return frame[byte]; -- which queue of a multi-queue tap takes a frame. The
 * tap's own choice, a hash, would leave queues idle as all our frames look alike.
 */
int vr_steer_attach(int tap_fd, unsigned int byte)
{
	const struct bpf_insn steer[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 6, .src_reg = 1 },
		{ .code = BPF_LD | BPF_ABS | BPF_B, .imm = byte },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int prog = vr_bpf_load(BPF_PROG_TYPE_SOCKET_FILTER, steer, sizeof(steer) / sizeof(steer[0]));

	if (ioctl(tap_fd, TUNSETSTEERINGEBPF, &prog))
		vr_die_errno("TUNSETSTEERINGEBPF");
	return prog;
}
