/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_CORE_IOV_ITER_H
#define SLUICE_CORE_IOV_ITER_H
/* The program's bytes during one call, and the message header that carries them through the layers.
 * struct sk_msghdr is Linux's in-kernel struct msghdr; the libc one has that name here. */

#include "types.h"
#include <sys/socket.h>
#include <sys/uio.h>

struct iov_iter {
    const struct iovec *iov;
    size_t nr_segs;
    size_t iov_offset; /* within iov[0] */
    size_t count;      /* bytes left */
};

struct sk_msghdr {
    void *msg_name; /* received: room for a sockaddr_storage, or NULL */
    socklen_t msg_namelen;
    struct iov_iter msg_iter;
    void *msg_control;
    size_t msg_controllen;
    unsigned int msg_flags;
};

static inline void iov_iter_init(struct iov_iter *i, const struct iovec *iov, size_t nr, size_t count)
{
    i->iov = iov;
    i->nr_segs = nr;
    i->iov_offset = 0;
    i->count = count;
}
static inline size_t iov_iter_count(const struct iov_iter *i) { return i->count; }

/* Copy up to n bytes and move on; return the bytes copied (short only at the iterator's end). */
size_t copy_from_iter(void *to, size_t n, struct iov_iter *i);
size_t copy_to_iter(const void *from, size_t n, struct iov_iter *i);
void iov_iter_advance(struct iov_iter *i, size_t n);
/* Undo the last n bytes of progress. */
void iov_iter_revert(struct iov_iter *i, size_t n);

#endif
