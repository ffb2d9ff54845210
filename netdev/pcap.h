/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_NETDEV_PCAP_H
#define SLUICE_NETDEV_PCAP_H
/* A device around a device that writes every packet, both ways, to a pcapng file. Packets are written as
 * they pass: large ones before segmentation; partial checksums are completed in the file. */

#include "../stack/core/netdevice.h"

struct pcap_file;
/* Create (truncate) the file. NULL with errno set. Close with pcap_close(). A killed process leaves whole
 * blocks only; the file may then end with a filler block, which readers skip. */
struct pcap_file *pcap_open(const char *path);
void pcap_close(struct pcap_file *f);
/* Wrap `lower` (registered): the wrapper takes its place in net->dev_list, addresses and name included.
 * Returns the wrapper or NULL. Removed with its lower. */
struct net_device *pcap_wrap(struct net_device *lower, struct pcap_file *f);
void pcap_unwrap(struct net_device *pcap_dev);
int pcap_fd(const struct pcap_file *f);

#endif
