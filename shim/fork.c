/* SPDX-License-Identifier: MIT */
/* Processes that share connections.
 *
 * The stack lives in one process's memory: who opened a connection owns it, and fork changes nothing for the
 * owner. The child has the same descriptor (the kernel twin) and, in a table in shared memory, an entry for
 * the connection:
 *
 *   OWNED ----> REQUESTED ----> HANDED      the child wants it; the owner has moved it into the twin, which
 *     \------------------------/            is the same kernel socket in all of them
 *                  \--> FAILED              it cannot be moved (no CAP_NET_ADMIN any more)
 *
 * The state is a futex. `holders` counts the other processes that have not let go: an owner that closes a
 * connection without holders closes it as if there had been no fork. */

#include "fork.h"
#include "../stack/core/rcu.h"
#include "exit.h"
#include "handover.h"
#include "listener.h"
#include "runtime.h"
#include "stats.h"
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <urcu-bp.h>

#define SHARE_ENTRIES 65536u
#define TOUCH_SLICE_NS (20 * NSEC_PER_MSEC) /* how often a waiting child looks whether the owner lives */
#define TOUCH_LIMIT_NS (10 * NSEC_PER_SEC)

enum { SHARE_FREE = 0, SHARE_OWNED, SHARE_REQUESTED, SHARE_HANDED, SHARE_FAILED };

struct share_entry {
    _Atomic u32 state;    /* futex */
    _Atomic u32 holders;  /* processes besides the owner */
    _Atomic u32 owned;    /* the owner has not let go */
    u32 index;
    bool listener;
    struct file *file;    /* in the owner's memory; valid while owned */
};
struct share_table { /* MAP_SHARED; one per owner, made at its first fork with a live connection */
    pid_t owner;
    int efd;              /* the owner's; the same number in every descendant (protected) */
    _Atomic u32 used;     /* entries ever used */
    _Atomic u32 hint;
    struct share_entry e[SHARE_ENTRIES];
};
static struct share_table *own; /* NULL: this process has not forked yet with a connection alive */

static struct share_table *table_of(struct share_entry *e)
{
    return container_of(e - e->index, struct share_table, e[0]);
}

static long futex(_Atomic u32 *word, int op, u32 val, const struct timespec *ts)
{
    return syscall(SYS_futex, word, op, val, ts, NULL, 0);
}

/* ---- the owner's side --------------------------------------------------------------------------------------------- */

static void serve_requests(void *arg)
{
    struct share_table *t = arg;
    u64 n;
    if (real_read(t->efd, &n, sizeof(n)) < 0)
        return;
    for (u32 i = 0; i < atomic_load(&t->used); i++) {
        struct share_entry *e = &t->e[i];
        u32 st = atomic_load(&e->state);
        bool back = st == SHARE_OWNED && e->listener && !atomic_load(&e->holders);
        if ((st != SHARE_REQUESTED && !back) || !atomic_load(&e->owned))
            continue;
        struct file *f = e->file;
        if (!get_file_unless_zero(f))
            continue; /* it ends just now: its end hands it over */
        if (back && f->priv == e && atomic_load(&f->state) == FILE_LISTEN_BOTH)
            listener_back(f, &e->holders);
        else if (!back && f->priv == e && handover_file(f, "another process that inherited it uses it"))
            fork_file_handed(f, false);
        fput(f);
    }
}

static bool table_make(void)
{
    if (own)
        return true;
    struct share_table *t = mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (t == MAP_FAILED)
        return false;
    t->owner = getpid();
    t->efd = private_fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (t->efd < 0) {
        munmap(t, sizeof(*t));
        return false;
    }
    if (backstop_add_fd(t->efd, serve_requests, t)) {
        private_close(t->efd);
        munmap(t, sizeof(*t));
        return false;
    }
    own = t;
    return true;
}

static struct share_entry *entry_alloc(struct file *f)
{
    u32 at = atomic_load(&own->hint);
    for (u32 i = 0; i < SHARE_ENTRIES; i++, at = (at + 1) % SHARE_ENTRIES) {
        struct share_entry *e = &own->e[at];
        u32 fresh = SHARE_FREE;
        if (!atomic_compare_exchange_strong(&e->state, &fresh, SHARE_OWNED))
            continue;
        e->index = at;
        e->file = f;
        e->listener = atomic_load(&f->state) == FILE_LISTEN_BOTH;
        atomic_store(&e->holders, 0);
        atomic_store(&e->owned, 1);
        if (at >= atomic_load(&own->used))
            atomic_store(&own->used, at + 1);
        atomic_store(&own->hint, (at + 1) % SHARE_ENTRIES);
        return e;
    }
    return NULL;
}

