// SPDX-License-Identifier: GPL-2.0-only
/* What an interface is: driver, queues, offloads, and what a virtio-net card negotiated. */
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "card.h"

/* Those that decide what a packet of this program goes through. */
static const char *const offloads[] = {
	"rx-checksum", "tx-checksum-ip-generic", "tx-checksum-ipv4", "tx-scatter-gather",
	"tx-generic-segmentation", "tx-tcp-segmentation", "tx-udp-segmentation", "rx-gro", "rx-gro-hw",
	"rx-gro-list", "rx-udp-gro-forwarding",
};

/* The last ones came after the headers of Linux 6.1; numbers as in the virtio specification. */
static const struct {
	unsigned int bit;
	const char *name;
} features[] = {
	{ VIRTIO_NET_F_CSUM, "CSUM" }, { VIRTIO_NET_F_GUEST_CSUM, "GUEST_CSUM" },
	{ VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, "CTRL_GUEST_OFFLOADS" }, { VIRTIO_NET_F_MTU, "MTU" },
	{ VIRTIO_NET_F_MAC, "MAC" }, { VIRTIO_NET_F_GUEST_TSO4, "GUEST_TSO4" },
	{ VIRTIO_NET_F_GUEST_TSO6, "GUEST_TSO6" }, { VIRTIO_NET_F_GUEST_ECN, "GUEST_ECN" },
	{ VIRTIO_NET_F_GUEST_UFO, "GUEST_UFO" }, { VIRTIO_NET_F_HOST_TSO4, "HOST_TSO4" },
	{ VIRTIO_NET_F_HOST_TSO6, "HOST_TSO6" }, { VIRTIO_NET_F_HOST_ECN, "HOST_ECN" },
	{ VIRTIO_NET_F_HOST_UFO, "HOST_UFO" }, { VIRTIO_NET_F_MRG_RXBUF, "MRG_RXBUF" },
	{ VIRTIO_NET_F_STATUS, "STATUS" }, { VIRTIO_NET_F_CTRL_VQ, "CTRL_VQ" },
	{ VIRTIO_NET_F_CTRL_RX, "CTRL_RX" }, { VIRTIO_NET_F_CTRL_VLAN, "CTRL_VLAN" },
	{ VIRTIO_NET_F_GUEST_ANNOUNCE, "GUEST_ANNOUNCE" }, { VIRTIO_NET_F_MQ, "MQ" },
	{ VIRTIO_NET_F_CTRL_MAC_ADDR, "CTRL_MAC_ADDR" }, { VIRTIO_NET_F_HASH_REPORT, "HASH_REPORT" },
	{ VIRTIO_NET_F_RSS, "RSS" }, { VIRTIO_NET_F_SPEED_DUPLEX, "SPEED_DUPLEX" },
	{ VIRTIO_RING_F_INDIRECT_DESC, "INDIRECT_DESC" }, { VIRTIO_RING_F_EVENT_IDX, "EVENT_IDX" },
	{ VIRTIO_F_VERSION_1, "VERSION_1" }, { VIRTIO_F_ACCESS_PLATFORM, "ACCESS_PLATFORM" },
	{ VIRTIO_F_RING_PACKED, "RING_PACKED" }, { 35, "IN_ORDER" }, { VIRTIO_F_ORDER_PLATFORM, "ORDER_PLATFORM" },
	{ VIRTIO_F_RING_RESET, "RING_RESET" }, { 53, "NOTF_COAL" }, { 54, "GUEST_USO4" }, { 55, "GUEST_USO6" },
	{ 56, "HOST_USO" }, { 59, "GUEST_HDRLEN" },
};

static bool ethtool(const char *dev, void *data)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), status;
	struct ifreq r = { .ifr_data = data };

	strncpy(r.ifr_name, dev, IFNAMSIZ - 1);
	status = fd < 0 ? -1 : ioctl(fd, SIOCETHTOOL, &r);
	close(fd);
	return !status;
}

/* The kernel's names of its features, or NULL. */
static struct ethtool_gstrings *names(const char *dev)
{
	struct {
		struct ethtool_sset_info info;
		uint32_t count;
	} set = { .info = { .cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1ull << ETH_SS_FEATURES } };
	struct ethtool_gstrings *s;

