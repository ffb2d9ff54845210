/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_SHIM_FILE_H
#define SLUICE_SHIM_FILE_H
/* Descriptor -> struct file -> file_operations -> struct socket.
 *
 * The descriptor that the program holds is a real kernel socket (the twin). The table has a byte for each
 * descriptor: 0 means that sluice has nothing to do with it, and one load finds that out.
 *
 * Lifetime. The table is RCU-protected: written under files_lock, read anywhere; a released file is reused only
 * after a grace period, and its memory is never given back. fget() is a load, an increment unless zero, and a
 * second look at the table: no lock, safe in a signal handler. f_count counts descriptors and calls in flight;
 * the last fput() runs f_op->release, as in Linux. */

#include "../stack/core/socket.h"
#include "libc.h"

#define FD_TABLE_MAX (1u << 20) /* descriptors beyond it stay with the kernel */

enum fd_kind {       /* the byte of a descriptor */
    FD_FREE = 0,     /* nothing to do with us */
    FD_PRIVATE = 1,  /* one of ours: close & co. leave it alone */
    FD_NEW = 2,      /* TCP socket, undecided: the kernel answers all but a few calls */
    FD_EPOLL = 3,    /* epoll set */
    FD_STACK = 4,    /* from here on every call on the descriptor is ours */
    FD_LISTEN = 5,
    FD_FOREIGN = 6,
};

enum file_state {
    FILE_NEW = 0,     /* socket() done, no decision yet; options and epoll memberships are remembered */
    FILE_KERNEL,      /* decided: the kernel's. No descriptor points here any more */
    FILE_STACK,       /* private_data is a stack socket */
    FILE_LISTEN_BOTH, /* twin listens (O_NONBLOCK) and so does private_data; accept() returns both */
    FILE_FOREIGN,     /* inherited over fork: the parent's stack has it; foreign_touch() on first use */
    FILE_HANDED,      /* moved into the twin: no descriptor points here any more */
    FILE_ORPHAN,      /* closed by the program; waits for the stack to be done with orphan_sk */
    FILE_EPOLL,       /* private_ep */
};

struct file;
struct eventpoll;
struct kiocb { /* one read or write in progress */
    struct file *ki_filp;
    int ki_flags; /* MSG_* of the call (MSG_DONTWAIT for RWF_NOWAIT) */
};
struct file_operations {
    ssize_t (*read_iter)(struct kiocb *iocb, struct iov_iter *to);
    ssize_t (*write_iter)(struct kiocb *iocb, struct iov_iter *from);
    u32 (*poll)(struct file *f, struct poll_table *pt);
    int (*unlocked_ioctl)(struct file *f, unsigned long cmd, void *arg);
    int (*release)(struct file *f);
};
extern const struct file_operations socket_file_ops;

struct sockopt_record { /* a setsockopt() that the twin accepted before the stack socket existed */
    struct sockopt_record *next;
    int level, optname;
    socklen_t len;
    char val[];
};

struct file {
    struct rcu_free rcu; /* first */
    const struct file_operations *f_op;
    struct socket *private_data; /* FILE_STACK, FILE_LISTEN_BOTH; else NULL */
    struct eventpoll *private_ep;
    _Atomic u32 f_count; /* descriptors + calls in flight */
    _Atomic u32 f_fds;   /* descriptors of this process */
    _Atomic u32 state;   /* enum file_state */
    int f_flags;         /* O_NONBLOCK; of the description, as F_GETFL shows it */
    int family;          /* AF_INET or AF_INET6 */
    int fd;              /* a descriptor of it: the one it was made with (hint; see file_fd) */
    int twin;            /* a descriptor of our own (private_fd) on the twin, or -1 */
    u64 cookie;          /* SO_COOKIE of the twin, 0: not asked yet (file_cookie) */
    bool bound;          /* the program called bind() */
    bool bound_port;     /* ... with a port */
    bool reserved;       /* twin_reserve() holds the 4-tuple: the twin outlives the program's close */
    bool shared;         /* fork.c: another process has a descriptor of it */
    bool zombie;         /* never given back (fork child's leftovers) */
    bool accepted, lent, ceded; /* listener.c: the program has called accept(); a fork shared it; the kernel's for good */
    u64 accepted_at;     /* listener.c: ns; the last accept() since it was ceded, or that moment, or 0: never */
    struct sock *orphan_sk; /* FILE_ORPHAN: a reference */
    struct sockopt_record *opts; /* oldest first */
    pthread_mutex_t lock;   /* protects the decision (NEW -> ...) and opts. Nests outside epmutex; the
                               network may be waited for under it only by connect's own decision */
    struct cds_list_head watchers; /* epitems on this file, under epmutex (epoll.c) */
    struct file *next_free;
    struct cds_list_head all;      /* every file alive, under files_lock */
    void *priv;                    /* handover.c / fork.c */
};

