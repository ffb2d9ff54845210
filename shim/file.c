/* SPDX-License-Identifier: MIT */
/* The descriptor table and struct file; the wrappers' way in and out of the stack. */

#include "file.h"
#include "../stack/core/rcu.h"
#include "fork.h"
#include "runtime.h"
#include <sys/mman.h>

u8 fd_kind[FD_TABLE_MAX];
struct file *_Atomic *fd_file;

/* Protects writers of the table, f_fds, the free list and all_files. Readers take nothing. Nests inside
 * every other lock of shim/; nothing nests in it. */
static pthread_mutex_t files_lock = PTHREAD_MUTEX_INITIALIZER;
static struct file *free_files;
static CDS_LIST_HEAD(all_files);
static int highest = -1;

/* ---- struct file ------------------------------------------------------------------------------------------- */

static struct file *pool_get(void)
{
    struct file *f = free_files;

    if (!f) {
        size_t size = ALIGN(sizeof(*f), 64), n = 64;
        char *chunk = mmap(NULL, size * n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (chunk == MAP_FAILED)
            return NULL;
        for (size_t i = 0; i < n; i++) {
            f = (struct file *)(chunk + i * size);
            pthread_mutex_init(&f->lock, NULL);
            f->next_free = free_files;
            free_files = f;
        }
        f = free_files;
    }
    free_files = f->next_free;
    return f;
}

struct file *file_alloc(enum file_state state)
{
    struct file *f;

    pthread_mutex_lock(&files_lock);
    f = pool_get();
    if (f) {
        f->f_op = &socket_file_ops;
        f->private_data = NULL;
        f->private_ep = NULL;
        f->f_flags = 0;
        f->family = AF_INET;
        f->fd = f->twin = -1;
        f->cookie = 0;
        f->bound = f->bound_port = f->reserved = f->shared = f->zombie = false;
        f->accepted = f->lent = f->ceded = false;
        f->orphan_sk = NULL;
        f->opts = NULL;
        f->priv = NULL;
        f->next_free = NULL;
        CDS_INIT_LIST_HEAD(&f->watchers);
        atomic_store(&f->f_fds, 0);
        atomic_store(&f->state, state);
        cds_list_add(&f->all, &all_files);
        atomic_store(&f->f_count, 1); /* last: from here fget() may find it */
    }
    pthread_mutex_unlock(&files_lock);
    return f;
}

static void file_reuse(struct rcu_free *rcu)
{
    struct file *f = container_of(rcu, struct file, rcu);

    pthread_mutex_lock(&files_lock);
    f->next_free = free_files;
    free_files = f;
    pthread_mutex_unlock(&files_lock);
}

static void file_recycle(struct file *f)
{
    while (f->opts) {
        struct sockopt_record *o = f->opts;
        f->opts = o->next;
        free(o);
    }
    if (f->twin >= 0)
        private_close(f->twin);
    f->twin = -1;
    pthread_mutex_lock(&files_lock);
    cds_list_del(&f->all);
    pthread_mutex_unlock(&files_lock);
    if (live_net)
        net_call_rcu(live_net, &f->rcu, file_reuse);
    else /* no stack, no thread that could wait for readers: fget()'s second look is enough */
        file_reuse(&f->rcu);
}

/* The last reference has gone. */
static void file_release(struct file *f)
{
    SHIM_ENTER();
    if (!cds_list_empty(&f->watchers))
        epoll_file_release(f);
    switch (atomic_load(&f->state)) {
    case FILE_EPOLL:
        epoll_release(f);
        break;
    case FILE_STACK:
    case FILE_LISTEN_BOTH:
        if (f->private_data && !f->f_op->release(f)) {
            SHIM_EXIT(); /* an orphan now: it has a reference of its own */
            return;
        }
        break;
    default: /* handed over: calls in flight have left the stack socket by now */
        if (f->private_data)
            sock_release(f->private_data);
        f->private_data = NULL;
    }
    if (!f->zombie)
        file_recycle(f);
    SHIM_EXIT();
}

void fput(struct file *f)
{
    if (atomic_fetch_sub(&f->f_count, 1) == 1)
        file_release(f);
}

struct file *fget(int fd)
{
    struct file *_Atomic *tab = __atomic_load_n(&fd_file, __ATOMIC_ACQUIRE);
    struct file *f;

