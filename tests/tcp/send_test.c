/* SPDX-License-Identifier: MIT */
/* From the program's bytes to the write queue (tcp_sendmsg): how much one sk_buff takes, when what is queued is
 * pushed, and what a call does that cannot go on. */

#include "../../stack/ipv4/tcp_output.h"
#include "../lib/tcpscript.h"
#include <linux/sockios.h>
#include <sys/ioctl.h>

TestSuite(send, .init = script_init, .fini = script_fini);

/* ---- MSS and size_goal ------------------------------------------------------------------------------------ */

static u32 goal_of(struct socket *s, int flags, u32 *mss)
{
    u32 goal;

    lock_sock(s->sk);
    *mss = (u32)tcp_send_mss(s->sk, &goal, flags);
    release_sock(s->sk);
    return goal;
}

Test(send, established_size_goal_is_the_largest_multiple_of_the_mss_below_64_k)
{
    struct socket *s = script_accepted("mss 1460,nop,wscale 7", 65535);
    u32 mss, goal = goal_of(s, 0, &mss);

    cr_assert_eq(mss, 1460);
    cr_assert_eq(goal % mss, 0);
    cr_assert_leq(goal, 65535 - MAX_TCP_HEADER);
    cr_assert_gt(goal + mss, 65535 - MAX_TCP_HEADER);
}

Test(send, established_size_goal_is_at_most_half_the_largest_window)
{
    struct socket *s = script_accepted("mss 1000", 9000);
    u32 mss;

    cr_assert_eq(goal_of(s, 0, &mss), 4000);
    rx(.win = 2000); /* the largest counts, not the last */
    cr_assert_eq(goal_of(s, 0, &mss), 4000);
}

Test(send, established_urgent_data_has_a_size_goal_of_one_segment)
{
    struct socket *s = script_accepted("mss 1000", 65535);
    u32 mss;

    cr_assert_eq(goal_of(s, MSG_OOB, &mss), 1000);
}

Test(send, established_sack_blocks_to_be_sent_shrink_the_mss)
{
    struct socket *s = script_accepted("mss 1460,sackOK", 65535);

    rx(.seq = 1001, .len = 100);
    tx_ignore();
    cr_assert_eq(sys_write(s, 2000), 2000);
    tx(.len = 1448, .opt = "nop,nop,sack 1 {1001:1101}");
    tx(.len = 552);
    rx();
}

/* ---- the tail of the write queue ------------------------------------------------------------------------------ */

static u32 queued(struct socket *s) { return skb_queue_len(&s->sk->sk_write_queue); }

Test(send, corked_writes_fill_one_sk_buff_to_its_size_goal)
{
    struct socket *s = script_accepted("mss 1000", 6000); /* size_goal 3000 */

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_CORK, 1), 0);
    for (int i = 0; i < 9; i++)
        cr_assert_eq(sys_write(s, 100), 100);
    cr_assert_eq(queued(s), 1);
    cr_assert_eq(tcp_sk(s->sk)->write_seq - tcp_sk(s->sk)->snd_nxt, 900);
    cr_assert_eq(TCP_SKB_CB(skb_peek(&s->sk->sk_write_queue))->end_seq, tcp_sk(s->sk)->write_seq);
    tx_nothing();
    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_CORK, 0), 0);
    tx(.len = 900);
    rx();
}

Test(send, no_slots_at_all_bytes_go_into_the_linear_part)
{
    struct page_pool *pool = script_net->tx_pool;
    struct socket *s = script_accepted("mss 1000", 65535);
    const struct sk_buff *skb;

    script_net->tx_pool = NULL;
    cr_assert_eq(sys_send(s, 300, MSG_MORE), 300);
    cr_assert_eq(sys_send(s, 300, MSG_MORE), 300);
    skb = skb_peek(&s->sk->sk_write_queue);
    cr_assert_eq(queued(s), 1);
    cr_assert_eq(skb_headlen(skb), 600);
    cr_assert_eq(skb_shinfo(skb)->nr_frags, 0);
    cr_assert_eq(sys_write(s, 1900), 1900);
    tx(.flags = "A", .len = 1000);
    tx(.flags = "A", .len = 1000);
    tx(.flags = "PA", .len = 500);
    rx();
    script_net->tx_pool = pool;
}

