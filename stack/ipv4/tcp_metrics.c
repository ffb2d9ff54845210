// SPDX-License-Identifier: MIT
/* What a finished connection learned of the path, kept on its route for the next one (RFC 2140, RFC 9040). */

#include "tcp_input.h"

/* Role: at a connection's orderly end: remember the smoothed RTT on the cached route. Socket lock held. */
void tcp_update_metrics(struct sock *sk)
{
    struct dst_entry *dst = __sk_dst_check(sk);
    const struct tcp_sock *tp = tcp_sk(sk);

    if (sock_net(sk)->ipv4.sysctl_tcp_no_metrics_save || !dst)
        return;
    if (inet_csk(sk)->icsk_backoff || !tp->srtt_us) {
        WRITE_ONCE(dst->rtt_ns, 0); /* the network behaved badly: what was known is void */
        return;
    }
    WRITE_ONCE(dst->rtt_ns, (u32)min_t(u64, (u64)(tp->srtt_us >> 3) * NSEC_PER_USEC, UINT32_MAX));
}