    if (!tab || (unsigned)fd >= FD_TABLE_MAX)
        return NULL;
    rcu_read_lock();
    while ((f = rcu_dereference(tab[fd]))) {
        if (!get_file_unless_zero(f))
            continue; /* released between the two loads: the entry has changed */
        if (likely(atomic_load(&tab[fd]) == f))
            break;
        rcu_read_unlock();
        fput(f); /* the descriptor was given to another file meanwhile */
        rcu_read_lock();
    }
    rcu_read_unlock();
    return f;
}

u64 file_cookie(struct file *f)
{
    int fd = file_fd(f);
    socklen_t len = sizeof(f->cookie);

    if (!f->cookie && fd >= 0 && real_getsockopt(fd, SOL_SOCKET, SO_COOKIE, &f->cookie, &len) < 0)
        f->cookie = 0;
    return f->cookie;
}

static bool is_alive(struct file *f)
{
    u32 state = atomic_load(&f->state);

    return !f->zombie && (state == FILE_STACK || state == FILE_ORPHAN || state == FILE_LISTEN_BOTH || state == FILE_FOREIGN);
}

size_t file_collect(bool (*pick)(struct file *f), struct file ***res)
{
    struct file *f, **v = NULL;
    size_t n = 0, room = 0;

    pthread_mutex_lock(&files_lock);
    cds_list_for_each_entry(f, &all_files, all) {
        if (!is_alive(f) || (pick && !pick(f)))
            continue;
        if (n == room) {
            struct file **more = realloc(v, (room ? room * 2 : 64) * sizeof(*v));

            if (!more)
                break;
            v = more;
            room = room ? room * 2 : 64;
        }
        if (get_file_unless_zero(f)) /* the network's thread may just be ending it */
            v[n++] = f;
    }
    pthread_mutex_unlock(&files_lock);
    *res = v;
    return n;
}

void file_lock_for_fork(void) { pthread_mutex_lock(&files_lock); }

void file_unlock_after_fork(bool child)
{
    if (child)
        pthread_mutex_init(&files_lock, NULL);
    else
        pthread_mutex_unlock(&files_lock);
}

/* ---- the table ---------------------------------------------------------------------------------------------- */

static bool table_make(void)
{
    void *p;

    if (fd_file)
        return true;
    p = mmap(NULL, FD_TABLE_MAX * sizeof(*fd_file), PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return false;
    __atomic_store_n(&fd_file, p, __ATOMIC_RELEASE);
    return true;
}

static u8 kind_of_state(enum file_state s)
{
    switch (s) {
    case FILE_NEW:
        return FD_NEW;
    case FILE_STACK:
        return FD_STACK;
    case FILE_LISTEN_BOTH:
        return FD_LISTEN;
    case FILE_FOREIGN:
        return FD_FOREIGN;
    case FILE_EPOLL:
        return FD_EPOLL;
    default:
        return FD_FREE;
    }
}

int fd_table_highest(void) { return READ_ONCE(highest); }

int fd_next_used(int fd)
{
    int top = READ_ONCE(highest);

    for (fd = max(fd, 0); fd <= top; fd++) {
        while (!(fd & 7) && fd + 8 <= (int)FD_TABLE_MAX && fd <= top && !*(const u64 *)&fd_kind[fd])
            fd += 8;
        if (fd <= top && fd_kind[fd])
            return fd;
    }
    return -1;
}

int fd_install(int fd, struct file *f)
{
    struct file *old = NULL;

    if (fd < 0 || (unsigned)fd >= FD_TABLE_MAX)
        return -EMFILE;
    pthread_mutex_lock(&files_lock);
    if (!table_make()) {
        pthread_mutex_unlock(&files_lock);
        return -ENOMEM;
    }
    get_file(f);
    atomic_fetch_add(&f->f_fds, 1);
    old = atomic_exchange(&fd_file[fd], f);
    if (old)
        atomic_fetch_sub(&old->f_fds, 1);
    WRITE_ONCE(fd_kind[fd], kind_of_state(atomic_load(&f->state)));
    if (f->fd < 0)
        f->fd = fd;
    if (fd > highest)
        WRITE_ONCE(highest, fd);
    pthread_mutex_unlock(&files_lock);
    if (old)
        fput(old);
    return 0;
}

/* The kernel object must outlive the program's last descriptor: the 4-tuple stays reserved until the stack
 * is done with the connection. */
static void keep_twin(int fd, struct file *f)
{
    if (f->reserved && f->twin < 0 && atomic_load(&f->state) == FILE_STACK)
        f->twin = private_fd(real_fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

struct file *fd_detach(int fd)
{
    struct file *f = fget(fd);

    if (!f)
        return NULL;
    if (atomic_load(&f->f_fds) == 1 && !shim_tls.in_vfork) {
        SHIM_ENTER();
        fork_file_closing(f);
        keep_twin(fd, f);
        SHIM_EXIT();
    }
    fput(f);
    pthread_mutex_lock(&files_lock);
    f = atomic_exchange(&fd_file[fd], NULL);
    WRITE_ONCE(fd_kind[fd], FD_FREE);
    if (f)
        atomic_fetch_sub(&f->f_fds, 1);
    pthread_mutex_unlock(&files_lock);
    return f;
}

void fd_fresh(int fd)
{
    struct file *f = NULL;

    if (fd < 0 || likely(fd_kind_of(fd) == FD_FREE))
        return;
    SHIM_ENTER();
    pthread_mutex_lock(&files_lock);
    if (fd_file)
        f = atomic_exchange(&fd_file[fd], NULL);
    WRITE_ONCE(fd_kind[fd], FD_FREE);
    if (f)
        atomic_fetch_sub(&f->f_fds, 1);
    pthread_mutex_unlock(&files_lock);
    if (f)
        fput(f);
    SHIM_EXIT();
}

void file_update_kind(struct file *f)
{
    u8 kind = kind_of_state(atomic_load(&f->state));

    pthread_mutex_lock(&files_lock);
    if (atomic_load(&f->f_fds) == 1 && f->fd >= 0 && atomic_load(&fd_file[f->fd]) == f) {
        WRITE_ONCE(fd_kind[f->fd], kind);
    } else if (fd_file) {
        for (int fd = 0; fd <= highest; fd++)
            if (atomic_load(&fd_file[fd]) == f)
                WRITE_ONCE(fd_kind[fd], kind);
    }
    pthread_mutex_unlock(&files_lock);
}

int file_fd(struct file *f)
{
    int fd = f->fd;

    if (f->twin >= 0)
        return f->twin;
    if (fd >= 0 && fd_file && atomic_load(&fd_file[fd]) == f)
        return fd;
    for (fd = 0; fd_file && fd <= READ_ONCE(highest); fd++)
        if (atomic_load(&fd_file[fd]) == f)
            return f->fd = fd;
    return -1;
}

void file_to_kernel(struct file *f, enum file_state state)
{
    u32 n = 0;
    bool slept_on = atomic_load(&f->state) != FILE_NEW;

    if (!cds_list_empty(&f->watchers))
        epoll_file_to_kernel(f), epoll_file_untrack(f);
    pthread_mutex_lock(&files_lock);
    atomic_store(&f->state, state);
    for (int fd = 0; fd_file && fd <= highest; fd++) {
        if (atomic_load(&f->f_fds) == 0)
            break;
        if (atomic_load(&fd_file[fd]) != f)
            continue;
        WRITE_ONCE(fd_kind[fd], FD_FREE);
        atomic_store(&fd_file[fd], NULL);
        atomic_fetch_sub(&f->f_fds, 1);
        n++;
    }
    pthread_mutex_unlock(&files_lock);
    if (n)
        atomic_fetch_sub(&f->f_count, n); /* the caller's reference remains */
    if (slept_on)
        waiters_wake_all();
}

/* ---- protected descriptors ------------------------------------------------------------------------------------- */

void fd_protect(int fd)
{
    if (fd < 0 || (unsigned)fd >= FD_TABLE_MAX)
        return;
    fd_fresh(fd);
    pthread_mutex_lock(&files_lock);
    WRITE_ONCE(fd_kind[fd], FD_PRIVATE);
    if (fd > highest)
        WRITE_ONCE(highest, fd);
    pthread_mutex_unlock(&files_lock);
}

void fd_unprotect(int fd)
{
    if (fd >= 0 && (unsigned)fd < FD_TABLE_MAX && fd_kind[fd] == FD_PRIVATE)
        WRITE_ONCE(fd_kind[fd], FD_FREE);
}

/* ---- remembered options -------------------------------------------------------------------------------------------- */

void file_record_opt(struct file *f, int level, int optname, const void *val, socklen_t len)
{
    struct sockopt_record **p, *o;

    if (len > 4096 || !val)
        return;
    SHIM_ENTER();
    o = malloc(sizeof(*o) + len);
    if (o) {
        *o = (struct sockopt_record){.level = level, .optname = optname, .len = len};
        memcpy(o->val, val, len);
        for (p = &f->opts; *p; p = &(*p)->next)
            ;
        *p = o;
    }
    SHIM_EXIT();
}

void file_apply_opts(struct file *f, struct socket *sock)
{
    for (struct sockopt_record *o = f->opts; o; o = o->next)
        (void)file_setsockopt(sock, o->level, o->optname, o->val, o->len);
}

int file_setsockopt(struct socket *sock, int level, int optname, const void *val, socklen_t len)
{
    return level == SOL_SOCKET ? sock_setsockopt(sock, level, optname, val, len)
                               : sock->ops->setsockopt(sock, level, optname, val, len);
}

int file_getsockopt(struct socket *sock, int level, int optname, void *val, socklen_t *len)
{
    return level == SOL_SOCKET ? sock_getsockopt(sock, level, optname, val, len)
                               : sock->ops->getsockopt(sock, level, optname, val, len);
}

/* ---- in and out ------------------------------------------------------------------------------------------------------- */

struct file *file_enter_slow(int fd)
{
    struct file *f;
    int saved = errno;

    if (shim_bypass())
        return NULL;
    f = fget(fd);
    if (!f)
        return NULL;
    shim_tls.saved_errno = saved;
    SHIM_ENTER();
    switch (atomic_load(&f->state)) {
    case FILE_STACK:
    case FILE_LISTEN_BOTH:
        net_tick(live_net);
        return f;
    case FILE_FOREIGN:
        (void)foreign_touch(f); /* whatever came of it, the kernel has the answer now */
        errno = saved;
        break;
    }
    fput(f);
    SHIM_EXIT();
    return NULL;
}

struct file *enter_new(int fd)
{
    struct file *f;

    if (fd_kind_of(fd) != FD_NEW || shim_bypass() || !(f = fget(fd)))
        return NULL;
    shim_tls.saved_errno = errno;
    SHIM_ENTER();
    if (atomic_load(&f->state) == FILE_NEW)
        return f;
    fput(f);
    SHIM_EXIT();
    return NULL;
}

void leave_new(struct file *f)
{
    fput(f);
    SHIM_EXIT();
}

bool file_leave(struct file *f, ssize_t r)
{
    bool again = r <= 0 && atomic_load(&f->state) == FILE_HANDED;
    bool interrupted = r == -ERESTARTSYS || r == -EINTR;

    fput(f);
    errno = shim_tls.saved_errno;
    SHIM_LEAVE();
    if (unlikely(shim_tls.deferred) && !shim_tls.in_stack) {
        bool norestart = sigdefer_run();

        return again || (r == -ERESTARTSYS && !norestart);
    }
    if (unlikely(interrupted)) {
        if (shim_tls.cancel && !shim_tls.in_stack) {
            shim_tls.cancel = 0;
            pthread_testcancel();
        }
        return again || r == -ERESTARTSYS; /* no handler ran */
    }
    return again;
}

/* ---- file -> socket: the walk's first two steps ------------------------------------------------------------------------ */

/* Role: the bytes of a write() to a socket, wrapped as a message (step 1 of the walk). Returns bytes or
 * -errno. The socket's own blocking mode holds. */
ssize_t sock_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
    struct file *file = iocb->ki_filp;
    struct sk_msghdr msg = {.msg_iter = *from, .msg_flags = (unsigned)iocb->ki_flags};
    ssize_t r;

    if (file_nonblock(file))
        msg.msg_flags |= MSG_DONTWAIT;
    r = sock_sendmsg(file->private_data, &msg);
    *from = msg.msg_iter;
    return r;
}

ssize_t sock_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
    struct file *file = iocb->ki_filp;
    struct sk_msghdr msg = {.msg_iter = *to};
    int flags = iocb->ki_flags;
    ssize_t r;

    if (file_nonblock(file))
        flags |= MSG_DONTWAIT;
    if (!iov_iter_count(to)) /* as System V: nothing asked, nothing looked at */
        return 0;
    r = sock_recvmsg(file->private_data, &msg, flags);
    *to = msg.msg_iter;
    return r;
}

static u32 sock_poll(struct file *f, struct poll_table *pt)
{
    struct socket *sock = f->private_data;

    return sock ? sock->ops->poll(sock, pt) : 0;
}

static int sock_ioctl(struct file *f, unsigned long cmd, void *arg)
{
    return f->private_data->ops->ioctl(f->private_data, cmd, arg);
}

/* The kernel knows the owner, by the twin. */
void file_send_sigurg(struct net *net, struct socket *sock)
{
    struct file *f = sock->file;
    struct f_owner_ex owner;
    int fd = f ? file_fd(f) : -1;
    long pid;

    if (fd < 0 || REAL(real_fcntl(fd, F_GETOWN_EX, &owner)) < 0 || !owner.pid)
        return;
    pid = owner.type == F_OWNER_PGRP ? -owner.pid : owner.pid;
    raw_syscall4(owner.type == F_OWNER_TID ? SYS_tkill : SYS_kill, pid, SIGURG, 0, 0);
}

/* The stack is done with a connection that the program has closed. */
static void orphan_done(struct file *f)
{
    u32 orphan = FILE_ORPHAN;
    struct sock *sk = f->orphan_sk;

    if (!atomic_compare_exchange_strong(&f->state, &orphan, FILE_KERNEL))
        return;
    f->orphan_sk = NULL;
    fput(f);
    sock_put(sk);
}

static void orphan_unhashed(struct sock *sk)
{
    struct file *f = sk->sk_user_data;

    sk->sk_unhashed = NULL;
    if (f)
        orphan_done(f);
}

/* f_op->release. The connection goes on without the program until its end: the file becomes an orphan that
 * keeps the twin. Returns 0 when it did, 1 when nothing remains. */
static int sock_close(struct file *f)
{
    struct socket *sock = f->private_data;
    struct sock *sk = sock->sk;
    u8 st = sk ? atomic_load(&sk->sk_state) : TCP_CLOSE;
    bool hashed;

    f->private_data = NULL;
    sock->file = NULL;
    if (!sk || st == TCP_CLOSE || st == TCP_LISTEN) {
        sock_release(sock);
        return 1;
    }
    sock_hold(sk);
    f->orphan_sk = sk;
    atomic_store(&f->f_count, 1);
    atomic_store(&f->state, FILE_ORPHAN);
    lock_sock(sk);
    hashed = sk->__sk_common.skc_hashed;
    sk->sk_user_data = f;
    sk->sk_unhashed = orphan_unhashed;
    release_sock(sk);
    if (!hashed)
        sk->sk_unhashed = NULL;
    sock_release(sock);
    if (!hashed)
        orphan_done(f);
    return 0;
}

const struct file_operations socket_file_ops = {
    .read_iter = sock_read_iter,
    .write_iter = sock_write_iter,
    .poll = sock_poll,
    .unlocked_ioctl = sock_ioctl,
    .release = sock_close,
};

u32 file_poll(struct file *f, struct poll_table *pt)
{
    switch (atomic_load(&f->state)) {
    case FILE_STACK:
    case FILE_LISTEN_BOTH:
        return f->f_op->poll(f, pt);
    case FILE_EPOLL:
        return epoll_poll_user(f, pt);
    default:
        return 0;
    }
}
