/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_SHIM_EXIT_H
#define SLUICE_SHIM_EXIT_H

#include <stdbool.h>

/* True from the moment the process ends: the stack starts no more, new sockets are the kernel's. */
extern bool shim_exiting;
/* Role: what must be done before the process (or its image) goes: hands over what lives, writes the
 * statistics. Once; later calls do nothing. why ends a log sentence. */
void shim_at_exit(const char *why);

#endif
