/* SPDX-License-Identifier: MIT */
/*
 * The error convention: negative errno plus one line of text in the caller's memory.
 *
 * A function that can fail returns 0 or more on success and -errno on failure; set-up, control and file paths take a
 * `struct error *err` last. The lowest layer states the fact with error_set(), callers on the way up put their own
 * context in front with error_prefix(), and only cli/ or control/ print it.
 */
#ifndef DOPPEL_BASE_ERROR_H
#define DOPPEL_BASE_ERROR_H

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

struct error {
    int code;      /* negative errno, 0 when unset */
    char msg[256]; /* one line, no newline, cut when too long */
};

/* Stores `code` (negative errno) and the formatted line; returns `code`. err may be NULL. Control characters in the
 * result (from file names, say) are replaced by '?', so that the message stays one line. */
PRINTF_LIKE(3, 4) int error_set(struct error *err, int code, const char *fmt, ...);

/* Puts "context: " in front of the message, of which at least the first half stays; returns err->code (or -EIO when err is NULL
 * or unset). */
PRINTF_LIKE(2, 3) int error_prefix(struct error *err, const char *fmt, ...);

#endif
