/* SPDX-License-Identifier: MIT */
/* Capture: pcapng (draft-ietf-opsawg-pcapng), one Enhanced Packet Block for each packet.
 *
 * What passes here is what the stack sends and receives: packets larger than the MTU before the device
 * segments them, and super-frames of a peer. Checksums that a device was to complete are completed in the
 * file's copy, or every reader would call them wrong; the packet itself is left alone. */

#include "pcap.h"
#include "partial_csum.h"
#include "highfd.h"
#include "../stack/core/checksum.h"
#include "../stack/core/log.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PCAP_SHB 0x0a0d0d0au
#define PCAP_IDB 1u
#define PCAP_EPB 6u
#define PCAP_FILLER 0x80000f11u /* of the range for local use: readers skip it */
#define PCAP_MAGIC 0x1a2b3c4du
#define PCAP_OPT_END 0
#define PCAP_SHB_USERAPPL 4
#define PCAP_IF_NAME 2
#define PCAP_IF_TSRESOL 9
#define PCAP_EPB_FLAGS 2
#define PCAP_LINKTYPE_ETHERNET 1

#define PCAP_EPB_HEAD 28u /* up to the packet's data */
#define PCAP_EPB_TAIL 16u /* flags option, end of options, total length */
#define PCAP_MAX_PACKET (GSO_MAX_SIZE + 256)
#define PCAP_BUF (PCAP_EPB_HEAD + PCAP_MAX_PACKET + 4 + PCAP_EPB_TAIL)

#define PCAP_WINDOW (1u << 20)
#define PCAP_FILLER_MIN 12u

enum { PCAP_INBOUND = 1, PCAP_OUTBOUND = 2 };

struct pcap_file {
    int fd;
    _Atomic u32 refs;     /* the opener's, and one of each device */
    pthread_mutex_t lock; /* protects what follows; nothing nests in it */
    u64 size;             /* where the next block goes */
    u8 *map;              /* the file from `start` on, PCAP_WINDOW bytes; NULL: not a regular file */
    u64 start, end;       /* end: of the window and of the file as it is */
    bool regular;
    u32 interfaces;
    bool broken; /* a write failed: the file ends here */
};

struct pcap_dev {
    struct net_device dev; /* first */
    struct pcap_file *file;
    u32 interface;
    u64 offset;           /* the net's clock to the time of day */
    u8 *txbuf;            /* under dev.tx_lock */
    pthread_mutex_t lock; /* protects rxbuf: several queues may be polled. Nests outside file->lock */
    u8 *rxbuf;
};

/* ---- the file ---------------------------------------------------------------------------------------------- */

/* A killed process must leave whole blocks, and SIGKILL may end a write(2) of several pages half-way. So a
 * regular file is written through a mapping: it always ends with a filler block, and a new block is put
 * together inside that, out of every reader's sight, before it appears by two stores in a row. */

static u8 *pcap_at(const struct pcap_file *f, u64 offset) { return f->map + (offset - f->start); }

/* Two stores that count: a header (type and length) at `from`, and the length of the file's last block at its
 * end. A process is killed where it enters the kernel; so both pages are made writable first, by storing what
 * is there. */
static void pcap_appear(struct pcap_file *f, u64 from, u32 type, u32 len, u32 last)
{
    struct { /* blocks are aligned to four bytes only */
        u64 v;
    } __attribute__((packed, aligned(4))) volatile *head = (void *)pcap_at(f, from);
    volatile u32 *tail = (volatile u32 *)(void *)pcap_at(f, f->end - 4);
    u32 v[2] = {type, len};
    u64 both;

    memcpy(&both, v, 8);
    atomic_signal_fence(memory_order_seq_cst); /* what was put inside the filler is in memory */
    head->v = head->v;
    *tail = *tail;
    *tail = last;
    head->v = both;
}

