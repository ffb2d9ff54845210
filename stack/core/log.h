/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_CORE_LOG_H
#define SLUICE_CORE_LOG_H
/* Log lines are sentences: what happened, to what, and what to do. They leave through net->ops->log. */

struct net;
enum log_level { LOG_ERR_ = 0, LOG_WARN_ = 1, LOG_INFO_ = 2, LOG_DEBUG_ = 3 };

void net_log(struct net *net, enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define net_err(net, ...) net_log(net, LOG_ERR_, __VA_ARGS__)
#define net_warn(net, ...) net_log(net, LOG_WARN_, __VA_ARGS__)
#define net_info(net, ...) net_log(net, LOG_INFO_, __VA_ARGS__)
#define net_dbg(net, ...) net_log(net, LOG_DEBUG_, __VA_ARGS__)

#endif
