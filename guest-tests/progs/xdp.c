// SPDX-License-Identifier: GPL-2.0-only
/* XDP programs on interfaces of ours. */
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "test.h"
#include "xdp.h"

static int attach(int ifindex, const struct bpf_insn *insn, unsigned int n)
{
	union bpf_attr a = {
		.prog_type = BPF_PROG_TYPE_XDP,
		.insns = (uintptr_t)insn,
		.insn_cnt = n,
		.license = (uintptr_t)"GPL",
	};
	int prog = syscall(SYS_bpf, BPF_PROG_LOAD, &a, sizeof(a)), link;

	MUST(prog >= 0, "BPF_PROG_LOAD");
	memset(&a, 0, sizeof(a));
	a.link_create.prog_fd = prog;
	a.link_create.target_ifindex = ifindex;
	a.link_create.attach_type = BPF_XDP;
	a.link_create.flags = XDP_FLAGS_DRV_MODE;
	link = syscall(SYS_bpf, BPF_LINK_CREATE, &a, sizeof(a));
	MUST(link >= 0, "BPF_LINK_CREATE");
	close(prog);
	return link;
}

int xdp_drop(int ifindex)
{
	const struct bpf_insn insn[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_DROP },
		{ .code = BPF_JMP | BPF_EXIT },
	};

	return attach(ifindex, insn, ARRAY_SIZE(insn));
}

int xdp_redirect(int ifindex, int to)
{
	const struct bpf_insn insn[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_1, .imm = to },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2, .imm = 0 },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect },
		{ .code = BPF_JMP | BPF_EXIT },
	};

	return attach(ifindex, insn, ARRAY_SIZE(insn));
}
