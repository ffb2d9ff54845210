/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_IPV4_INET_HASHTABLES_H
#define SLUICE_IPV4_INET_HASHTABLES_H
/* The connection tables of one net, for inet_hashtables.c, inet_port.c and inet_timewait_sock.c.
 *
 *   ehash  4-tuple -> established, request and time-wait socks. liburcu's split-ordered list table: readers take
 *          no lock. Writers of one 4-tuple are serialised by an ehash_lock, so that the table and what the
 *          steering program knows change together.
 *   lhash  port -> listeners, RCU lists; writers under the bucket's lock.
 *   bhash  port -> owners of the port, never walked without the lock.
 *
 * Locks, outermost first: a socket's slock > bhash_lock > ehash_lock. lhash lock: inside slock, apart from the
 * other two. steer_ops are called under ehash_lock or the lhash lock; sk_unhashed under none of these. */

#include "../core/rcu.h"
#include "inet_sock.h"

#define INET_LHTABLE_SIZE 256
#define INET_LOCKS 64
#define INET_TABLE_PERTURB_SIZE 1024
#define INET_EHASH_MIN 1024

struct inet_listen_hashbucket {
    spinlock_t lock; /* writers of head; nothing but steer_ops under it */
    struct cds_list_head head; /* sock_common.skc_lnode; RCU: written under lock, read anywhere */
};

struct inet_bind_bucket { /* a port with at least one owner; under the port's bhash_lock */
    u16 port;
    s8 fastreuse; /* 1: all owners may share and none listens; 0: look at each; -1: only connect() owns it */
    struct cds_list_head owners; /* sock_common.skc_bnode */
};

struct inet_hashinfo {
    struct cds_lfht *ehash;
    u64 secret[2];
    _Atomic u32 ehash_count, tw_count;
    u32 ehash_size;              /* written by the one who resizes */
    _Atomic u32 resizing;
    spinlock_t ehash_lock[INET_LOCKS]; /* by hash: writers of the same 4-tuple, skc_hashed, steer_ops flows */
    _Atomic u32 replaced[INET_LOCKS];  /* by hash: how often one sock took another's place */
    struct inet_listen_hashbucket lhash[INET_LHTABLE_SIZE];
    spinlock_t bhash_lock[INET_LOCKS]; /* by port: bhash[port] and its owners */
    struct inet_bind_bucket **bhash;   /* 65536 pointers; pages that no port touches cost nothing */
    _Atomic u32 table_perturb[INET_TABLE_PERTURB_SIZE]; /* RFC 6056 3.3.4: table[] */
};

static inline spinlock_t *inet_ehash_lockp(struct inet_hashinfo *h, u32 hash) { return &h->ehash_lock[hash % INET_LOCKS]; }
static inline spinlock_t *inet_bhash_lockp(struct inet_hashinfo *h, u16 port) { return &h->bhash_lock[port % INET_LOCKS]; }

/* Keyed hash of a connection; ports: local in the low half, both host order. */
u32 inet_ehashfn(const struct inet_hashinfo *h, __be32 laddr, u16 lport, __be32 faddr, __be16 fport);
/* 64 keyed bits about (local, foreign address, foreign port), RFC 6056 3.3.4: F() and G(). */
u64 inet_port_offset(const struct inet_hashinfo *h, __be32 laddr, __be32 faddr, __be16 fport);

/* Role: insert with the reason of a refusal: 0, -EADDRNOTAVAIL (4-tuple taken) or steer_ops's error.
 * osk: as inet_ehash_insert; a time-wait sock too (its reference passes to the caller). */
int __inet_ehash_insert(struct sock_common *sk, struct sock_common *osk);
/* Take out of the established table if it is there; true: it was (its reference is dropped). */
bool inet_ehash_remove(struct sock_common *sk);
/* Forget that the hash nodes were used, so that they may be used again; waits a grace period if one was.
 * Outside read sections. */
void inet_hash_nodes_recycle(struct sock_common *sk);

/* Leave the bound port (any sock_common). */
void inet_bind_bucket_leave(struct inet_hashinfo *h, struct sock_common *sk);
/* Share from's port. False: from has none. */
bool inet_bind_bucket_share(struct inet_hashinfo *h, const struct sock_common *from, struct sock_common *to);
int inet_bhash_init(struct inet_hashinfo *h);
void inet_bhash_exit(struct inet_hashinfo *h);

/* End it now; tables and timer, not the caller's reference. Any thread, any number of times. */
void inet_twsk_kill(struct inet_timewait_sock *tw);

#endif
