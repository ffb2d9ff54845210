/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_SHIM_QDISC_OPTION_H
#define SLUICE_SHIM_QDISC_OPTION_H
/* The option `qdisc`: KIND[,PARAMETER=VALUE]..., with tc(8)'s names and units. */

#include "../stack/core/types.h"

enum qdisc_kind { QDISC_PFIFO_FAST, QDISC_FQ, QDISC_TBF };
struct qdisc_option { /* 0: not given */
    enum qdisc_kind kind;
    u64 rate;       /* bytes/s: tbf's rate, fq's maxrate */
    u32 burst;      /* bytes (tbf) */
    u32 limit;      /* packets, with tbf bytes */
    u32 flow_limit; /* packets (fq) */
    u32 quantum, initial_quantum; /* bytes (fq) */
};

/* NULL with *res set, or what is wrong. Allocates nothing. */
const char *qdisc_option_parse(const char *text, struct qdisc_option *res);

#endif