Test(send, adjacent_bytes_merge_with_the_last_frag)
{
    struct socket *s = script_accepted("mss 1000", 65535);
    const struct sk_buff *skb;

    cr_assert_eq(sys_send(s, 300, MSG_MORE), 300);
    cr_assert_eq(sys_send(s, 300, MSG_MORE), 300);
    skb = skb_peek(&s->sk->sk_write_queue);
    cr_assert_eq(skb_headlen(skb), 0);
    cr_assert_eq(skb_shinfo(skb)->nr_frags, 1);
    cr_assert_eq(skb_shinfo(skb)->frags[0].size, 600);
    cr_assert_eq(sys_send(s, 0, 0), 0); /* nothing to push it with */
    tx_nothing();
    cr_assert_eq(sys_write(s, 1), 1);
    tx(.len = 601);
    rx();
}

Test(send, frags_run_out_ends_the_sk_buff_with_push)
{
    struct socket *s = script_accepted("mss 100,nop,wscale 7", 65535); /* size_goal: far more than MAX_SKB_FRAGS segments */
    const u32 full = 100 * MAX_SKB_FRAGS;
    const struct sk_buff *skb;

    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_SNDBUF, 200000), 0);
    rx(.win = 0);
    cr_assert_eq(sys_send(s, full + 50, MSG_MORE), full + 50);
    tx_nothing();
    skb = skb_peek(&s->sk->sk_write_queue);
    cr_assert_eq(queued(s), 2);
    cr_assert_eq(skb->len, full);
    cr_assert(TCP_SKB_CB(skb)->tcp_flags & TCPHDR_PSH);
    cr_assert_eq(TCP_SKB_CB(skb_peek_tail(&s->sk->sk_write_queue))->tcp_flags & TCPHDR_PSH, 0);
    rx(.win = 65535);
    for (int i = 0; i < 30 && (tcp_sk(s->sk)->packets_out || queued(s)); i++) {
        tx_ignore();
        rx();
    }
    tx_ignore();
}

Test(send, eor_records_stay_apart_when_they_are_retransmitted)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_NODELAY, 1), 0);
    sys_send(s, 10, MSG_EOR);
    tx(.len = 10);
    sys_send(s, 20, MSG_EOR);
    tx(.len = 20);
    tx_at(200, .seq = 1, .len = 10);
    rx();
}

Test(send, small_records_without_eor_are_joined_when_they_are_retransmitted)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_NODELAY, 1), 0);
    sys_write(s, 10);
    tx(.len = 10);
    sys_write(s, 20);
    tx(.len = 20);
    tx_at(200, .seq = 1, .len = 30);
    rx();
}

Test(send, eor_of_a_call_that_was_cut_short_does_not_mark_the_record)
{
    struct socket *s = script_accepted("mss 1000", 65535);
    ssize_t n;

    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_SNDBUF, 5000), 0);
    n = sys_send(s, 100000, MSG_EOR);
    cr_assert(n > 0 && n < 100000);
    cr_assert_gt(queued(s), 0);
    cr_assert_eq(TCP_SKB_CB(skb_peek_tail(&s->sk->sk_write_queue))->eor, 0);
    tx_ignore();
    rx();
    tx_ignore();
}

/* ---- accounting -------------------------------------------------------------------------------------------------- */

Test(send, established_write_seq_and_pcount_are_what_was_written)
{
    struct socket *s = script_accepted("mss 1000", 2500);
    int v;

    cr_assert_eq(sys_write(s, 5000), 5000);
    cr_assert_eq(tx_ignore(), 2);
    cr_assert_eq(sys_tcp_info(s).tcpi_unacked, 2);
    cr_assert_eq(sys_tcp_info(s).tcpi_notsent_bytes, 3000);
    cr_assert_eq(s->ops->ioctl(s, SIOCOUTQ, &v), 0);
    cr_assert_eq(v, 5000);
    cr_assert_eq(s->ops->ioctl(s, SIOCOUTQNSD, &v), 0);
    cr_assert_eq(v, 3000);
    rx(.ack = 1001, .win = 65535);
    tx_ignore();
    cr_assert_eq(sys_tcp_info(s).tcpi_unacked, 4);
    rx();
    cr_assert_eq(s->ops->ioctl(s, SIOCOUTQ, &v), 0);
    cr_assert_eq(v, 0);
}

