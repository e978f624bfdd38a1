// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ioctls that stock got after 6.1, each kind as a table of its own: not every kernel's
 * stock has all, and those of workers only its vhost-scsi has.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../vhost/uapi/vhost_new.h"
#include "ioctl.h"
#include "tap.h"

#define NAMED(cmd) { cmd, #cmd }
#define WORDS 8u
#define POISON 0xaaaaaaaaaaaaaaaaull

struct call {
	unsigned long cmd;
	const char *name;
};

/* A count and words behind it, with room to see what else is written. */
struct array {
	uint64_t count;
	uint64_t word[WORDS];
};

/* Ioctls with each kind of argument memory; the first number there is @first. */
static void each_place(int fd, const char *who, const struct call *calls, unsigned int n,
		       uint32_t first)
{
	const struct { const char *name; void *at; } places[] = {
		{ "memory", at.good }, { "NULL", NULL }, { "unmapped", at.gone },
		{ "a kernel address", (void *)KERNEL_ADDR }, { "the end of a page", at.end },
		{ "read-only zeros", at.read_only },
	};
	unsigned int i, j;

	for (i = 0; i < n; i++)
		for (j = 0; j < ARRAY_SIZE(places); j++) {
			memset(at.good, 0, PAGE);
			memcpy(at.good, &first, sizeof(first));
			memcpy(at.end, &first, sizeof(first));
			say(node_call(fd, calls[i].cmd, places[j].at), "%s, %s, %s with %d", who,
			    calls[i].name, places[j].name, (int)first);
		}
}

/* Runs it in a child, which has the device but isn't the owner. */
static void as_stranger(void (*fn)(int fd), int fd)
{
	pid_t child;
	int status;

	fflush(stdout);
	child = fork();
	if (!child) {
		fn(fd);
		_exit(0);
	}
	MUST(child > 0 && waitpid(child, &status, 0) == child && !status, "child");
}

/* Workers. */

static const struct call worker_calls[] = {
	NAMED(VHOST_NEW_WORKER), NAMED(VHOST_FREE_WORKER), NAMED(VHOST_ATTACH_VRING_WORKER),
	NAMED(VHOST_GET_VRING_WORKER),
};

/* More queues than any device has, fewer than a number with the sign bit. */
#define NO_QUEUE 0x10000u

/* However many queues the device has. */
static void attach_all(int fd, unsigned int id)
{
	unsigned int q = 0;

	while (!node_attach(fd, q, id))
		q++;
	say(node_attach(fd, q, id), "ATTACH of the queue behind the last");
	say(q > 1, "more than one queue was attached to worker %u", id);
}

static void worker_stranger(int fd)
{
	each_place(fd, "not the owner", worker_calls, ARRAY_SIZE(worker_calls), 0);
	say(node_worker_new(fd), "not the owner, NEW");
	say(node_attach(fd, 0, 0), "not the owner, ATTACH");
}

static void worker_places(void)
{
	int fd = node_open(node_path);

	each_place(fd, "no owner", worker_calls, ARRAY_SIZE(worker_calls), 0);
	each_place(fd, "no owner", worker_calls, ARRAY_SIZE(worker_calls), NO_QUEUE);
	say(node_worker_new(fd), "no owner, NEW");
	say(node_worker_free(fd, 0), "no owner, FREE of 0");
	say(node_attach(fd, 0, 0), "no owner, ATTACH");
	say(node_attached(fd, 0), "no owner, GET");
	MUST(!node_owner(fd), "VHOST_SET_OWNER");
	as_stranger(worker_stranger, fd);
	each_place(fd, "owner", worker_calls, ARRAY_SIZE(worker_calls), 0);
	each_place(fd, "owner", worker_calls + 1, ARRAY_SIZE(worker_calls) - 1, NO_QUEUE);
	say(node_worker_new(fd), "NEW, after four whose number had no place");
	close(fd);
}