/* The last of owner and holders has let go. */
static void entry_put(struct share_entry *e)
{
    if (!atomic_load(&e->holders) && !atomic_load(&e->owned))
        atomic_store(&e->state, SHARE_FREE);
}

void fork_file_handed(struct file *f, bool ok)
{
    struct share_entry *e = f->priv;
    if (!e || table_of(e)->owner != getpid())
        return;
    atomic_store(&e->state, ok ? SHARE_HANDED : SHARE_FAILED);
    futex(&e->state, FUTEX_WAKE, INT32_MAX, NULL);
    if (!ok)
        return;
    f->priv = NULL;
    f->shared = false;
    atomic_store(&e->owned, 0);
    entry_put(e);
}

/* ---- the child's side ------------------------------------------------------------------------------------------------ */

/* pidfds tell an owner that is dead from one that is only not reaped yet. */
static bool process_lives(int pidfd, pid_t pid)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    if (pidfd < 0)
        return kill(pid, 0) == 0 || errno == EPERM;
    return real_poll(&p, 1, 0) == 0;
}

/* Ask the owner and wait. True: handed. */
static bool request(struct share_entry *e)
{
    struct share_table *t = table_of(e);
    const struct timespec slice = {.tv_nsec = TOUCH_SLICE_NS};
    u32 st = SHARE_OWNED;
    u64 one = 1, since = clock_ns_now();
    int pidfd = -1;

    if (atomic_compare_exchange_strong(&e->state, &st, SHARE_REQUESTED))
        (void)!real_write(t->efd, &one, sizeof(one));
    while ((st = atomic_load(&e->state)) == SHARE_REQUESTED) {
        futex(&e->state, FUTEX_WAIT, SHARE_REQUESTED, &slice);
        if (atomic_load(&e->state) != SHARE_REQUESTED)
            continue;
        if (pidfd < 0)
            pidfd = (int)syscall(SYS_pidfd_open, t->owner, 0);
        if (!process_lives(pidfd, t->owner)) {
            st = atomic_load(&e->state);
            break;
        }
        if (clock_ns_now() - since > TOUCH_LIMIT_NS) {
            shim_warn("process %d does not hand over a connection that this process inherited from it; given up after 10 s", t->owner);
            break;
        }
    }
    if (pidfd >= 0)
        real_close(pidfd);
    return st == SHARE_HANDED;
}

/* One holder less. The owner of a listener is told when none is left. */
static void holder_gone(struct share_entry *e)
{
    bool told = e->listener;
    u64 one = 1;
    if (atomic_fetch_sub(&e->holders, 1) == 1 && told)
        (void)!real_write(table_of(e)->efd, &one, sizeof(one));
}

/* This process has no more to do with it. */
static void let_go(struct file *f)
{
    struct share_entry *e = f->priv;
    if (!e)
        return;
    f->priv = NULL;
    holder_gone(e);
    entry_put(e);
}

int foreign_touch(struct file *f)
{
    int rc = 0;
    SHIM_ENTER();
    pthread_mutex_lock(&f->lock);
    if (atomic_load(&f->state) == FILE_FOREIGN) {
        struct share_entry *e = f->priv;
        int fd = file_fd(f), listening = 0;
        socklen_t len = sizeof(listening);
        if (fd >= 0)
            real_getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len);
        if ((!e || !request(e)) && !listening) {
            shim_warn("a connection inherited from another process is lost: its owner has ended or could not hand it over");
            if (fd >= 0)
                twin_abort(fd);
            rc = -ECONNRESET;
        }
        if (listening) /* the kernel listens too, whatever became of the owner; ours was O_NONBLOCK */
            twin_set_nonblock(fd, file_nonblock(f));
        let_go(f);
        file_to_kernel(f, FILE_HANDED);
    }
    pthread_mutex_unlock(&f->lock);
    SHIM_EXIT();
    return rc;
}

void fork_file_closing(struct file *f)
{
    if (atomic_load(&f->state) == FILE_FOREIGN) {
        let_go(f);
        return;
    }
    struct share_entry *e = f->priv;
    if (!f->shared || !e)
        return;
    if (atomic_load(&e->holders)) {
        handover_file(f, "its program closes it while another process still has it");
        return; /* or it could not be moved: then it ends here, and the others find it reset */
    }
    f->priv = NULL; /* nobody else: an ordinary close */
    f->shared = false;
    atomic_store(&e->owned, 0);
    entry_put(e);
}

bool fork_file_survives_exec(struct file *f)
{
    for (int fd = fd_next_used(0); fd >= 0; fd = fd_next_used(fd + 1)) {
        struct file *g = fd_kind_of(fd) >= FD_STACK ? fget(fd) : NULL;
        bool keeps = g == f && !(real_fcntl(fd, F_GETFD) & FD_CLOEXEC);
        if (g)
            fput(g);
        if (keeps)
            return true;
    }
    return false;
}