Test(send, bytes_that_join_a_counted_sk_buff_are_counted_too)
{
    struct socket *s = script_accepted("mss 1000", 9000);

    rx(.win = 0);
    cr_assert_eq(sys_write(s, 1500), 1500); /* looked at, and held back by the window */
    cr_assert_eq(sys_write(s, 1000), 1000);
    cr_assert_eq(queued(s), 1);
    rx(.win = 9000);
    cr_assert_eq(tx_ignore(), 3);
    cr_assert_eq(sys_tcp_info(s).tcpi_unacked, 3);
    rx();
}

/* ---- push --------------------------------------------------------------------------------------------------------- */

Test(send, long_write_pushes_each_time_half_the_largest_window_is_exceeded)
{
    struct socket *s = script_accepted("mss 1000", 2000); /* size_goal is one segment */

    cr_assert_eq(sys_write(s, 5000), 5000);
    tx(.flags = "A", .seq = 1, .len = 1000);
    tx(.flags = "PA", .len = 1000);
    rx();
    tx(.flags = "A", .len = 1000);
    tx(.flags = "PA", .len = 1000);
    rx();
    tx(.flags = "PA", .len = 1000); /* the end of the call */
    rx();
}

Test(send, msg_more_leaves_the_tail_without_push)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    cr_assert_eq(sys_send(s, 1000, MSG_MORE), 1000); /* full: goes, but more comes */
    tx(.flags = "A", .len = 1000);
    cr_assert_eq(sys_write(s, 10), 10);
    tx(.flags = "PA", .len = 10);
    rx();
}

Test(send, push_of_an_earlier_call_is_taken_back_when_bytes_join)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    sys_write(s, 10);
    tx(.len = 10);
    sys_write(s, 500); /* Nagle: waits, marked PSH */
    cr_assert_eq(sys_send(s, 1000, MSG_MORE), 1000);
    tx(.flags = "A", .len = 1000); /* its last byte is in the middle of a call */
    rx();
    tx(.flags = "A", .len = 500); /* MSG_MORE is forgotten by then */
    rx();
}

static struct page *(*pool_alloc)(struct page_pool *pool);
static struct socket *writer;
static u32 allocs, sent_at[64];

static struct page *watch_alloc(struct page_pool *pool)
{
    if (allocs < 64)
        sent_at[allocs++] = tcp_sk(writer->sk)->snd_nxt - tcp_sk(writer->sk)->snd_una;
    return pool_alloc(pool);
}

Test(send, first_full_sk_buff_goes_while_the_call_still_copies)
{
    struct page_pool *pool = script_net->tx_pool;

    writer = script_accepted("mss 1000", 20000); /* size_goal 10000, too little for forced_push */
    pool_alloc = pool->alloc;
    pool->alloc = watch_alloc;
    allocs = 0;
    cr_assert_eq(sys_write(writer, 12000), 12000);
    pool->alloc = pool_alloc;
    cr_assert_eq(sent_at[9], 0);
    cr_assert_gt(sent_at[10], 0); /* tcp_push_one */
    tx_ignore();
    rx();
    tx_ignore();
    rx();
}

/* ---- Nagle, cork and autocorking together --------------------------------------------------------------------------- */

Test(send, nodelay_under_cork_pushes_once_and_cork_holds_again)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_CORK, 1), 0);
    sys_write(s, 10);
    tx_nothing();
    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_NODELAY, 1), 0);
    tx(.len = 10);
    sys_write(s, 20);
    tx_nothing();
    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_CORK, 0), 0);
    tx(.len = 20);
    sys_write(s, 30);
    tx(.len = 30); /* no Nagle */
    rx();
}

Test(send, cork_pulled_with_data_in_flight_obeys_nagle)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    sys_write(s, 10);
    tx(.len = 10);
    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_CORK, 1), 0);
    sys_write(s, 20);
    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_CORK, 0), 0);
    tx_nothing();
    rx();
    tx(.len = 20);
    rx();
}

Test(send, corked_tail_goes_with_the_fin)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_CORK, 1), 0);
    sys_write(s, 10);
    tx_nothing();
    cr_assert_eq(sys_shutdown(s, SHUT_WR), 0);
    tx(.flags = "FPA", .len = 10);
    rx();
}