static void worker_numbers(void)
{
	static const unsigned int wrong[] = { 1, 5, 16, 17, 0x7fffffff, 0x80000000, ~0u };
	int fd = dev_owned(), first, i;

	for (i = 0; i < (int)ARRAY_SIZE(wrong); i++) {
		say(node_worker_free(fd, wrong[i]), "FREE of %u, which isn't", wrong[i]);
		say(node_attach(fd, 0, wrong[i]), "ATTACH to %u, which isn't", wrong[i]);
		say(node_attach(fd, NO_QUEUE, wrong[i]), "ATTACH of no queue to %u", wrong[i]);
		say(node_attach(fd, NO_QUEUE + wrong[i], 0), "ATTACH of queue %u more than there are",
		    wrong[i]);
		say(node_attached(fd, NO_QUEUE + wrong[i]), "GET of queue %u more than there are",
		    wrong[i]);
	}
	say(node_attached(fd, 0), "GET of queue 0");
	say(node_attached(fd, 1), "GET of queue 1");
	say(node_worker_free(fd, 0), "FREE of the default worker");
	for (i = 0; i < 3; i++)
		say(node_worker_new(fd), "NEW, number %d", i);
	say(node_attach(fd, 1, 2), "ATTACH of 1 to 2");
	say(node_attach(fd, 1, 2), "ATTACH of 1 to 2, again");
	say(node_attached(fd, 0), "GET of queue 0 then");
	say(node_attached(fd, 1), "GET of queue 1 then");
	say(node_worker_free(fd, 2), "FREE of 2, in use");
	say(node_worker_free(fd, 1), "FREE of 1");
	say(node_worker_free(fd, 1), "FREE of 1, again");
	say(node_attach(fd, 1, 1), "ATTACH to 1, which is gone");
	say(node_worker_new(fd), "NEW after that");
	attach_all(fd, 3);
	say(node_worker_free(fd, 2), "FREE of 2, in use no more");
	say(node_worker_free(fd, 0), "FREE of the default worker, in use no more");
	say(node_attach(fd, 0, 0), "ATTACH to the default worker, which is gone");
	say(node_worker_new(fd), "NEW after that, too");
	attach_all(fd, 0);
	say(node_worker_free(fd, 3), "FREE of 3");
	for (first = 0; first < 24 && (i = node_worker_new(fd)) >= 0; first++)
		;
	say(i, "NEW, the last of 24");
	close(fd);
}

/* Frames by a tap, or whatever comes from a target: a queue with a back end. */
static int start(int fd, const char *target)
{
	struct vhost_scsi_target t = { 0 };
	int tap, ret;

	if (target) {
		strncpy(t.vhost_wwpn, target, sizeof(t.vhost_wwpn) - 1);
		return node_call(fd, VHOST_SCSI_SET_ENDPOINT, &t);
	}
	tap = tap_bare(0x5002 /* tap, no packet info, virtio header */);
	ret = node_backend(fd, 0, tap) ?: node_backend(fd, 1, tap);
	close(tap);
	return ret;
}

static int stop(int fd, const char *target)
{
	struct vhost_scsi_target t = { 0 };

	if (!target)
		return node_backend(fd, 0, -1) ?: node_backend(fd, 1, -1);
	strncpy(t.vhost_wwpn, target, sizeof(t.vhost_wwpn) - 1);
	return node_call(fd, VHOST_SCSI_CLEAR_ENDPOINT, &t);
}

static void worker_running(const char *target)
{
	int fd = dev_ready(), kick = event_new(), i;

	say(node_worker_new(fd), "running: NEW");
	say(node_attach(fd, 0, 1), "running: ATTACH before the start");
	for (i = 0; i < 2; i++)
		say(node_file(fd, VHOST_SET_VRING_KICK, i, kick), "running: VRING_KICK %d", i);
	say(start(fd, target), "running: start");
	say(node_worker_free(fd, 1), "running: FREE of a worker in use");
	event_post(kick);
	say(node_attach(fd, 1, 1), "running: ATTACH");
	event_post(kick);
	say(node_attach(fd, 0, 0), "running: ATTACH to the default worker");
	say(node_attach(fd, 0, 9), "running: ATTACH to one that isn't");
	say(node_attached(fd, 0), "running: GET of queue 0");
	say(node_attached(fd, 1), "running: GET of queue 1");
	say(node_worker_new(fd), "running: NEW, another");
	attach_all(fd, 2);
	event_post(kick);
	say(node_worker_free(fd, 0), "running: FREE of the default worker, in use no more");
	say(node_worker_free(fd, 1), "running: FREE of 1, in use no more");
	say(node_worker_free(fd, 2), "running: FREE of 2, in use");
	say(stop(fd, target), "running: stop");
	say(node_worker_free(fd, 2), "stopped: FREE of 2, which the queues keep");
	say(node_attached(fd, 1), "stopped: GET of queue 1");
	say(node_worker_new(fd), "stopped: NEW");
	close(kick);
	close(fd);
}

static int fork_set(int fd, unsigned int mode)
{
	uint8_t m = mode;

	return node_call(fd, VHOST_SET_FORK_FROM_OWNER, &m);
}

/* Whose threads workers are decides whether there may be more of them. */
static void worker_modes(void)
{
	unsigned int mode;

	for (mode = 0; mode < 2; mode++) {
		int fd = node_open(node_path);

		say(fork_set(fd, mode), "mode %u: SET_FORK_FROM_OWNER", mode);
		say(node_owner(fd), "mode %u: VHOST_SET_OWNER", mode);
		say(node_worker_new(fd), "mode %u: NEW", mode);
		say(node_attach(fd, 0, 0), "mode %u: ATTACH", mode);
		say(node_attached(fd, 0), "mode %u: GET", mode);
		close(fd);
	}
}