extern u8 fd_kind[FD_TABLE_MAX];
extern struct file *_Atomic *fd_file; /* NULL until the first entry */

static inline u8 fd_kind_of(int fd)
{
    return likely((unsigned)fd < FD_TABLE_MAX) ? READ_ONCE(fd_kind[fd]) : FD_FREE;
}

/* The file of a descriptor with a reference, or NULL. Any context. */
struct file *fget(int fd);
/* One more reference, by who has one. */
static inline void get_file(struct file *f) { atomic_fetch_add(&f->f_count, 1); }
/* A reference by who found f in a list or table and has none; false: its release is under way. */
static inline bool get_file_unless_zero(struct file *f)
{
    u32 c = atomic_load(&f->f_count);

    while (c && !atomic_compare_exchange_weak(&f->f_count, &c, c + 1))
        ;
    return c != 0;
}
/* Drop a reference; the last one releases (may end a connection). No lock held. */
void fput(struct file *f);
/* A new file with one reference (the caller's) and no descriptor; NULL without memory. */
struct file *file_alloc(enum file_state state);
/* Give descriptor fd to f: takes a reference of its own; an old (stale) entry is dropped. -EMFILE beyond
 * the table (the caller leaves the descriptor to the kernel). */
int fd_install(int fd, struct file *f);
/* Empty the entry of fd before or after the kernel closes it. Returns the file with the entry's reference
 * (the caller fputs it) or NULL. When it was the last descriptor of a connection whose twin must live on,
 * keeps the twin (call it while fd is still open). */
struct file *fd_detach(int fd);
/* A call of libc made descriptor fd: whatever the table says is stale. */
void fd_fresh(int fd);
/* Set the byte of every descriptor of f according to its state. */
void file_update_kind(struct file *f);
/* A descriptor of this process on the twin right now: f->twin or one of the program's; -1: none. */
int file_fd(struct file *f);
u64 file_cookie(struct file *f);
/* From now on the kernel serves it: state becomes `state` (FILE_KERNEL or FILE_HANDED), memberships of
 * epoll sets move to the kernel's sets, table entries go, sleepers look again. The caller holds a
 * reference and has dealt with private_data. */
void file_to_kernel(struct file *f, enum file_state state);
/* calls_socket.c: the decision of connect(), for a write that opens the connection (MSG_FASTOPEN). */
void file_decide_connect(struct file *f, int fd, const struct sockaddr *addr, socklen_t len);
/* addr as IPv4; false: it is none. */
bool sockaddr_v4(const struct sockaddr *addr, socklen_t len, struct sockaddr_in *out);
/* The files alive that pick wants (NULL: all), each with a reference that the caller fputs; *res is malloc'ed.
 * Alive: FILE_STACK, FILE_ORPHAN, FILE_LISTEN_BOTH or FILE_FOREIGN. pick runs under files_lock: no fput, no sleep. */
size_t file_collect(bool (*pick)(struct file *f), struct file ***res);
/* Highest descriptor with an entry. */
int fd_table_highest(void);
/* Next descriptor >= fd with a non-zero byte, -1: none. */
int fd_next_used(int fd);
/* Take / let go files_lock around fork(); in the child it is made anew. */
void file_lock_for_fork(void);
void file_unlock_after_fork(bool child);
/* The same for epoll sets. */
void epoll_lock_for_fork(void);
void epoll_unlock_after_fork(bool child);
/* Replay f->opts onto the stack socket. */
void file_apply_opts(struct file *f, struct socket *sock);
void file_record_opt(struct file *f, int level, int optname, const void *val, socklen_t len);

