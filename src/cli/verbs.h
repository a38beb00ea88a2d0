/* SPDX-License-Identifier: MIT */
/*
 * The verbs of the command line; each returns the program's exit status and gets argv[0] = its own name.
 */
#ifndef DOPPEL_CLI_VERBS_H
#define DOPPEL_CLI_VERBS_H

#include "base/error.h"

#define DOPPEL_VERSION "0.1.0"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_TIMED_OUT = 124, EXIT_SIGNAL_BASE = 128 };

int verb_run(int argc, char **argv);
int verb_image(int argc, char **argv);
int verb_doctor(int argc, char **argv);
int verb_bench(int argc, char **argv);
int verb_demo(int argc, char **argv);
int verb_classify(int argc, char **argv);
int verb_ps(int argc, char **argv);
int verb_pause(int argc, char **argv);
int verb_resume(int argc, char **argv);
int verb_stop(int argc, char **argv);
int verb_balloon(int argc, char **argv);
int verb_console(int argc, char **argv);

/* Prints "doppel: message" to stderr; returns EXIT_FAILED. */
int cli_fail(const struct error *err);
/* The same for bad usage, with where to look; returns EXIT_USAGE. */
int cli_usage(const struct error *err, const char *verb);

/* For verbs with one machine's name and no option: whether argv asks for help (then it was printed: *ret_name is NULL), or the
 * name. -EINVAL. */
MUST_CHECK int cli_machine_name(int argc, char **argv, const char *help, const char **ret_name, struct error *err);

#endif