static void worker_outputs(void)
{
	int fd = dev_owned();

	say_poisoned(fd, VHOST_NEW_WORKER, sizeof(struct vhost_worker_state), "VHOST_NEW_WORKER");
	say_poisoned(fd, VHOST_GET_VRING_WORKER, sizeof(struct vhost_vring_worker),
		     "VHOST_GET_VRING_WORKER");
	close(fd);
}

void ioctl_workers(const char *target)
{
	worker_places();
	worker_numbers();
	worker_running(target);
	worker_modes();
	worker_outputs();
}

/* VHOST_SET_FORK_FROM_OWNER and its sibling. */

static const struct call fork_calls[] = {
	NAMED(VHOST_SET_FORK_FROM_OWNER), NAMED(VHOST_GET_FORK_FROM_OWNER),
};

/* The mode, or 1000 and more if bytes around it were written. */
static int fork_get(int fd)
{
	uint8_t mode[16];
	unsigned int i, more = 0;
	int ret;

	memset(mode, 0xaa, sizeof(mode));
	ret = node_call(fd, VHOST_GET_FORK_FROM_OWNER, mode + 7);
	for (i = 0; i < sizeof(mode); i++)
		more += i != 7 && mode[i] != 0xaa;
	return ret ?: (int)(mode[7] + 1000 * more);
}

static void fork_stranger(int fd)
{
	say(fork_set(fd, 1), "SET_FORK_FROM_OWNER by another process");
	say(fork_get(fd), "GET_FORK_FROM_OWNER by another process");
}

static void fork_owned(int fd)
{
	static const unsigned int mode[] = { 0, 1, 2, 255 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(mode); i++)
		say(fork_set(fd, mode[i]), "owned, SET_FORK_FROM_OWNER %u", mode[i]);
	each_place(fd, "owner", fork_calls, ARRAY_SIZE(fork_calls), 0);
	as_stranger(fork_stranger, fd);
	say(fork_get(fd), "owned, GET_FORK_FROM_OWNER");
}

void ioctl_fork(void)
{
	static const unsigned int mode[] = { 0, 1, 2, 3, 127, 128, 255, 1, 0 };
	int fd = node_open(node_path);
	unsigned int i;

	say(fork_get(fd), "GET_FORK_FROM_OWNER, nothing was set");
	each_place(fd, "no owner", fork_calls, ARRAY_SIZE(fork_calls), 0);
	each_place(fd, "no owner", fork_calls, ARRAY_SIZE(fork_calls), 0x77);
	at.gone[-1] = 1;
	say(node_call(fd, VHOST_SET_FORK_FROM_OWNER, at.gone - 1), "the last byte before a hole");
	for (i = 0; i < ARRAY_SIZE(mode); i++) {
		say(fork_set(fd, mode[i]), "SET_FORK_FROM_OWNER %u, turn %u", mode[i], i);
		say(fork_get(fd), "GET_FORK_FROM_OWNER after it, turn %u", i);
	}
	as_stranger(fork_stranger, fd);
	say(fork_get(fd), "GET_FORK_FROM_OWNER after another process");
	say(node_owner(fd), "VHOST_SET_OWNER");
	fork_owned(fd);
	say(node_call(fd, VHOST_RESET_OWNER, NULL), "VHOST_RESET_OWNER");
	say(fork_set(fd, 0), "SET_FORK_FROM_OWNER 0 after VHOST_RESET_OWNER");
	say(node_owner(fd), "VHOST_SET_OWNER, again");
	say(fork_get(fd), "GET_FORK_FROM_OWNER of threads of the kernel's");
	fork_owned(fd);
	close(fd);
	fd = node_open(node_path);
	MUST(!fork_set(fd, 1) && !node_owner(fd), "VHOST_SET_OWNER");
	say(node_call(fd, VHOST_RESET_OWNER, NULL), "VHOST_RESET_OWNER of the owner's threads");
	say(fork_get(fd), "GET_FORK_FROM_OWNER after VHOST_RESET_OWNER");
	close(fd);
}

/* VHOST_GET_FEATURES_ARRAY and its sibling. */

static const struct call array_calls[] = {
	NAMED(VHOST_GET_FEATURES_ARRAY), NAMED(VHOST_SET_FEATURES_ARRAY),
};

