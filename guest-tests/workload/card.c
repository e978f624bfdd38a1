// SPDX-License-Identifier: GPL-2.0-only
/* Addresses of interfaces and neighbours. */
#define _GNU_SOURCE
#include <errno.h>
#include <ifaddrs.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "card.h"
#include "pace.h"
#include "sock.h"
#include "stop.h"

#define ARP_NS		3000000000ull
#define DISCARD		9

static bool ask(const char *dev, unsigned long request, struct ifreq *r)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), status;

	memset(r, 0, sizeof(*r));
	strncpy(r->ifr_name, dev, IFNAMSIZ - 1);
	status = fd < 0 ? -1 : ioctl(fd, request, r);
	close(fd);
	return !status;
}

unsigned int card_mtu(const char *dev)
{
	struct ifreq r;

	return ask(dev, SIOCGIFMTU, &r) ? r.ifr_mtu : 0;
}

void card_mac(const char *dev, uint8_t *mac)
{
	struct ifreq r;

	if (!ask(dev, SIOCGIFHWADDR, &r))
		die("address of %s: %s", dev, strerror(errno));
	if (r.ifr_hwaddr.sa_family != ARPHRD_ETHER && r.ifr_hwaddr.sa_family != ARPHRD_LOOPBACK)
		die("%s isn't an Ethernet interface", dev);
	memcpy(mac, r.ifr_hwaddr.sa_data, 6);
}

/* Which of them an interface's address is, ours to take? */
static bool reaches(const struct ifaddrs *at, const struct in6_addr *to, struct in6_addr *found)
{
	uint32_t scope;
	in_port_t port;

	if (!at->ifa_addr || !address_from((union address_name *)at->ifa_addr, found, &scope, &port))
		return false;
	return address_six(found) == address_six(to) &&
	       !IN6_IS_ADDR_LINKLOCAL(found) == !IN6_IS_ADDR_LINKLOCAL(to);
}

struct in6_addr card_address(const char *dev, const struct in6_addr *to)
{
	struct in6_addr found, answer = address_any(address_six(to));
	struct ifaddrs *all, *at;

	if (getifaddrs(&all))
		return answer;
	for (at = all; at && address_none(&answer); at = at->ifa_next)
		if (!strcmp(at->ifa_name, dev) && reaches(at, to, &found))
			answer = found;
	freeifaddrs(all);
	return answer;
}

