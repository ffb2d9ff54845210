/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_SHIM_TRACE_H
#define SLUICE_SHIM_TRACE_H
/* `sluice --trace`: the call stack from the program's call down to the ring. */

/* Role: set trace_hook as the option trace says; called when the stack starts, before its first packet, and again
 * when a fork child starts one. What it needs is opened here (libunwind, libdw): nothing of it is loaded unless
 * the option is on. Says in the log what is missing. */
void trace_start(void);
/* Role: print what is not printed yet: the rest of the listings, the folded paths. Once, when the process ends. */
void trace_at_exit(void);

#endif