/* ---- the wrappers' frame (file.c) ------------------------------------------------------------------ */

/* Enter the stack for descriptor fd: a reference and SHIM_ENTER(), or NULL: call the kernel (not ours,
 * inside the stack, handed over, or foreign and now handed over). Slow half of file_enter(). */
struct file *file_enter_slow(int fd);
static inline struct file *file_enter(int fd)
{
    return likely(fd_kind_of(fd) < FD_STACK) ? NULL : file_enter_slow(fd);
}
/* A file that is undecided, with a reference and SHIM_ENTER(); or NULL. Left by leave_new(). */
struct file *enter_new(int fd);
void leave_new(struct file *f);
/* Leave: SHIM_LEAVE(), fput(), deferred handlers, cancellation. Returns true when the call is to be made
 * again (SA_RESTART, or the connection was handed over meanwhile). */
bool file_leave(struct file *f, ssize_t r);

static inline bool file_nonblock(const struct file *f) { return (READ_ONCE(f->f_flags) & O_NONBLOCK) != 0; }

/* The walk's first two steps (fs: ksys_write -> vfs_write -> sock_write_iter). */
ssize_t sock_read_iter(struct kiocb *iocb, struct iov_iter *to);
ssize_t sock_write_iter(struct kiocb *iocb, struct iov_iter *from);
/* Poll mask (EPOLL*) of a file of ours: the stack's half; a listener's twin is the caller's business. */
u32 file_poll(struct file *f, struct poll_table *pt);

/* The pointer in libc's transparent unions of sockaddr types. */
#define SA(arg) ((const struct sockaddr *)(arg).__sockaddr__)
#define SA_OUT(arg) ((struct sockaddr *)(arg).__sockaddr__)

/* One call on descriptor fd: `op` (f is the file; value or -errno) when it is ours, else `call`, the real
 * one. Restarts by the rules of signal(7). */
#define FILE_CALL(fd, call, op)                                                                    \
    ({                                                                                             \
        ssize_t fr_;                                                                               \
        struct file *f;                                                                            \
        do {                                                                                       \
            f = file_enter(fd);                                                                    \
            fr_ = f ? (ssize_t)(op) : (ssize_t)(call);                                             \
        } while (unlikely(f != NULL) && file_leave(f, fr_));                                       \
        f ? shim_ret(fr_) : fr_;                                                                   \
    })

/* Can [p, p + n) be memory of the program at all? As far as that costs nothing. */
static inline bool user_ok(const void *p, size_t n)
{
    return !n || ((uintptr_t)p >= 4096 && (uintptr_t)p < 1ull << 47 && n <= (1ull << 47) - (uintptr_t)p);
}
/* copy_to_user of a socket address with Linux's rule: cut at *len, which becomes the true length. 0, -EFAULT, -EINVAL. */
int sockaddr_out(const struct file *f, const struct sockaddr_in *in, struct sockaddr *addr, socklen_t *len);
/* net_ops.send_sigurg */
void file_send_sigurg(struct net *net, struct socket *sock);
/* Level SOL_SOCKET is the socket layer's, the others the family's (as __sys_setsockopt). */
int file_setsockopt(struct socket *sock, int level, int optname, const void *val, socklen_t len);
int file_getsockopt(struct socket *sock, int level, int optname, void *val, socklen_t *len);

/* ---- epoll.c, epoll_wait.c --------------------------------------------------------------------------- */

/* f became FILE_STACK/FILE_LISTEN_BOTH: its memberships move from the kernel's sets to ours. */
void epoll_file_to_stack(struct file *f);
/* The other way: the members are in the kernel's sets again, still known here. */
void epoll_file_to_kernel(struct file *f);
/* Forget the memberships without touching any kernel set: f is the kernel's for good. */
void epoll_file_untrack(struct file *f);
/* f is released: members vanish. */
void epoll_file_release(struct file *f);
/* The backstop's tick: signal the eventfds of sets with ready members that nobody waits for. */
void epoll_signal_pending(void);
/* Release of an epoll file. */
void epoll_release(struct file *f);
u32 epoll_poll_user(struct file *f, struct poll_table *pt);

#endif