/* Lengthen the file to `end` by filler blocks of one page: a write within one page is done or not done. */
static int pcap_lengthen(struct pcap_file *f, u64 end, u32 page)
{
    u8 *block = calloc(1, page);
    u32 v[2] = {PCAP_FILLER, page};
    int err = 0;

    if (!block)
        return -ENOMEM;
    memcpy(block, v, 8);
    memcpy(block + page - 4, &page, 4);
    /* Disk space first: a store into a hole that cannot be filled is SIGBUS. */
    if (fallocate(f->fd, FALLOC_FL_KEEP_SIZE, (off_t)f->end, (off_t)(end - f->end)))
        err = -errno;
    for (; !err && f->end < end; f->end += page) {
        ssize_t n = pwrite(f->fd, block, page, (off_t)f->end);

        if (n != (ssize_t)page)
            err = n < 0 ? -errno : -ENOSPC;
    }
    free(block);
    return err;
}

/* The window moves to where the file's blocks end, and one filler fills it. 0 or -errno. */
static int pcap_grow(struct pcap_file *f)
{
    u32 page = (u32)sysconf(_SC_PAGESIZE);
    u64 start = f->size & ~(u64)(page - 1), end = start + PCAP_WINDOW;
    u8 *map = mmap(NULL, PCAP_WINDOW, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, (off_t)start);
    int err;

    if (map == MAP_FAILED)
        return -errno;
    madvise(map, PCAP_WINDOW, MADV_DONTFORK);
    err = pcap_lengthen(f, end, page);
    if (err) {
        munmap(map, PCAP_WINDOW);
        return err;
    }
    if (f->map)
        munmap(f->map, PCAP_WINDOW);
    f->map = map;
    f->start = start;
    pcap_appear(f, f->size, PCAP_FILLER, (u32)(end - f->size), (u32)(end - f->size));
    return 0;
}

static int pcap_append_mapped(struct pcap_file *f, const u8 *block, u32 len)
{
    u32 type, rest[2] = {PCAP_FILLER};
    int err;

    if (!f->map || f->size + len + PCAP_FILLER_MIN > f->end) {
        err = pcap_grow(f);
        if (err)
            return err;
    }
    /* Inside the filler: the block but for its header, and the header of a smaller filler behind it. */
    memcpy(&type, block, 4);
    memcpy(pcap_at(f, f->size) + 8, block + 8, len - 8);
    rest[1] = (u32)(f->end - f->size) - len;
    memcpy(pcap_at(f, f->size + len), rest, 8);
    pcap_appear(f, f->size, type, len, rest[1]);
    f->size += len;
    return 0;
}

/* A pipe, a terminal, a file system without fallocate: one write(2) a block. */
static int pcap_append_plain(struct pcap_file *f, const u8 *block, u32 len)
{
    ssize_t n;

    while (len) {
        n = write(f->fd, block, len);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            block += n;
            len -= (u32)n;
        }
    }
    return 0;
}

static bool pcap_write_locked(struct pcap_file *f, const void *block, u32 len)
{
    int err;

    if (f->broken)
        return false;
    err = f->regular ? pcap_append_mapped(f, block, len) : pcap_append_plain(f, block, len);
    if (err == -EOPNOTSUPP && f->regular && !f->map) {
        f->regular = false;
        err = pcap_append_plain(f, block, len);
    }
    f->broken = err != 0;
    errno = -err;
    return !err;
}

static bool pcap_write(struct pcap_file *f, const void *block, u32 len)
{
    bool ok;

    pthread_mutex_lock(&f->lock);
    ok = pcap_write_locked(f, block, len);
    pthread_mutex_unlock(&f->lock);
    return ok;
}

static u32 pcap_put32(u8 *p, u32 v)
{
    memcpy(p, &v, 4); /* a section is in its writer's byte order */
    return 4;
}

static u32 pcap_put_option(u8 *p, u16 code, const void *value, u16 len)
{
    memcpy(p, &code, 2);
    memcpy(p + 2, &len, 2);
    memset(p + 4, 0, ALIGN(len, 4));
    memcpy(p + 4, value, len);
    return 4u + ALIGN(len, 4);
}

/* Options end, and the total length at both ends of the block. */
static u32 pcap_end_block(u8 *block, u32 n)
{
    n += pcap_put32(block + n, PCAP_OPT_END);
    pcap_put32(block + 4, n + 4);
    return n + pcap_put32(block + n, n + 4);
}

