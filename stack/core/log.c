/* SPDX-License-Identifier: MIT */
#include "log.h"
#include "net.h"
#include <stdarg.h>

void net_log(struct net *net, enum log_level level, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    if (!net->ops->log)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    net->ops->log(net, level, text);
}