Test(send, corked_fin_that_the_window_held_back_goes_when_it_opens)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_CORK, 1), 0);
    rx(.win = 0);
    sys_write(s, 10);
    cr_assert_eq(sys_shutdown(s, SHUT_WR), 0);
    tx_nothing();
    rx(.win = 1000);
    tx(.flags = "FPA", .len = 10);
    rx();
}

Test(send, splice_eof_pushes_what_msg_more_held_back)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    s->ops->splice_eof(s);
    tx_nothing();
    cr_assert_eq(sys_send(s, 100, MSG_MORE), 100);
    tx_nothing();
    s->ops->splice_eof(s); /* sendfile(2) was asked for more than the file has */
    advance_us(1);
    tx(.flags = "PA", .len = 100);
    rx();
}

/* A device that keeps what it is given until it is let go. */
static const struct net_device_ops *dev_ops;
static struct net_device_ops slow_ops;
static struct sk_buff *held[8];
static int nheld;

static netdev_tx_t hold_xmit(struct sk_buff *skb, struct net_device *dev)
{
    held[nheld++] = skb;
    return NETDEV_TX_OK;
}

static void hold_device(void)
{
    dev_ops = script_dev->ops;
    slow_ops = *dev_ops;
    slow_ops.ndo_start_xmit = hold_xmit;
    script_dev->ops = &slow_ops;
    nheld = 0;
}

static void let_go(void)
{
    script_dev->ops = dev_ops;
    for (int i = 0; i < nheld; i++)
        script_dev->ops->ndo_start_xmit(held[i], script_dev);
    nheld = 0;
    advance_us(1);
}

Test(send, autocork_holds_a_small_write_until_the_device_has_finished_the_last)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_NODELAY, 1), 0);
    hold_device();
    sys_write(s, 10);
    cr_assert_eq(nheld, 1);
    sys_write(s, 20);
    sys_write(s, 30);
    cr_assert_eq(nheld, 1);
    cr_assert_eq(mib(LINUX_MIB_TCPAUTOCORKING), 1);
    let_go();
    tx(.len = 10);
    tx(.len = 50);
    rx();
}

Test(send, autocork_switched_off_does_not_hold)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    script_net->ipv4.sysctl_tcp_autocorking = 0;
    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_NODELAY, 1), 0);
    hold_device();
    sys_write(s, 10);
    sys_write(s, 20);
    cr_assert_eq(nheld, 2);
    cr_assert_eq(mib(LINUX_MIB_TCPAUTOCORKING), 0);
    let_go();
    tx(.len = 10);
    tx(.len = 20);
    rx();
}

Test(send, autocork_lets_an_end_of_record_go)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_NODELAY, 1), 0);
    hold_device();
    sys_write(s, 10);
    sys_send(s, 20, MSG_EOR); /* nothing can join it, so waiting is no use */
    cr_assert_eq(nheld, 2);
    let_go();
    tx(.len = 10);
    tx(.len = 20);
    rx();
}

/* ---- no room ---------------------------------------------------------------------------------------------------------- */

Test(send, full_send_buffer_takes_a_part_and_then_would_block)
{
    struct socket *s = script_accepted("mss 1000", 65535);
    ssize_t n;

    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_SNDBUF, 5000), 0);
    cr_assert_eq(__atomic_load_n(&s->flags, __ATOMIC_RELAXED) & SOCK_NOSPACE, 0);
    n = sys_write(s, 100000);
    cr_assert(n >= 5000 && n < 60000, "%zd taken", n);
    tx_ignore();
    cr_assert(__atomic_load_n(&s->flags, __ATOMIC_RELAXED) & SOCK_NOSPACE);
    cr_assert_eq(sys_write(s, 1000), -EAGAIN);
    cr_assert_eq(sys_poll(s) & EPOLLOUT, 0);
    for (int i = 0; i < 40 && (__atomic_load_n(&s->flags, __ATOMIC_RELAXED) & SOCK_NOSPACE); i++) {
        rx();
        tx_ignore();
    }
    cr_assert(sys_poll(s) & EPOLLOUT);
    cr_assert_eq(__atomic_load_n(&s->flags, __ATOMIC_RELAXED) & SOCK_NOSPACE, 0);
    cr_assert_gt(sys_write(s, 1000), 0);
    tx_ignore();
    rx();
}

