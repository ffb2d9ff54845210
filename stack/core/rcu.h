/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_CORE_RCU_H
#define SLUICE_CORE_RCU_H
/* liburcu's bp flavour (rcu_flavor, urcu_bp_flavor): the threads are the program's, so none registers. Use rcu_read_lock(),
 * rcu_read_unlock(), rcu_dereference(), rcu_assign_pointer() and, for freeing, net_call_rcu(). */

#ifndef _LGPL_SOURCE
#define _LGPL_SOURCE
#endif
#include <urcu-bp.h>
#include <urcu/list.h>

#ifndef __SANITIZE_THREAD__
#include <urcu/rculist.h>
#include <urcu/rculfhash.h>
/* In a cds_lfht match function: the node was found, its memory is what the writer made of it. */
#define lfht_node_seen(node) ((void)(node))
#else
/* ThreadSanitizer sees none of liburcu's own ordering (the library is not instrumented, its inline parts use
 * volatile accesses). So the three orderings it promises are said here: what a reader did comes before the end of a
 * grace period; what was written comes before a pointer to it is published; and the same for a hash table's nodes. */
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
extern char rcu_tsan_tag;
__attribute__((weak)) char rcu_tsan_tag;
#undef rcu_read_unlock
#define rcu_read_unlock() (__tsan_release(&rcu_tsan_tag), urcu_bp_read_unlock())
#undef synchronize_rcu
#define synchronize_rcu() (urcu_bp_synchronize_rcu(), __tsan_acquire(&rcu_tsan_tag))
#undef rcu_set_pointer
#define rcu_set_pointer(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
#undef CMM_STORE_SHARED
#define CMM_STORE_SHARED(x, v) __atomic_store_n(&(x), v, __ATOMIC_RELEASE)
#include <urcu/rculist.h>
#include <urcu/rculfhash.h>

#define lfht_node_seen(node) __tsan_acquire(node)
static inline struct cds_lfht_node *lfht_tsan_get(struct cds_lfht_node *node)
{
    if (node)
        __tsan_acquire(node);
    return node;
}
#define cds_lfht_iter_get_node(iter) lfht_tsan_get((iter)->node)
#define cds_lfht_add(ht, hash, n) (__tsan_release(n), (cds_lfht_add)(ht, hash, n))
#define cds_lfht_add_unique(ht, hash, match, key, n)                                               \
    (__tsan_release(n), lfht_tsan_get((cds_lfht_add_unique)(ht, hash, match, key, n)))
#define cds_lfht_add_replace(ht, hash, match, key, n)                                              \
    (__tsan_release(n), lfht_tsan_get((cds_lfht_add_replace)(ht, hash, match, key, n)))
#define cds_lfht_replace(ht, old, hash, match, key, n)                                             \
    (__tsan_release(n), (cds_lfht_replace)(ht, old, hash, match, key, n))
#endif

#endif