static bool is_foreign(struct file *f) { return atomic_load(&f->state) == FILE_FOREIGN; }

void fork_let_go_all(bool cloexec_only, bool back)
{
    struct file **v;
    SHIM_ENTER();
    size_t n = file_collect(is_foreign, &v);
    for (size_t i = 0; i < n; i++) {
        struct share_entry *e = v[i]->priv;
        if (!e || (cloexec_only && fork_file_survives_exec(v[i])))
            ;
        else if (back)
            atomic_fetch_add(&e->holders, 1);
        else
            holder_gone(e);
        fput(v[i]);
    }
    free(v);
    SHIM_EXIT();
}

/* ---- fork ------------------------------------------------------------------------------------------------------------------ */

static bool is_connection(struct file *f)
{
    u32 st = atomic_load(&f->state);
    return st == FILE_STACK || st == FILE_LISTEN_BOTH || st == FILE_FOREIGN;
}
static bool is_alive(struct file *f) { return atomic_load(&f->state) == FILE_ORPHAN || is_connection(f); }

/* What the prepare handler collected: the child may not allocate (after _Fork() another thread's malloc lock
 * may be held for ever). */
static struct {
    struct file **v;
    size_t n;
} forking;

/* Parent, before: every connection that the child will have gets its entry and one more holder. */
static void share_all(void)
{
    forking.n = file_collect(is_alive, &forking.v);
    for (size_t i = 0; i < forking.n; i++) {
        struct file *f = forking.v[i];
        struct share_entry *e = f->priv;
        if (!is_connection(f))
            continue;
        if (!e && atomic_load(&f->state) != FILE_FOREIGN && table_make()) {
            e = f->priv = entry_alloc(f);
            f->shared = e != NULL;
        }
        if (e)
            atomic_fetch_add(&e->holders, 1);
        if (atomic_load(&f->state) == FILE_LISTEN_BOTH)
            listener_lend(f);
    }
}

static void share_end(void)
{
    for (size_t i = 0; i < forking.n; i++)
        fput(forking.v[i]);
    free(forking.v);
    forking.n = 0;
    forking.v = NULL;
}

static void disown(struct file *f)
{
    pthread_mutex_init(&f->lock, NULL); /* another thread may have held it */
    f->private_data = NULL;             /* in the parent's stack */
    f->orphan_sk = NULL;
    f->shared = false;
    if (f->twin >= 0) /* or the parent's connections would keep their ports as long as we live */
        private_close(f->twin);
    f->twin = -1;
}

/* Child, after: what was the parent's is foreign. */
static void disown_all(void)
{
    own = NULL;
    listener_forget_in_child();
    for (size_t i = 0; i < forking.n; i++) { /* orphans are in no descriptor table */
        struct file *f = forking.v[i];
        if (atomic_load(&f->state) != FILE_ORPHAN)
            continue;
        disown(f);
        f->zombie = true;
        atomic_store(&f->state, FILE_KERNEL);
    }
    forking.n = 0;
    for (int fd = fd_next_used(0); fd >= 0; fd = fd_next_used(fd + 1)) {
        struct file *f = fd_kind_of(fd) >= FD_STACK ? atomic_load(&fd_file[fd]) : NULL;
        u32 st = f ? atomic_load(&f->state) : FILE_NEW;
        if (st != FILE_STACK && st != FILE_LISTEN_BOTH)
            continue;
        disown(f);
        atomic_store(&f->state, FILE_FOREIGN);
        file_update_kind(f);
    }
}

/* The prepare handler's work was done: an atfork child handler must not undo what was never begun. */
static __thread bool preparing __attribute__((tls_model("initial-exec")));

static void before_fork(void)
{
    if (preparing || shim_tls.in_vfork || !fd_file)
        return;
    preparing = true;
    SHIM_ENTER();
    share_all();
    SHIM_LEAVE();
    urcu_bp_before_fork();
    runtime_before_fork();
}

static void after_fork_parent(void)
{
    if (!preparing)
        return;
    runtime_after_fork_parent();
    urcu_bp_after_fork_parent();
    SHIM_ENTER();
    share_end();
    SHIM_EXIT();
    preparing = false;
}

static void after_fork_child(void)
{
    if (!preparing)
        return;
    urcu_bp_after_fork_child();
    runtime_forget_in_child();
    SHIM_ENTER();
    disown_all();
    stats_forget_in_child();
    SHIM_LEAVE();
    preparing = false;
}

static void install(void) { pthread_atfork(before_fork, after_fork_parent, after_fork_child); }

/* Also without a stack: the descriptor table has locks. As long as there is no table, they do nothing. */
__attribute__((constructor)) void fork_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
}

/* ---- wrappers ----------------------------------------------------------------------------------------------------------------- */

