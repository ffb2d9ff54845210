/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_SHIM_LISTENER_H
#define SLUICE_SHIM_LISTENER_H
/* Which of a listener's two halves takes new connections: the stack's, whose queue only this process can accept
 * from, or its twin in the kernel, which whoever has the descriptor can. Files here are FILE_LISTEN_BOTH. */

#include "../stack/ipv4/inet_sock.h"
#include "file.h"

/* Slow half of listener_wanted(). */
void listener_take(struct file *f, bool accepting);
/* Role: the program calls accept() (accepting) or waits for readiness: the stack's half may take connections. */
static inline void listener_wanted(struct file *f, bool accepting)
{
    if (atomic_load_explicit(&f->state, memory_order_relaxed) != FILE_LISTEN_BOTH)
        return;
    if (unlikely((accepting && !READ_ONCE(f->accepted)) || READ_ONCE(f->private_data->sk->__sk_common.skc_parked)))
        listener_take(f, accepting);
}
/* Role: before a fork whose child will have it, which is counted already: to the twin. */
void listener_lend(struct file *f);
/* Role: no other process has it any more (*holders is 0 still), and none has used it: to the stack, if this one is
 * known to accept. */
void listener_back(struct file *f, const _Atomic u32 *holders);
/* Role: to the twin for good. False: connections of the stack's half are left, which only this process can accept;
 * if it does not for LISTENER_LEFT_NS they are reset. f->lock held. */
bool listener_cede(struct file *f);
/* Role: an exec follows: reset what is left so at once, and nobody waits for a dead program. */
void listener_end_left(void);
/* In a fork child. */
void listener_forget_in_child(void);

#endif