void card_towards(const struct in6_addr *to, uint32_t scope, char *dev, size_t size)
{
	int fd = socket(address_six(to) ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	union address_name name;
	socklen_t length = address_name(&name, to, scope, htons(DISCARD));
	struct in6_addr from, found;
	struct ifaddrs *all, *at;
	in_port_t port;

	*dev = 0;
	if (fd < 0 || connect(fd, &name.any, length) || getsockname(fd, &name.any, &length) ||
	    !address_from(&name, &from, &scope, &port) || getifaddrs(&all)) {
		close(fd);
		return;
	}
	close(fd);
	for (at = all; at; at = at->ifa_next) {
		if (reaches(at, &from, &found) && IN6_ARE_ADDR_EQUAL(&found, &from)) {
			strncpy(dev, IN6_ARE_ADDR_EQUAL(to, &from) ? "lo" : at->ifa_name, size - 1);
			dev[size - 1] = 0;
			break;
		}
	}
	freeifaddrs(all);
}

static bool look_up_four(int fd, const char *dev, const struct in6_addr *to, uint8_t *mac)
{
	struct arpreq r = { 0 };

	((struct sockaddr_in *)&r.arp_pa)->sin_family = AF_INET;
	((struct sockaddr_in *)&r.arp_pa)->sin_addr = address_four(to);
	strncpy(r.arp_dev, dev, sizeof(r.arp_dev) - 1);
	if (ioctl(fd, SIOCGARP, &r) || !(r.arp_flags & ATF_COM))
		return false;
	memcpy(mac, r.arp_ha.sa_data, 6);
	return true;
}

/* One message of a dump: is it of this neighbour, and does it say where that is? */
static bool is_neighbour(struct nlmsghdr *head, int ifindex, const struct in6_addr *to, uint8_t *mac)
{
	struct ndmsg *n = NLMSG_DATA(head);
	struct rtattr *a = (struct rtattr *)(n + 1);
	bool same = false, there = false;
	int left;

	if (head->nlmsg_type != RTM_NEWNEIGH || head->nlmsg_len < NLMSG_LENGTH(sizeof(*n)) || n->ndm_ifindex != ifindex)
		return false;
	for (left = NLMSG_PAYLOAD(head, sizeof(*n)); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		same |= a->rta_type == NDA_DST && RTA_PAYLOAD(a) == sizeof(*to) &&
			!memcmp(RTA_DATA(a), to, sizeof(*to));
		if (a->rta_type == NDA_LLADDR && RTA_PAYLOAD(a) == 6) {
			memcpy(mac, RTA_DATA(a), 6);
			there = true;
		}
	}
	return same && there;
}

/* ARP's table can be asked by an ioctl; that of IPv6 is only told as a whole. */
static bool look_up_six(const char *dev, const struct in6_addr *to, uint8_t *mac)
{
	struct {
		struct nlmsghdr head;
		struct ndmsg body;
	} all = {
		.head = { sizeof(all), RTM_GETNEIGH, NLM_F_REQUEST | NLM_F_DUMP }, .body = { .ndm_family = AF_INET6 },
	};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), ifindex = if_nametoindex(dev);
	bool found = false, end = fd < 0 || send(fd, &all, sizeof(all), 0) < 0;
	_Alignas(struct nlmsghdr) uint8_t answer[32768], other[6];
	struct nlmsghdr *head;
	ssize_t n;

	while (!end) {
		n = recv(fd, answer, sizeof(answer), 0);
		end = n <= 0;
		for (head = (void *)answer; !end && NLMSG_OK(head, (size_t)n); head = NLMSG_NEXT(head, n)) {
			end = head->nlmsg_type == NLMSG_DONE || head->nlmsg_type == NLMSG_ERROR;
			if (!found && is_neighbour(head, ifindex, to, other)) {
				memcpy(mac, other, 6);
				found = true;
			}
		}
	}
	close(fd);
	return found;
}

static bool look_up(int fd, const char *dev, const struct in6_addr *to, uint8_t *mac)
{
	return address_six(to) ? look_up_six(dev, to, mac) : look_up_four(fd, dev, to, mac);
}

bool card_resolve(const char *dev, const struct in6_addr *to, uint8_t *mac, char *error, size_t size)
{
	int fd = socket(address_six(to) ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	union address_name name;
	socklen_t length = address_name(&name, to, if_nametoindex(dev), htons(DISCARD));
	uint64_t end = now_ns() + ARP_NS;
	bool found = false;
	struct ifreq r;

	snprintf(error, size, "none in 3 s");
	if (ask(dev, SIOCGIFHWADDR, &r) && r.ifr_hwaddr.sa_family == ARPHRD_LOOPBACK) {
		memset(mac, 0, 6);
		close(fd);
		return true;
	}
	if (fd >= 0 && !setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, dev, strlen(dev))) {
		while (!(found = look_up(fd, dev, to, mac)) && now_ns() < end && !stopping()) {
			if (sendto(fd, "", 1, MSG_DONTWAIT, &name.any, length) < 0)
				snprintf(error, size, "%s", strerror(errno));
			usleep(20000);
		}
	}
	close(fd);
	return found;
}

int card_hole(bool six, in_port_t port)
{
	struct in6_addr any = address_any(six);
	union address_name name;
	socklen_t length = address_name(&name, &any, 0, port);
	int fd = socket(name.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), one = 1;

	/* Beside one of IPv4 on the same port. */
	if (fd >= 0 && (!six || !setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one))) &&
	    sock_deaf(fd) && !bind(fd, &name.any, length))
		return fd;
	close(fd);
	return -1;
}
