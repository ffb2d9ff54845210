/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_IPV4_TCP_SAVED_SYN_H
#define SLUICE_IPV4_TCP_SAVED_SYN_H

#include "tcp.h"

/* A SYN for listener sk: kept with req when the program asked for it (2: with the Ethernet header). */
void tcp_reqsk_record_syn(const struct sock *sk, struct request_sock *req, const struct sk_buff *skb);
/* From the request to the child. */
void tcp_move_syn(struct tcp_sock *tp, struct request_sock *req);
/* getsockopt(TCP_SAVED_SYN), once. Socket lock held. 0, or -EINVAL with *len the room that is needed. */
int tcp_get_saved_syn(struct sock *sk, void *optval, socklen_t *len);

#endif
