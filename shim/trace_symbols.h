/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_SHIM_TRACE_SYMBOLS_H
#define SLUICE_SHIM_TRACE_SYMBOLS_H
/* Call stacks by libunwind, and the functions, files and lines in them by elfutils' libdw. */

#include "../stack/core/types.h"

struct trace_frame {
    char func[72];
    char file[104]; /* as the compiler was told it, e.g. stack/ipv4/tcp.c; empty: not known */
    u32 line;       /* in that function: where it calls the next */
    bool inlined;   /* into the next outer one */
};

/* Role: load the libraries. 0; -ENOENT: no call stacks (why: a sentence). A missing libdw is no error, but why then
 * says what that means; else *why is empty. Not from a signal handler, no lock held. */
int trace_symbols_open(char *why, size_t len);
/* Role: the return addresses of this thread's calls, innermost first, from the caller on. Returns how many.
 * Takes the loader's lock and libunwind's own; any lock of the stack may be held. Inside SHIM_ENTER. */
int trace_unwind(void **ip, int max);
/* Is it an address in this library's code? */
bool trace_in_library(const void *ip);
/* Role: the functions that a return address stands in, innermost (an inlined one) first. Returns how many (>= 1).
 * Not thread-safe; not with a lock of the stack held (it reads files). */
int trace_symbolize(void *ip, struct trace_frame *frames, int max);
/* Role: what a return address outside this library is called: "fetch() at client+0x1a2b", without a symbol
 * "libcurl.so.4+0x1a2b". Returns buf. */
char *trace_address_name(void *ip, char *buf, size_t len);

#endif
