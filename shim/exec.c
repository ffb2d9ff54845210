/* SPDX-License-Identifier: MIT */
/* The exec family and its relatives (posix_spawn, system, popen).
 *
 * An exec ends the stack: connections that survive it by their descriptor, and those that close-on-exec
 * ends, all go to the kernel before. And the new program must find us: one that cleans its environment
 * (nginx's binary upgrade passes two variables) gets back LD_PRELOAD and SLUICE_* where this process had
 * them. Everything here may run in the child of a vfork(), in its parent's memory: nothing is allocated
 * but on the stack, nothing is written. */

#include "config.h"
#include "exit.h"
#include "fork.h"
#include "handover.h"
#include "listener.h"
#include "runtime.h"
#include <alloca.h>
#include <stdio.h>
#include <stdlib.h>

extern char **environ;

/* ---- environment ------------------------------------------------------------------------------------------------- */

#define KEPT_VARS 48
static char *kept[KEPT_VARS]; /* copies made at load: the program may overwrite its environment */
static int nkept;
static bool kept_preload; /* LD_PRELOAD is among them and names the library */
static char kept_text[8192];

static bool is_ours(const char *var) { return !strncmp(var, "LD_PRELOAD=", 11) || !strncmp(var, "SLUICE_", 7); }

__attribute__((constructor)) static void keep_vars(int argc, char **argv, char **envp)
{
    size_t used = 0;
    for (char **e = envp; e && *e; e++) {
        size_t len = strlen(*e) + 1;
        if (!is_ours(*e) || nkept == KEPT_VARS || used + len > sizeof(kept_text))
            continue;
        memcpy(kept_text + used, *e, len);
        kept_preload |= **e == 'L' && strstr(*e, "sluice");
        kept[nkept++] = kept_text + used;
        used += len;
    }
}

/* Has the caller made an environment that says nothing of us? One with LD_PRELOAD or SLUICE_* in it was
 * made on purpose. */
static bool env_is_stripped(char *const *envp)
{
    if (!kept_preload)
        return false; /* we are here by other means, e.g. ld.so.preload */
    for (char *const *e = envp; e && *e; e++)
        if (is_ours(*e))
            return false;
    return true;
}

static size_t env_len(char *const *envp)
{
    size_t n = 0;
    while (envp && envp[n])
        n++;
    return n;
}

static char *const *env_join(char *const *envp, size_t n, char **room)
{
    if (n)
        memcpy(room, envp, n * sizeof(*room));
    memcpy(room + n, kept, nkept * sizeof(*room));
    room[n + nkept] = NULL;
    return room;
}

/* envp, or a longer one on the caller's stack. */
#define ENV_WITH_US(envp)                                                                          \
    ({                                                                                             \
        char *const *e_ = (envp);                                                                  \
        size_t n_ = env_len(e_);                                                                   \
        env_is_stripped(e_) ? env_join(e_, n_, alloca((n_ + nkept + 1) * sizeof(char *))) : e_;    \
    })

/* ---- exec ------------------------------------------------------------------------------------------------------------ */

static bool exec_needs(struct file *f)
{
    u32 st = atomic_load(&f->state);
    return st == FILE_FOREIGN ? fork_file_survives_exec(f) : st != FILE_EPOLL;
}

/* Returns true when exec_failed() must undo. */
static bool before_exec(void)
{
    if (shim_bypass() || !fd_file)
        return false;
    int saved = errno;
    handover_all(exec_needs, "its program executes another one");
    listener_end_left();
    fork_let_go_all(true, false);
    errno = saved;
    return true;
}

static int exec_failed(bool prepared)
{
    int saved = errno;
    if (prepared)
        fork_let_go_all(true, true);
    errno = saved;
    return -1;
}

static int do_execve(const char *path, char *const argv[], char *const envp[])
{
    /* Looked at first: a hand-over for an exec that cannot succeed (a search along PATH) would be in vain. */
    if (access(path, X_OK) && (errno == ENOENT || errno == EACCES || errno == ENOTDIR))
        return real_execve(path, argv, envp);
    bool prepared = before_exec();
    real_execve(path, argv, ENV_WITH_US(envp));
    return exec_failed(prepared);
}