static bool pcap_write_section(struct pcap_file *f)
{
    u8 b[64];
    u32 n = 0;

    n += pcap_put32(b + n, PCAP_SHB);
    n += 4;
    n += pcap_put32(b + n, PCAP_MAGIC);
    n += pcap_put32(b + n, 1); /* version 1.0: two 16-bit numbers */
    n += pcap_put32(b + n, ~0u);
    n += pcap_put32(b + n, ~0u); /* section length: not known */
    if (__BYTE_ORDER != __LITTLE_ENDIAN) {
        u16 one = 1;
        memcpy(b + 12, &one, 2);
        memset(b + 14, 0, 2);
    }
    n += pcap_put_option(b + n, PCAP_SHB_USERAPPL, "sluice", 6);
    return pcap_write(f, b, pcap_end_block(b, n));
}

static bool pcap_write_interface(struct pcap_file *f, const char *name, u32 *id)
{
    u8 b[96], nanoseconds = 9;
    u16 link[2] = {PCAP_LINKTYPE_ETHERNET, 0};
    u32 n = 0;
    bool ok;

    n += pcap_put32(b + n, PCAP_IDB);
    n += 4;
    memcpy(b + n, link, 4);
    n += 4;
    n += pcap_put32(b + n, 0); /* no snap length */
    n += pcap_put_option(b + n, PCAP_IF_NAME, name, (u16)strlen(name));
    n += pcap_put_option(b + n, PCAP_IF_TSRESOL, &nanoseconds, 1);
    n = pcap_end_block(b, n);
    pthread_mutex_lock(&f->lock);
    *id = f->interfaces++;
    ok = pcap_write_locked(f, b, n);
    pthread_mutex_unlock(&f->lock);
    return ok;
}

