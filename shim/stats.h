/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_SHIM_STATS_H
#define SLUICE_SHIM_STATS_H
/* What a running process tells about itself: to sluicectl over an abstract socket, and as JSON at exit. */

#include "file.h"

/* Role: serve sluicectl on "\0sluice/<pid>" from the backstop thread. runtime_start() calls it once the
 * stack runs; failure costs only sluicectl. 0 or -errno. */
int stats_start(void);
void stats_forget_in_child(void);
/* Role: count a socket that is left to the kernel, by the sentence that says why. */
void stats_fallback(const char *why);
/* Role: why the kernel serves this socket from now on (a fallback, a hand-over), for `sluicectl ss`. Call it
 * before file_to_kernel(): it takes the socket's inode by one of its descriptors. */
void stats_kernel_socket(struct file *f, const char *why);
/* Has this process anything to tell at its end? */
bool stats_worth_writing(void);
/* Write the JSON of SLUICE_STATS to that path. 0 or -errno. */
int stats_write_file(const char *path);

#endif
