/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_SHIM_FIREWALL_H
#define SLUICE_SHIM_FIREWALL_H

#include <stdbool.h>
#include <stddef.h>

/* Role: does this network namespace filter what its own sockets receive or send? True where an nftables
 * filter chain (families ip and inet) or the legacy iptables filter table at hook input or output has a
 * rule or a policy of drop, with a sentence in why that names it; also where that cannot be found out.
 * Packets of the stack never meet those rules. Needs CAP_NET_ADMIN, as the stack itself does. */
bool host_has_filter_rules(char *why, size_t len);

#endif
