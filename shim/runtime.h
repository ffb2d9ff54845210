/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_SHIM_RUNTIME_H
#define SLUICE_SHIM_RUNTIME_H
/* The live stack of this process: when it starts, who runs it, and what must not be closed under it. */

#include "../stack/core/net.h"
#include "../stack/core/netdevice.h"
#include "libc.h"

/* NULL until the first TCP socket needed the stack. */
extern struct net *live_net;
/* 1 while live_net runs; a byte that assembler may test. */
extern u8 stack_active;

/* Start the stack if it does not run. 0, or -errno and *why: one sentence (static). A failure is
 * remembered: later calls answer the same at once. */
int runtime_start(const char **why);
/* Device for a route's egress link; 0 or -errno and *why. */
int runtime_open_dev(int ifindex, struct net_device **dev, const char **why);
/* Open every eligible device (for a listener). Returns how many are open; 0: *why says why none. */
int runtime_open_all(const char **why);
/* In the child of a fork: the parent's stack is not ours. Forget it without touching kernel objects, mark
 * nothing (fork.c deals with files); the next TCP socket may start a fresh one. */
void runtime_forget_in_child(void);
/* Around fork(), in the parent's thread: shim/'s own locks are held across it, so that the child finds its
 * tables whole. The child calls runtime_forget_in_child() instead of the second one. */
void runtime_before_fork(void);
void runtime_after_fork_parent(void);
/* An address of the stack's own (option address), or INADDR_ANY in shared mode. */
__be32 runtime_own_address(void);

/* Has the calling thread this capability now? (net_ops.capable; net is not looked at.) */
bool runtime_capable(struct net *net, int cap);

/* Move a descriptor of ours to a high number, CLOEXEC, protected from the program. Returns the new number
 * (the old one is closed), or the old one, protected, when there is no room. Negative values pass. */
int private_fd(int fd);
/* Protect a descriptor that is ours where it is / let it go again (before closing it with real_close). */
void fd_protect(int fd);
void fd_unprotect(int fd);
/* Close a descriptor made by private_fd(). */
void private_close(int fd);

/* One line of log: a sentence. level as enum log_level. Goes where config says. */
void shim_log(int level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same for text of several lines, as it is and whatever the level: what the user asked to see. */
void shim_log_text(const char *text, size_t len);
#define shim_info(...) shim_log(2, __VA_ARGS__)
#define shim_warn(...) shim_log(1, __VA_ARGS__)
#define shim_err(...) shim_log(0, __VA_ARGS__)

/* ---- waiter.c: who runs the network -------------------------------------------------------------------- */

extern const struct net_ops live_net_ops;
u64 clock_ns_now(void);
/* Role: sleep until this thread's waiter is woken, the absolute deadline (UINT64_MAX: none), one of kfds
 * is ready, or a signal; drives the network meanwhile when no other thread does.
 * kfds (may be NULL): revents are filled in when the kernel was asked. sigmask (may be NULL): the mask
 * while asleep. Returns 0 or -EINTR. Inside SHIM_ENTER, no lock held. waiter_prepare() came before. */
int net_sleep(struct net *net, struct waiter *w, u64 deadline, struct pollfd *kfds, int nk, const sigset_t *sigmask);
struct waiter *current_waiter(void);
/* Poll devices and timers once on behalf of a call that will not sleep. */
void net_drive(void);
/* Serve descriptor fd (readable) or, with fd -1, a kick from the backstop thread: fn(arg) runs there with
 * all signals blocked and in_stack set. fd is made private by the caller. 0 or -errno. */
int backstop_add_fd(int fd, void (*fn)(void *arg), void *arg);
void backstop_del_fd(int fd);
/* Make sure that the thread exists and looks again. */
int backstop_start(void);
void backstop_kick(void);
/* Wake every sleeping waiter: something about descriptors changed. */
void waiters_wake_all(void);
void waiter_forget_in_child(void);

/* ---- sigdefer.c ------------------------------------------------------------------------------------------ */

/* Put the trampoline before every handler installed so far. */
void sigdefer_start(void);
/* Role: where the program leaves sig to its default, which ends it, fn is called first, outside the stack, with sig
 * blocked; fn then lets it happen (sigdefer_default). The program goes on seeing SIG_DFL. */
void sigdefer_last_words(int sig, void (*fn)(int sig));
/* Role: fn's end: sig takes its default action when fn returns. */
void sigdefer_default(int sig);

#endif