static struct page *three_pages(struct page_pool *pool)
{
    return atomic_load(&pool->outstanding) < 3 ? pool_alloc(pool) : NULL;
}

static void send_limit(struct socket *s, int ms)
{
    struct timeval limit = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

    cr_assert_eq(sock_setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)), 0);
}

Test(send, no_slot_left_blocking_write_pushes_what_was_copied_before_it_sleeps)
{
    struct page_pool *slots = script_net->tx_pool, *pool = page_pool_heap_create(600, 256, 0);
    struct socket *s = script_accepted("mss 1000", 20000); /* size_goal 10000: not reached */

    send_limit(s, 2000);
    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_CORK, 1), 0);
    script_net->tx_pool = pool;
    pool_alloc = pool->alloc;
    pool->alloc = three_pages;
    rx_in(10, .ack = 1601); /* ignored if not all was sent until now, small tail included: then no slot comes home */
    cr_assert_eq(sys_write_wait(s, 3000), 3000);
    pool->alloc = pool_alloc;
    script_net->tx_pool = slots;
    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_CORK, 0), 0);
    tx_ignore();
    rx(.ack = 3001);
    cr_assert_eq(sys_tcp_info(s).tcpi_unacked, 0);
    page_pool_heap_destroy(pool);
}

static struct page *no_page(struct page_pool *pool) { return NULL; }

Test(send, no_slot_at_all_write_would_block_and_leaves_nothing_queued)
{
    struct page_pool *pool = script_net->tx_pool;
    struct socket *s = script_accepted("mss 1000", 20000);

    pool_alloc = pool->alloc;
    pool->alloc = no_page;
    cr_assert_eq(sys_write(s, 3000), -EAGAIN);
    cr_assert_eq(queued(s), 0);
    pool->alloc = pool_alloc;
    cr_assert_eq(sys_write(s, 10), 10);
    tx(.len = 10);
    rx();
}

Test(send, full_send_buffer_blocking_write_goes_on_with_each_ack)
{
    struct socket *s = script_accepted("mss 1000", 65535);
    u64 begin = script_now();

    cr_assert_eq(sys_setsockopt(s, IPPROTO_TCP, TCP_CORK, 1), 0);
    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_SNDBUF, 4000), 0);
    for (int i = 1; i <= 50; i++)
        rx_in((u64)i * 10, .ack = 1 + 2000 * i);
    cr_assert_eq(sys_write_wait(s, 100000), 100000);
    cr_assert_gt(script_now() - begin, 100 * NSEC_PER_MSEC);
    advance_ms(900);
    cr_assert_eq(sys_tcp_info(s).tcpi_unacked, 0);
    tx_ignore();
}

Test(send, send_time_limit_returns_what_was_taken_until_then)
{
    struct socket *s = script_accepted("mss 1000", 65535);
    u64 begin = script_now();
    ssize_t n;

    send_limit(s, 300);
    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_SNDBUF, 5000), 0);
    n = sys_write_wait(s, 100000);
    cr_assert(n > 0 && n < 100000);
    cr_assert_geq(script_now() - begin, 300 * NSEC_PER_MSEC);
    cr_assert_lt(script_now() - begin, 310 * NSEC_PER_MSEC);
    begin = script_now();
    cr_assert_eq(sys_write_wait(s, 10), -EAGAIN);
    cr_assert_geq(script_now() - begin, 300 * NSEC_PER_MSEC);
    tx_ignore();
    rx();
    tx_ignore();
}

Test(send, reset_while_a_write_waits_gives_what_was_taken_then_the_reset_then_a_broken_pipe)
{
    struct socket *s = script_accepted("mss 1000", 65535);
    ssize_t n;

    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_SNDBUF, 5000), 0);
    rx_in(50, .flags = "R");
    n = sys_write_wait(s, 100000);
    cr_assert(n > 0 && n < 100000);
    tx_ignore();
    cr_assert_eq(sys_write_wait(s, 10), -ECONNRESET);
    cr_assert_eq(sys_write_wait(s, 10), -EPIPE);
    cr_assert_eq(sys_write_wait(s, 0), -EPIPE);
}

