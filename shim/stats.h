/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_SHIM_STATS_H
#define SLUICE_SHIM_STATS_H
/* What a running process tells about itself: to sluicectl over an abstract socket, and as JSON at exit. */

#include "file.h"

/* Role: serve sluicectl on "\0sluice/<pid>" from the backstop thread. runtime_start() calls it once the
 * stack runs; failure costs only sluicectl. 0 or -errno. */
int stats_start(void);
void stats_forget_in_child(void);
/* Role: remember why a socket was left to the kernel: a sentence, counted; f->... is not touched. peer and
 * local may be NULL. Also counts SLUICE_MIB_FALLBACKS when the stack runs. */
void stats_fallback(const char *why);
/* Write the JSON of SLUICE_STATS to that path. 0 or -errno. */
int stats_write_file(const char *path);

#endif
