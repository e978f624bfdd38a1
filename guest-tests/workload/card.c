// SPDX-License-Identifier: GPL-2.0-only
/* Addresses of interfaces and neighbours. */
#define _GNU_SOURCE
#include <errno.h>
#include <ifaddrs.h>
#include <linux/filter.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "card.h"
#include "pace.h"
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

struct in_addr card_address(const char *dev)
{
	struct in_addr none = { 0 };
	struct ifreq r;

	return ask(dev, SIOCGIFADDR, &r) ? ((struct sockaddr_in *)&r.ifr_addr)->sin_addr : none;
}

void card_towards(struct in_addr to, char *dev, size_t size, struct in_addr *from)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr = to, .sin_port = htons(DISCARD) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t length = sizeof(name);
	struct ifaddrs *all, *at;

	*dev = 0;
	if (fd < 0 || connect(fd, (struct sockaddr *)&name, sizeof(name)) ||
	    getsockname(fd, (struct sockaddr *)&name, &length) || getifaddrs(&all)) {
		close(fd);
		return;
	}
	close(fd);
	*from = name.sin_addr;
	for (at = all; at; at = at->ifa_next) {
		struct sockaddr_in *a = (struct sockaddr_in *)at->ifa_addr;

		if (a && a->sin_family == AF_INET && a->sin_addr.s_addr == name.sin_addr.s_addr) {
			strncpy(dev, to.s_addr == name.sin_addr.s_addr ? "lo" : at->ifa_name, size - 1);
			dev[size - 1] = 0;
			break;
		}
	}
	freeifaddrs(all);
}

static bool look_up(int fd, const char *dev, struct in_addr to, uint8_t *mac)
{
	struct arpreq r = { 0 };

	((struct sockaddr_in *)&r.arp_pa)->sin_family = AF_INET;
	((struct sockaddr_in *)&r.arp_pa)->sin_addr = to;
	strncpy(r.arp_dev, dev, sizeof(r.arp_dev) - 1);
	if (ioctl(fd, SIOCGARP, &r) || !(r.arp_flags & ATF_COM))
		return false;
	memcpy(mac, r.arp_ha.sa_data, 6);
	return true;
}

bool card_resolve(const char *dev, struct in_addr to, uint8_t *mac, char *error, size_t size)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr = to, .sin_port = htons(DISCARD) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
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
			if (sendto(fd, "", 1, MSG_DONTWAIT, (struct sockaddr *)&name, sizeof(name)) < 0)
				snprintf(error, size, "%s", strerror(errno));
			usleep(20000);
		}
	}
	close(fd);
	return found;
}

int card_hole(in_port_t port)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = port };
	struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog program = { 1, &nothing };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && !setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) &&
	    !bind(fd, (struct sockaddr *)&name, sizeof(name)))
		return fd;
	close(fd);
	return -1;
}