Test(send, memory_limit_of_the_system_delays_and_does_not_drop)
{
    struct socket *s = script_accepted("mss 1000", 65535);
    u64 begin;

    sys_write(s, 100);
    tx(.len = 100);
    script_net->ipv4.sysctl_tcp_wmem[0] = script_net->ipv4.sysctl_tcp_mem[2] = 0;
    script_net->ipv4.sysctl_tcp_mem[1] = script_net->ipv4.sysctl_tcp_mem[0] = 0;
    cr_assert_eq(sys_setsockopt(s, SOL_SOCKET, SO_SNDBUF, 200000), 0); /* the room is there, the memory is not */
    cr_assert_eq(sys_write(s, 50000), -EAGAIN);
    begin = script_now();
    send_limit(s, 500);
    cr_assert_eq(sys_write_wait(s, 50000), -EAGAIN); /* looks again by itself every now and then: nobody wakes it */
    cr_assert_geq(script_now() - begin, 500 * NSEC_PER_MSEC);
    tx_ignore();
    rx();
    cr_assert_gt(sys_write(s, 1000), 0); /* nothing queued: one sk_buff goes whatever the limit */
    tx_ignore();
    rx();
}

/* ---- nothing to send, nowhere to send it -------------------------------------------------------------------------------- */

Test(send, established_write_of_nothing_sends_nothing)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    cr_assert_eq(sys_write(s, 0), 0);
    tx_nothing();
    cr_assert_eq(queued(s), 0);
}

Test(send, fin_wait_write_is_a_broken_pipe_even_of_nothing)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    cr_assert_eq(sys_shutdown(s, SHUT_WR), 0);
    tx(.flags = "FA");
    cr_assert_eq(sys_write(s, 10), -EPIPE);
    cr_assert_eq(sys_write(s, 0), -EPIPE);
    rx();
}

Test(send, close_wait_write_still_sends)
{
    struct socket *s = script_accepted("mss 1000", 65535);

    rx(.flags = "FA");
    advance_ms(50);
    tx_ignore();
    cr_assert_eq(sys_write(s, 10), 10);
    tx(.len = 10);
    rx();
}

Test(send, closed_write_is_a_broken_pipe)
{
    struct socket *s = sys_socket();

    cr_assert_eq(sys_write(s, 10), -EPIPE);
    cr_assert_eq(sys_write(s, 0), -EPIPE);
}

Test(send, listen_write_is_a_broken_pipe)
{
    cr_assert_eq(sys_write(sys_listen(80, 1), 10), -EPIPE);
}

static struct socket *connecting(void)
{
    struct socket *s = sys_socket_bound();

    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    tx(.flags = "S");
    return s;
}

Test(send, syn_sent_write_would_block)
{
    struct socket *s = connecting();

    cr_assert_eq(sys_write(s, 10), -EAGAIN);
    cr_assert_eq(queued(s), 0);
    rx(.flags = "SA", .opt = "mss 1000");
    tx(.flags = "A");
}

Test(send, syn_sent_blocking_write_rides_on_the_last_ack_of_the_handshake)
{
    struct socket *s = connecting();

    rx_in(20, .flags = "SA", .opt = "mss 1000");
    cr_assert_eq(sys_write_wait(s, 10), 10);
    tx(.flags = "PA", .seq = 1, .ack = 1, .len = 10); /* sk_write_pending: no ACK alone before it */
    rx();
}

Test(send, syn_sent_blocking_write_has_a_time_limit)
{
    struct socket *s = connecting();
    u64 begin = script_now();

    send_limit(s, 200);
    cr_assert_eq(sys_write_wait(s, 10), -EAGAIN);
    cr_assert_geq(script_now() - begin, 200 * NSEC_PER_MSEC);
    cr_assert_lt(script_now() - begin, 210 * NSEC_PER_MSEC);
}

Test(send, syn_sent_blocking_write_hears_of_the_refusal)
{
    struct socket *s = connecting();

    rx_in(20, .flags = "RA");
    cr_assert_eq(sys_write_wait(s, 10), -ECONNREFUSED);
    cr_assert_eq(sys_write_wait(s, 10), -EPIPE);
}