/* libc runs the handlers installed by fork_init() in fork(), forkpty() and daemon(). */
SHIM_EXPORT pid_t fork(void) { return real_fork(); }
SHIM_EXPORT pid_t __fork(void) { return real_fork(); }

SHIM_EXPORT pid_t _Fork(void)
{
    before_fork();
    pid_t pid = real__Fork();
    int saved = errno;
    if (pid == 0)
        after_fork_child();
    else
        after_fork_parent();
    errno = saved;
    return pid;
}

/* vfork(): a function that returns twice cannot be written in C. While the stack runs it is a fork(), since
 * the child would run in the memory of its threads. Else the real system call; the child is marked until
 * the parent returns, so that its close() and dup2() leave the parent's table alone. The return address
 * stays in a register because the child overwrites the stack. */
__attribute__((used, visibility("hidden"))) pid_t vfork_as_fork(void) { return fork(); }
__attribute__((used, visibility("hidden"))) void vfork_enter(void) { shim_tls.in_vfork++; }
__attribute__((used, visibility("hidden"))) void vfork_leave(void) { shim_tls.in_vfork--; }
__attribute__((used, visibility("hidden"))) pid_t vfork_error(int e)
{
    errno = e;
    return -1;
}
__asm__(".pushsection .text\n"
        ".globl vfork\n.type vfork,@function\nvfork:\n"
        "    cmpb $0, stack_active(%rip)\n"
        "    jne vfork_as_fork\n"
        "    sub $8, %rsp\n"
        "    call vfork_enter\n"
        "    add $8, %rsp\n"
        "    pop %rdi\n"
        "    mov $58, %eax\n" /* SYS_vfork */
        "    syscall\n"
        "    push %rdi\n"
        "    test %eax, %eax\n"
        "    jz 1f\n"
        "    push %rax\n"
        "    call vfork_leave\n"
        "    pop %rax\n"
        "    cmp $-4095, %rax\n"
        "    jb 1f\n"
        "    mov %eax, %edi\n"
        "    neg %edi\n"
        "    jmp vfork_error\n"
        "1:  ret\n"
        ".size vfork,.-vfork\n"
        ".globl __vfork\n.set __vfork, vfork\n"
        ".popsection\n");

/* A clone() with memory of its own is a fork that runs fn. */
struct clone_start {
    int (*fn)(void *);
    void *arg;
};
static int clone_child(void *p)
{
    struct clone_start s = *(struct clone_start *)p; /* the parent's stack as it was at the clone */
    after_fork_child();
    return s.fn(s.arg);
}

static int do_clone(int (*fn)(void *), void *stack, int flags, void *arg, pid_t *ptid, void *tls, pid_t *ctid)
{
    if (flags & CLONE_VM)
        return real_clone(fn, stack, flags, arg, ptid, tls, ctid);
    struct clone_start s = {fn, arg};
    before_fork();
    int pid = real_clone(clone_child, stack, flags, &s, ptid, tls, ctid);
    int saved = errno;
    after_fork_parent();
    errno = saved;
    return pid;
}

SHIM_EXPORT int clone(int (*fn)(void *), void *stack, int flags, void *arg, ...)
{
    va_list ap;
    va_start(ap, arg);
    pid_t *ptid = va_arg(ap, pid_t *);
    void *tls = va_arg(ap, void *);
    pid_t *ctid = va_arg(ap, pid_t *);
    va_end(ap);
    return do_clone(fn, stack, flags, arg, ptid, tls, ctid);
}
SHIM_EXPORT int __clone(int (*fn)(void *), void *stack, int flags, void *arg, ...)
{
    va_list ap;
    va_start(ap, arg);
    pid_t *ptid = va_arg(ap, pid_t *);
    void *tls = va_arg(ap, void *);
    pid_t *ctid = va_arg(ap, pid_t *);
    va_end(ap);
    return do_clone(fn, stack, flags, arg, ptid, tls, ctid);
}

/* daemon(3): libc's own would leave by an _exit() that we do not see, and the parent's connections with it. */
SHIM_EXPORT int daemon(int nochdir, int noclose)
{
    if (!stack_active || shim_bypass())
        return real_daemon(nochdir, noclose);
    pid_t pid = fork();
    if (pid < 0)
        return -1;
    if (pid > 0) {
        shim_at_exit("its program has become a daemon");
        real__exit(0);
    }
    if (setsid() < 0)
        return -1;
    if (!nochdir)
        (void)!chdir("/");
    if (!noclose) {
        int fd = open("/dev/null", O_RDWR);
        if (fd < 0)
            return -1;
        for (int i = 0; i < 3; i++)
            dup2(fd, i);
        if (fd > 2)
            close(fd);
    }
    return 0;
}
