/* SPDX-License-Identifier: MIT */
/* TCP_SAVE_SYN on a listener, TCP_SAVED_SYN on what it accepts (tcp(7)): the headers of the SYN, once. */

#include "tcp_saved_syn.h"

struct saved_syn {
    u32 len;
    u8 data[];
};

void tcp_reqsk_record_syn(const struct sock *sk, struct request_sock *req, const struct sk_buff *skb)
{
    const u8 *start = skb_network_header(skb), *end = (const u8 *)tcp_hdr(skb) + tcp_hdrlen(skb);

    if (likely(!tcp_sk(sk)->save_syn))
        return;
    if (tcp_sk(sk)->save_syn == 2 && skb->mac_header != 0xffff)
        start = skb->head + skb->mac_header;
    req->saved_syn = malloc(sizeof(*req->saved_syn) + (size_t)(end - start));
    if (!req->saved_syn)
        return;
    req->saved_syn->len = (u32)(end - start);
    memcpy(req->saved_syn->data, start, (size_t)(end - start));
}

void tcp_move_syn(struct tcp_sock *tp, struct request_sock *req)
{
    tp->saved_syn = req->saved_syn;
    req->saved_syn = NULL;
}

int tcp_get_saved_syn(struct sock *sk, void *optval, socklen_t *len)
{
    struct tcp_sock *tp = tcp_sk(sk);
    int err = 0;

    if (!tp->saved_syn) {
        *len = 0;
        return 0;
    }
    if (*len < tp->saved_syn->len)
        err = -EINVAL; /* *len says how much there is */
    else
        memcpy(optval, tp->saved_syn->data, tp->saved_syn->len);
    *len = tp->saved_syn->len;
    if (!err) {
        free(tp->saved_syn);
        tp->saved_syn = NULL;
    }
    return err;
}
