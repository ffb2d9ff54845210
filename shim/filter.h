/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_SHIM_FILTER_H
#define SLUICE_SHIM_FILTER_H
/* Rules of sluice's own for the packets of the stack (option `filter`), which the host's tables never see. */

#include "../stack/ipv4/ip.h"

/* Role: one rule, one line:  accept|drop|reject in|out [tcp|udp|icmp] [from ADDRESS[/LEN]] [port N] [to ADDRESS[/LEN]]
 * [port N].  1: *rule is set; 0: nothing but a comment; -1: *wrong says what is wrong. */
int filter_parse_line(const char *line, struct nf_rule *rule, const char **wrong);
/* Role: the rules of a file, in order; the first that matches decides, none accepts. 0, or -errno with a sentence in
 * why. */
int filter_load(struct net *net, const char *path, char *why, size_t len);

#endif
