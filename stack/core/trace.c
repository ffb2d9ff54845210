/* SPDX-License-Identifier: MIT */
#include "trace.h"

void (*trace_hook)(enum trace_point where, struct sk_buff *skb);
