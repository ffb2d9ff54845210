/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_CORE_SPINLOCK_H
#define SLUICE_CORE_SPINLOCK_H
/* spinlock_t here is an adaptive pthread mutex: the holder may be preempted, because there is no
 * interrupt context to keep out, so a waiter that only spun could burn a whole time slice.
 * Never sleep (net_ops.wait) while one is held. */

#include <pthread.h>

typedef struct {
    pthread_mutex_t m;
} spinlock_t;

static inline void spin_lock_init(spinlock_t *l)
{
    pthread_mutexattr_t a;
    pthread_mutexattr_init(&a);
    pthread_mutexattr_settype(&a, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(&l->m, &a);
    pthread_mutexattr_destroy(&a);
}
static inline void spin_lock(spinlock_t *l) { pthread_mutex_lock(&l->m); }
/* Returns true when the lock was taken. */
static inline int spin_trylock(spinlock_t *l) { return pthread_mutex_trylock(&l->m) == 0; }
static inline void spin_unlock(spinlock_t *l) { pthread_mutex_unlock(&l->m); }
static inline void spin_lock_destroy(spinlock_t *l) { pthread_mutex_destroy(&l->m); }

#endif
