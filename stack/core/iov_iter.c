/* SPDX-License-Identifier: MIT */
/* Walking over the program's buffers. */

#include "iov_iter.h"

/* The part of the current segment that is left; skips empty segments. */
static size_t iter_chunk(struct iov_iter *i, u8 **p)
{
    while (i->nr_segs && i->iov_offset >= i->iov->iov_len) {
        i->iov++;
        i->nr_segs--;
        i->iov_offset = 0;
    }
    if (!i->nr_segs)
        return 0;
    *p = (u8 *)i->iov->iov_base + i->iov_offset;
    return min(i->iov->iov_len - i->iov_offset, i->count);
}

size_t copy_from_iter(void *to, size_t n, struct iov_iter *i)
{
    size_t done = 0, c;
    u8 *p;

    while (done < n && i->count && (c = iter_chunk(i, &p)) != 0) {
        c = min(c, n - done);
        memcpy((u8 *)to + done, p, c);
        i->iov_offset += c;
        i->count -= c;
        done += c;
    }
    return done;
}

size_t copy_to_iter(const void *from, size_t n, struct iov_iter *i)
{
    size_t done = 0, c;
    u8 *p;

    while (done < n && i->count && (c = iter_chunk(i, &p)) != 0) {
        c = min(c, n - done);
        memcpy(p, (const u8 *)from + done, c);
        i->iov_offset += c;
        i->count -= c;
        done += c;
    }
    return done;
}

void iov_iter_advance(struct iov_iter *i, size_t n)
{
    size_t c;
    u8 *p;

    while (n && i->count && (c = iter_chunk(i, &p)) != 0) {
        c = min(c, n);
        i->iov_offset += c;
        i->count -= c;
        n -= c;
    }
}

/* The caller undoes no more than it did: the segments behind are still the program's array. */
void iov_iter_revert(struct iov_iter *i, size_t n)
{
    i->count += n;
    while (n > i->iov_offset) {
        n -= i->iov_offset;
        i->iov--;
        i->nr_segs++;
        i->iov_offset = i->iov->iov_len;
    }
    i->iov_offset -= n;
}
