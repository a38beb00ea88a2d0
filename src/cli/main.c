/* SPDX-License-Identifier: MIT */
/*
 * doppel: the command line's verbs in one table.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "cli/verbs.h"

struct verb {
    const char *name;
    int (*fn)(int argc, char **argv);
    const char *summary;
};

static int verb_help(int argc, char **argv);
static int verb_version(int argc, char **argv);

static const struct verb verbs[] = {
    { "run", verb_run, "boot a machine; with -- COMMAND, run it in the guest and exit with its status" },
    { "image", verb_image, "make a bootable disk image from a distribution's packages" },
    { "ps", verb_ps, "list the machines that run" },
    { "pause", verb_pause, "stop a machine's CPUs and time" },
    { "resume", verb_resume, "let them go on" },
    { "stop", verb_stop, "ask a machine's guest to power off, then end it" },
    { "balloon", verb_balloon, "see, or set, how much of its memory a machine's guest keeps" },
    { "console", verb_console, "see a machine's console and type on it" },
    { "doctor", verb_doctor, "show which engines work on this host, and what the host offers" },
    { "bench", verb_bench, "measure what leaves the guest, in cycles, under every engine" },
    { "demo", verb_demo, "show what the theory of virtualization predicts, by running it" },
    { "classify", verb_classify, "show by experiment what Popek and Goldberg's theorem says of an instruction set" },
    { "version", verb_version, "print the version" },
    { "help", verb_help, "print this" },
    { NULL, NULL, NULL },
};

int cli_fail(const struct error *err)
{
    (void)fprintf(stderr, "doppel: %s\n", err->msg);
    return EXIT_FAILED;
}

int cli_usage(const struct error *err, const char *verb)
{
    (void)fprintf(stderr, "doppel: %s (see doppel %s%s)\n", err->msg, verb ? verb : "help", verb ? " --help" : "");
    return EXIT_USAGE;
}

static int verb_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    (void)printf("doppel %s\n", DOPPEL_VERSION);
    return EXIT_OK;
}

static int verb_help(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    (void)printf("usage: doppel VERB [ARGUMENTS]\n\n");
    for (const struct verb *v = verbs; v->name; v++)
        (void)printf("  %-10s %s\n", v->name, v->summary);
    (void)printf("\ndoppel VERB --help tells more.\n");
    return EXIT_OK;
}

static const struct verb *find_verb(const char *name)
{
    static const struct {
        const char *option, *verb;
    } aliases[] = { { "--help", "help" }, { "-h", "help" }, { "--version", "version" }, { "-V", "version" } };
    for (unsigned i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++)
        if (strcmp(name, aliases[i].option) == 0)
            name = aliases[i].verb;
    for (const struct verb *v = verbs; v->name; v++)
        if (strcmp(v->name, name) == 0)
            return v;
    return NULL;
}

/* Descriptors 0 to 2 must not become something of ours. */
static void fill_standard_fds(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR); /* the lowest free number; inherited by nobody: we start no programs */
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        (void)close(fd);
}

int main(int argc, char **argv)
{
    struct error err;
    clock_host_begin();
    fill_standard_fds();
    (void)signal(SIGPIPE, SIG_IGN); /* a closed stdout is an error of write(2), not the end of the guest */
    (void)signal(SIGXFSZ, SIG_IGN); /* so is a file that reached ulimit -f: the guest gets an I/O error */
    if (argc < 2) {
        (void)error_set(&err, -1, "no verb given");
        return cli_usage(&err, NULL);
    }
    const struct verb *v = find_verb(argv[1]);
    if (!v) {
        (void)error_set(&err, -1, "unknown verb '%s'", argv[1]);
        return cli_usage(&err, NULL);
    }
    int status = v->fn(argc - 1, argv + 1);
    if (fflush(stdout) != 0 && status == EXIT_OK) {
        perror("doppel: standard output");
        status = EXIT_FAILED;
    }
    return status;
}