/* Would execvp() find something to run? */
static bool found_in_path(const char *file)
{
    char path[4096];
    if (strchr(file, '/'))
        return access(file, X_OK) == 0;
    const char *p = getenv("PATH");
    for (p = p ? p : "/bin:/usr/bin";; p++) {
        size_t n = strcspn(p, ":");
        if (n + strlen(file) + 2 < sizeof(path)) {
            memcpy(path, p, n);
            path[n] = '/';
            strcpy(path + n + (n != 0), file);
            if (!access(path, X_OK))
                return true;
        }
        p += n;
        if (!*p)
            return false;
    }
}

static int do_execvpe(const char *file, char *const argv[], char *const envp[])
{
    int saved = errno;
    bool found = found_in_path(file);
    errno = saved;
    if (!found)
        return real_execvpe(file, argv, envp);
    bool prepared = before_exec();
    real_execvpe(file, argv, ENV_WITH_US(envp));
    return exec_failed(prepared);
}

SHIM_EXPORT int execve(const char *path, char *const argv[], char *const envp[]) { return do_execve(path, argv, envp); }
SHIM_EXPORT int execv(const char *path, char *const argv[]) { return do_execve(path, argv, environ); }
SHIM_EXPORT int execvp(const char *file, char *const argv[]) { return do_execvpe(file, argv, environ); }
SHIM_EXPORT int execvpe(const char *file, char *const argv[], char *const envp[]) { return do_execvpe(file, argv, envp); }

SHIM_EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
    bool prepared = before_exec();
    real_fexecve(fd, argv, ENV_WITH_US(envp));
    return exec_failed(prepared);
}

SHIM_EXPORT int execveat(int dirfd, const char *path, char *const argv[], char *const envp[], int flags)
{
    bool prepared = before_exec();
    real_execveat(dirfd, path, argv, ENV_WITH_US(envp), flags);
    return exec_failed(prepared);
}

/* The arguments of a variadic exec as an array on the caller's stack; *ap stands behind the NULL. */
#define COLLECT_ARGS(argv, arg, ap)                                                                \
    va_list count_;                                                                                \
    size_t n_ = 1;                                                                                 \
    va_start(ap, arg);                                                                             \
    va_copy(count_, ap);                                                                           \
    while (va_arg(count_, char *))                                                                 \
        n_++;                                                                                      \
    va_end(count_);                                                                                \
    char **argv = alloca((n_ + 1) * sizeof(char *));                                               \
    argv[0] = (char *)arg;                                                                         \
    for (size_t i_ = 1; i_ <= n_; i_++)                                                            \
    argv[i_] = va_arg(ap, char *)

SHIM_EXPORT int execl(const char *path, const char *arg, ...)
{
    va_list ap;
    COLLECT_ARGS(argv, arg, ap);
    va_end(ap);
    return do_execve(path, argv, environ);
}

SHIM_EXPORT int execlp(const char *file, const char *arg, ...)
{
    va_list ap;
    COLLECT_ARGS(argv, arg, ap);
    va_end(ap);
    return do_execvpe(file, argv, environ);
}

SHIM_EXPORT int execle(const char *path, const char *arg, ...)
{
    va_list ap;
    COLLECT_ARGS(argv, arg, ap);
    char *const *envp = va_arg(ap, char *const *);
    va_end(ap);
    return do_execve(path, argv, envp);
}

/* ---- a child by libc itself --------------------------------------------------------------------------------------------- */

/* The child of these runs in libc, out of our sight: a connection that it is to have as its standard input or
 * output goes to the kernel before. Other descriptors that it inherits stand still there. */
SHIM_EXPORT int posix_spawn_file_actions_adddup2(posix_spawn_file_actions_t *fa, int fd, int newfd)
{
    handover_fd(fd, "a spawned program gets its descriptor");
    return real_posix_spawn_file_actions_adddup2(fa, fd, newfd);
}

SHIM_EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *fa, const posix_spawnattr_t *attr,
                            char *const argv[], char *const envp[])
{
    return real_posix_spawn(pid, path, fa, attr, argv, ENV_WITH_US(envp));
}

SHIM_EXPORT int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *fa, const posix_spawnattr_t *attr,
                             char *const argv[], char *const envp[])
{
    return real_posix_spawnp(pid, file, fa, attr, argv, ENV_WITH_US(envp));
}

SHIM_EXPORT int system(const char *command) { return real_system(command); }
SHIM_EXPORT FILE *popen(const char *command, const char *mode) { return real_popen(command, mode); }
