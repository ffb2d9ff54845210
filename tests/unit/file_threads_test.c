/* SPDX-License-Identifier: MIT */
/* struct file under threads: one thread closes files while another looks through all of them, as exit, fork and
 * exec do while the network's thread ends the last connections. shim/file.c alone; below are the ends of the calls
 * that it makes of the rest of the shim, none of which these files ever need. */

#include "../../shim/file.h"
#include "../../shim/fork.h"
#include "../../shim/runtime.h"
#include "../lib/tinytest.h"
#include <pthread.h>

__thread struct shim_tls shim_tls;
struct net *live_net; /* NULL: a file is reused at once, the hardest case */
static int libc_fcntl(int fd, int cmd, ...) { return -1; }
__typeof__(real_fcntl) real_fcntl = libc_fcntl;
__typeof__(real_getsockopt) real_getsockopt;
bool sigdefer_run(void) { return false; }
void epoll_file_release(struct file *f) {}
void epoll_file_to_kernel(struct file *f) {}
void epoll_file_untrack(struct file *f) {}
u32 epoll_poll_user(struct file *f, struct poll_table *pt) { return 0; }
void epoll_release(struct file *f) {}
int foreign_touch(struct file *f) { return 0; }
void fork_file_closing(struct file *f) {}
int private_fd(int fd) { return fd; }
void private_close(int fd) {}
void waiters_wake_all(void) {}

TestSuite(file_threads);

#define FILES 40000
#define CHECKED 300

static _Atomic bool stop;

static void *look_through_all(void *arg)
{
    _Atomic unsigned long *seen = arg;

    while (!atomic_load(&stop)) {
        struct file **v;
        size_t n = file_collect(NULL, &v);

        for (size_t i = 0; i < n; i++)
            fput(v[i]);
        free(v);
        *seen += n;
    }
    return NULL;
}

Test(file_threads, file_that_ends_while_it_is_collected_ends_once)
{
    static const int one = 1;
    _Atomic unsigned long seen = 0;
    pthread_t looker;
    struct file **v, *alive[CHECKED];

    cr_assert_eq(pthread_create(&looker, NULL, look_through_all, &seen), 0);
    for (int i = 0; i < FILES || !seen; i++) {
        struct file *f = file_alloc(FILE_STACK);

        cr_assert_not_null(f);
        file_record_opt(f, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
        fput(f);
    }
    atomic_store(&stop, true);
    pthread_join(looker, NULL);
    cr_assert_eq(file_collect(NULL, &v), 0);
    free(v);
    /* A file that was given back twice would now be given out twice. */
    for (int i = 0; i < CHECKED; i++) {
        alive[i] = file_alloc(FILE_STACK);
        for (int j = 0; j < i; j++)
            cr_assert_neq(alive[i], alive[j]);
    }
    for (int i = 0; i < CHECKED; i++)
        fput(alive[i]);
}