static void array_offered(int fd)
{
	static const uint64_t count[] = { 0, 1, 2, 3, WORDS - 1 };
	struct array a;
	unsigned int i, j, bit;

	for (i = 0; i < ARRAY_SIZE(count); i++) {
		memset(&a, 0xaa, sizeof(a));
		a.count = count[i];
		say(node_call(fd, VHOST_GET_FEATURES_ARRAY, &a), "GET of %u words", (int)count[i]);
		say(a.count, "GET of %u words: the count", (int)count[i]);
		for (j = 0; j < WORDS; j++) {
			say(a.word[j] == POISON, "GET of %u words: word %u untouched",
			    (int)count[i], j);
			say(!a.word[j], "GET of %u words: word %u zero", (int)count[i], j);
		}
	}
	for (j = 0; j < 2; j++)
		for (bit = 0; bit < 64; bit++)
			say(a.word[j] >> bit & 1, "GET: word %u, bit %u", j, bit);
}

/* Words before a hole; a count of more of them than there are, of as many, of fewer. */
static void array_counts(int fd)
{
	static const struct { const char *name; uint64_t count; } counts[] = {
		{ "3", 3 }, { "4", 4 }, { "5", 5 }, { "2^16", 1 << 16 }, { "2^32", 1ull << 32 },
		{ "2^32 + 1", (1ull << 32) + 1 }, { "2^61 - 1", (1ull << 61) - 1 },
		{ "2^61", 1ull << 61 }, { "2^61 + 1", (1ull << 61) + 1 }, { "2^63", 1ull << 63 },
		{ "2^64 - 1", ~0ull },
	};
	uint64_t *first = (void *)(at.gone - 5 * sizeof(uint64_t));
	unsigned int i, j, odd;

	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		for (odd = 0; odd < 2; odd++) {
			memset(first, 0, 5 * sizeof(*first));
			first[0] = counts[i].count;
			first[1] = F_V1;
			first[3] = odd;
			say(node_call(fd, VHOST_SET_FEATURES_ARRAY, first),
			    "SET of %s words, 4 there, the third %u", counts[i].name, odd);
		}
		memset(first, 0xaa, 5 * sizeof(*first));
		first[0] = counts[i].count;
		say(node_call(fd, VHOST_GET_FEATURES_ARRAY, first), "GET of %s words, 4 there",
		    counts[i].name);
		for (j = 3; j < 5; j++)
			say(first[j] == POISON, "GET of %s words, 4 there: %u untouched",
			    counts[i].name, j);
	}
}

static void array_bit(const char *state, int fd, unsigned int count, unsigned int word,
		      unsigned int bit)
{
	struct array a = { count };

	a.word[word] = 1ull << bit;
	say(node_call(fd, VHOST_SET_FEATURES_ARRAY, &a), "%s, SET of %u words, word %u, bit %u",
	    state, count, word, bit);
}

static void array_accepted(const char *state, int fd)
{
	struct array a = { 0 };
	unsigned int count, i, bit;

	for (i = 0; i < 2; i++)
		for (bit = 0; bit < 64; bit++)
			array_bit(state, fd, 2, i, bit);
	for (count = 0; count < 4; count++)
		for (i = 0; i < 3; i++)
			for (bit = 0; bit < 64; bit += 21)
				array_bit(state, fd, count, i, bit);
	memset(a.word, 0, sizeof(a.word));
	a.count = WORDS;
	say(node_call(fd, VHOST_SET_FEATURES_ARRAY, &a), "%s, SET of none in many words", state);
	a.word[WORDS - 1] = 1;
	say(node_call(fd, VHOST_SET_FEATURES_ARRAY, &a), "%s, SET of the last word", state);
	memset(&a, 0xff, sizeof(a));
	a.count = 2;
	say(node_call(fd, VHOST_SET_FEATURES_ARRAY, &a), "%s, SET of all bits", state);
}

static void array_stranger(int fd)
{
	array_accepted("not the owner", fd);
}

void ioctl_array(void)
{
	int fd = node_open(node_path), tap = tap_bare(0x5002);
	struct array a = { 1, { RING_USUAL } };

	each_place(fd, "no owner", array_calls, ARRAY_SIZE(array_calls), 0);
	each_place(fd, "no owner", array_calls, ARRAY_SIZE(array_calls), 2);
	array_offered(fd);
	array_accepted("no owner", fd);
	MUST(!node_owner(fd), "VHOST_SET_OWNER");
	array_counts(fd);
	array_accepted("owner", fd);
	as_stranger(array_stranger, fd);
	close(fd);
	fd = dev_ready();
	say(node_call(fd, VHOST_SET_FEATURES_ARRAY, &a), "features before the start");
	say(node_backend(fd, 0, tap), "start");
	a.word[0] &= ~F_EVENT;
	say(node_call(fd, VHOST_SET_FEATURES_ARRAY, &a), "running, SET without event idx");
	a.count = 2;
	a.word[1] = 1;
	say(node_call(fd, VHOST_SET_FEATURES_ARRAY, &a), "running, SET of an unknown bit");
	say(node_num(fd, 0, 32), "running on, VRING_NUM");
	array_offered(fd);
	close(tap);
	close(fd);
}