static void pcap_put_file(struct pcap_file *f)
{
    if (atomic_fetch_sub(&f->refs, 1) != 1)
        return;
    if (f->map) {
        munmap(f->map, PCAP_WINDOW);
        if (ftruncate(f->fd, (off_t)f->size)) {
            /* the filler stays: readers skip it */
        }
    }
    close(f->fd);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

struct pcap_file *pcap_open(const char *path)
{
    struct pcap_file *f = calloc(1, sizeof(*f));
    struct stat sb;
    int err;

    if (!f)
        return NULL;
    f->fd = highfd_move(open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (f->fd < 0) {
        err = errno;
        free(f);
        errno = err;
        return NULL;
    }
    f->regular = fstat(f->fd, &sb) == 0 && S_ISREG(sb.st_mode);
    pthread_mutex_init(&f->lock, NULL);
    atomic_store(&f->refs, 1);
    if (!pcap_write_section(f)) {
        err = errno;
        pcap_put_file(f);
        errno = err ? err : ENOSPC;
        return NULL;
    }
    return f;
}

void pcap_close(struct pcap_file *f)
{
    if (f)
        pcap_put_file(f);
}

int pcap_fd(const struct pcap_file *f) { return f->fd; }

/* ---- one packet ------------------------------------------------------------------------------------------------ */

/* The block of one packet into buf. The packet is `head` bytes at hdr, then the sk_buff's data. Returns its
 * length, 0: cannot be captured. */
static u32 pcap_block(const struct pcap_dev *pd, u8 *buf, const u8 *hdr, u32 head, const struct sk_buff *skb,
                      u64 when, int direction)
{
    u32 len = head + skb->len, n = 0, flags = (u32)direction;
    u64 ts = when + pd->offset;

    if (len > PCAP_MAX_PACKET)
        return 0;
    n += pcap_put32(buf + n, PCAP_EPB);
    n += 4;
    n += pcap_put32(buf + n, pd->interface);
    n += pcap_put32(buf + n, (u32)(ts >> 32));
    n += pcap_put32(buf + n, (u32)ts);
    n += pcap_put32(buf + n, len);
    n += pcap_put32(buf + n, len);
    if (head)
        memcpy(buf + n, hdr, head);
    if (skb_copy_bits(skb, 0, buf + n + head, skb->len))
        return 0;
    if (skb->ip_summed == CHECKSUM_PARTIAL || (pd->dev.features & NETIF_F_NOWIRE))
        frame_complete_csum(buf + n, len, skb->ip_summed == CHECKSUM_PARTIAL);
    memset(buf + n + len, 0, ALIGN(len, 4) - len);
    n += ALIGN(len, 4);
    n += pcap_put_option(buf + n, PCAP_EPB_FLAGS, &flags, 4);
    return pcap_end_block(buf, n);
}

static void pcap_commit(struct pcap_dev *pd, const u8 *buf, u32 n)
{
    if (n && !pd->file->broken && !pcap_write(pd->file, buf, n))
        net_warn(pd->dev.net, "%s: the capture file ends here: %s", pd->dev.name, strerror(errno));
}

/* ---- the device --------------------------------------------------------------------------------------------------- */

/* Written when the device below has taken it: a refused packet comes again. */
static netdev_tx_t pcap_start_xmit(struct sk_buff *skb, struct net_device *dev)
{
    struct pcap_dev *pd = dev->priv;
    u32 n = pcap_block(pd, pd->txbuf, NULL, 0, skb, net_now(dev->net), PCAP_OUTBOUND);
    netdev_tx_t rc = dev_lower_xmit(skb, dev->lower);

    if (rc == NETDEV_TX_OK)
        pcap_commit(pd, pd->txbuf, n);
    else
        skb->dev = dev;
    return rc;
}

static struct sk_buff *pcap_receive(struct sk_buff *skb)
{
    struct pcap_dev *pd = skb->dev->upper->priv;
    u64 when = skb->tstamp ? skb->tstamp : net_now(pd->dev.net);

    pthread_mutex_lock(&pd->lock);
    pcap_commit(pd, pd->rxbuf, pcap_block(pd, pd->rxbuf, skb_mac_header(skb), ETH_HLEN, skb, when, PCAP_INBOUND));
    pthread_mutex_unlock(&pd->lock);
    return skb;
}

static int pcap_poll_fds(struct net_device *dev, int *fds, int max)
{
    const struct net_device_ops *ops = dev->lower->ops;

    return ops->ndo_poll_fds ? ops->ndo_poll_fds(dev->lower, fds, max) : 0;
}

static bool pcap_prepare_sleep(struct net_device *dev)
{
    const struct net_device_ops *ops = dev->lower->ops;

    return ops->ndo_prepare_sleep ? ops->ndo_prepare_sleep(dev->lower) : true;
}

static const struct net_device_ops pcap_ops = {
    .ndo_start_xmit = pcap_start_xmit,
    .ndo_xmit_flush = dev_lower_flush,
    .ndo_poll = dev_lower_poll,
    .ndo_poll_fds = pcap_poll_fds,
    .ndo_prepare_sleep = pcap_prepare_sleep,
};

static void pcap_destroy(struct net_device *dev)
{
    struct pcap_dev *pd = dev->priv;

    pcap_put_file(pd->file);
    pthread_mutex_destroy(&pd->lock);
    free(pd->txbuf);
    free(pd->rxbuf);
    free(pd);
}

struct net_device *pcap_wrap(struct net_device *lower, struct pcap_file *f)
{
    struct pcap_dev *pd = calloc(1, sizeof(*pd));
    struct net *net = lower->net;
    struct timespec day;

    if (!pd)
        return NULL;
    pthread_mutex_init(&pd->lock, NULL);
    atomic_fetch_add(&f->refs, 1);
    pd->file = f;
    pd->dev.net = net;
    pd->dev.priv = pd;
    pd->dev.ops = &pcap_ops;
    pd->dev.features = lower->features;
    pd->dev.destructor = pcap_destroy;
    pd->txbuf = malloc(PCAP_BUF);
    pd->rxbuf = malloc(PCAP_BUF);
    clock_gettime(CLOCK_REALTIME, &day);
    pd->offset = (u64)day.tv_sec * NSEC_PER_SEC + (u64)day.tv_nsec - net->ops->clock_ns(net);
    if (!pd->txbuf || !pd->rxbuf || !pcap_write_interface(f, lower->name, &pd->interface) ||
        dev_wrap(&pd->dev, lower, pcap_receive)) {
        pcap_destroy(&pd->dev);
        return NULL;
    }
    return &pd->dev;
}

void pcap_unwrap(struct net_device *dev) { dev_unwrap(dev); }
