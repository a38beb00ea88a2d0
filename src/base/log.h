/* SPDX-License-Identifier: MIT */
/*
 * Leveled log lines to stderr; never on a per-instruction path.
 */
#ifndef DOPPEL_BASE_LOG_H
#define DOPPEL_BASE_LOG_H

#include "base/error.h"

enum log_level { LOG_LEVEL_ERR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Lines above `level` are dropped. The start value is LOG_LEVEL_WARN. Call before threads start. */
void log_set_level(enum log_level level);

/* Writes "doppel: [level] text\n" in one write(2); thread-safe. Ends lines with \r\n while the terminal is raw. */
PRINTF_LIKE(2, 3) void log_line(enum log_level level, const char *fmt, ...);

#define log_err(...) log_line(LOG_LEVEL_ERR, __VA_ARGS__)     /* an operation failed, a human must act */
#define log_warn(...) log_line(LOG_LEVEL_WARN, __VA_ARGS__)   /* we carried on: say what we did instead */
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)   /* a state change, once */
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__) /* for us */

/* A rate limit for messages a guest can provoke: true for the first `burst` calls, then never again. */
struct log_limit {
    unsigned seen;
};
_Bool log_limit_pass(struct log_limit *limit, unsigned burst);

#endif