	if (!ethtool(dev, &set) || !set.info.sset_mask)
		return NULL;
	s = calloc(1, sizeof(*s) + (size_t)set.count * ETH_GSTRING_LEN);
	if (!s)
		return NULL;
	s->cmd = ETHTOOL_GSTRINGS;
	s->string_set = ETH_SS_FEATURES;
	s->len = set.count;
	if (ethtool(dev, s))
		return s;
	free(s);
	return NULL;
}

/* "rx-checksum on, tx-..." of those that the kernel knows. */
static void tell_offloads(const char *dev, struct facts *facts)
{
	struct ethtool_gstrings *s = names(dev);
	struct ethtool_gfeatures *f;
	char text[512] = "";
	unsigned int i, at;
	size_t used = 0;

	if (!s)
		return;
	f = calloc(1, sizeof(*f) + (s->len + 31) / 32 * sizeof(f->features[0]));
	if (f) {
		f->cmd = ETHTOOL_GFEATURES;
		f->size = (s->len + 31) / 32;
	}
	for (i = 0; f && ethtool(dev, f) && i < sizeof(offloads) / sizeof(offloads[0]); i++) {
		for (at = 0; at < s->len; at++) {
			if (strncmp((char *)s->data + at * ETH_GSTRING_LEN, offloads[i], ETH_GSTRING_LEN) ||
			    used >= sizeof(text))
				continue;
			used += snprintf(text + used, sizeof(text) - used, "%s%s %s", used ? ", " : "", offloads[i],
					 f->features[at / 32].active >> at % 32 & 1 ? "on" : "off");
		}
	}
	if (used)
		fact(facts, "offloads", "%s", text);
	free(f);
	free(s);
}

static void tell_queues(const char *dev, struct facts *facts)
{
	struct ethtool_channels c = { .cmd = ETHTOOL_GCHANNELS };
	struct ethtool_ringparam r = { .cmd = ETHTOOL_GRINGPARAM };

	if (ethtool(dev, &c) && c.combined_count)
		fact(facts, "queues", "%u of %u pairs", c.combined_count, c.max_combined);
	if (ethtool(dev, &r) && r.tx_pending)
		fact(facts, "card's rings", "%u to receive, %u to send", r.rx_pending, r.tx_pending);
}

static void tell_virtio(const char *dev, struct facts *facts)
{
	char path[128], bits[128] = "", text[512] = "";
	size_t used = 0, known = 0;
	unsigned int i, j;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/class/net/%s/device/features", dev);
	file = fopen(path, "r");
	if (!file)
		return;
	if (!fgets(bits, sizeof(bits), file))
		bits[0] = 0;
	fclose(file);
	known = strspn(bits, "01");
	for (i = 0; i < known; i++) {
		if (bits[i] != '1')
			continue;
		for (j = 0; j < sizeof(features) / sizeof(features[0]) && features[j].bit != i;)
			j++;
		if (j < sizeof(features) / sizeof(features[0]))
			used += snprintf(text + used, sizeof(text) - used, "%s%s", used ? " " : "", features[j].name);
		else
			used += snprintf(text + used, sizeof(text) - used, "%sbit %u", used ? " " : "", i);
		if (used >= sizeof(text))
			break;
	}
	fact(facts, "virtio", "%s", text);
	fact(facts, "virtqueues", "%s%s", known > VIRTIO_F_RING_PACKED && bits[VIRTIO_F_RING_PACKED] == '1' ?
	     "packed" : "split", known > 35 && bits[35] == '1' ? ", in order" : "");
}

void card_facts(const char *dev, struct facts *facts)
{
	struct ethtool_drvinfo d = { .cmd = ETHTOOL_GDRVINFO };

	fact(facts, "interface", "%s, driver %s, MTU %u", dev, ethtool(dev, &d) ? d.driver : "unknown (no ethtool)",
	     card_mtu(dev));
	tell_queues(dev, facts);
	tell_offloads(dev, facts);
	tell_virtio(dev, facts);
}
