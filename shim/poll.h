/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_SHIM_POLL_H
#define SLUICE_SHIM_POLL_H

#include "libc.h"

/* Does any of these descriptors concern us? Costs a byte load each. */
bool poll_has_ours(const struct pollfd *fds, nfds_t n);
/* Role: poll(2) for a mixture. deadline: absolute ns, 0: do not wait, UINT64_MAX: for ever. Number of
 * descriptors with revents, or -errno (-EINTR: handlers have run). Outside SHIM_ENTER. */
int shim_poll(struct pollfd *fds, nfds_t n, u64 deadline, const sigset_t *mask);

#endif
