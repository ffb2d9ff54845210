/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_SHIM_FILTER_H
#define SLUICE_SHIM_FILTER_H
/* Rules of sluice's own for the packets of the stack (option `filter`), which the host's tables never see. */

#include "../stack/ipv4/ip.h"

/* Role: one rule, one line:  accept|drop|reject in|out [tcp|udp|icmp] [from ADDRESS[/LEN]] [port N] [to ADDRESS[/LEN]]
 * [port N] [with reset|port-unreachable|host-unreachable|net-unreachable|admin-prohibited].  1: *rule is set; 0: nothing
 * but a comment; -1: *wrong says what is wrong. */
int filter_parse_line(const char *line, struct nf_rule *rule, const char **wrong);
#define FILTER_TEXT_MAX 160
/* The rule as filter_parse_line() reads it. Returns buf. */
char *filter_print(const struct nf_rule *rule, char *buf, size_t len);
/* Role: the rules of a file, in order, to add(arg, rule), 0 or -ENOMEM; the first that matches decides, none accepts.
 * add NULL: only look whether the file is right. 0, or -errno with a sentence in why. */
int filter_load(const char *path, int (*add)(void *arg, const struct nf_rule *rule), void *arg, char *why, size_t len);

#endif
