/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_NETDEV_PARTIAL_CSUM_H
#define SLUICE_NETDEV_PARTIAL_CSUM_H
/* Between kernels on one host (veth) a TCP checksum field holds only the pseudo-header sum. What leaves that
 * world - a capture file, a wire that may corrupt - needs the whole one. */

#include "../stack/core/types.h"

/* Role: complete the TCP checksum of an Ethernet+IPv4 frame in place, when its field holds the pseudo-header sum
 * (or `partial` says so). Anything else, fragments too, is left alone. */
void frame_complete_csum(u8 *frame, u32 len, bool partial);

#endif
