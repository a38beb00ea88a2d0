/* SPDX-License-Identifier: MIT */
/*
 * Runs the benchmarks of a list and times each: as init of a guest, which it then powers off, or as a program on the host.
 *
 * usage: guest DIR. DIR/list holds a command a line: a name, the program and its arguments; a name of '-' prepares and is not
 * reported. Commands run in DIR; "@tree" writes a tree of files to ./tmp/tree, "@pair" in front runs two at once. For each it
 * prints
 *     @begin NAME
 *     @end NAME SECONDS CPU-SECONDS LAST-LINE-OF-OUTPUT
 * SECONDS is from before fork to after wait, CLOCK_MONOTONIC; CPU-SECONDS are what the children used. A program that fails is
 * "@fail NAME STATUS".
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ARGS_MAX = 16, DIRS = 16, FILES = 16, FILE_LINES = 200 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double children_cpu(void)
{
    struct rusage u;
    getrusage(RUSAGE_CHILDREN, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* Files of lines of words: 16 folders of 16 files of about 10 KB. */
static void write_tree(void)
{
    uint32_t r = 1;
    char path[64];
    mkdir("tmp/tree", 0755);
    for (unsigned d = 0; d < DIRS; d++) {
        (void)snprintf(path, sizeof(path), "tmp/tree/%02u", d);
        mkdir(path, 0755);
        for (unsigned f = 0; f < FILES; f++) {
            (void)snprintf(path, sizeof(path), "tmp/tree/%02u/%02u", d, f);
            FILE *file = fopen(path, "w");
            if (!file) {
                perror(path);
                exit(1);
            }
            for (unsigned line = 0; line < FILE_LINES; line++) {
                for (unsigned word = 0; word < 8; word++) {
                    r = r * 1664525 + 1013904223;
                    (void)fprintf(file, "word%u ", r >> 22);
                }
                (void)fputc('\n', file);
            }
            (void)fclose(file);
        }
    }
}

static unsigned split(char *line, char **arg)
{
    unsigned n = 0;
    for (char *word = strtok(line, " \n"); word && n < ARGS_MAX - 1; word = strtok(NULL, " \n"))
        arg[n++] = word;
    arg[n] = NULL;
    return n;
}

/* The last line that a command wrote to tmp/out, or nothing. */
static void last_line(char *ret_line, size_t cap)
{
    FILE *file = fopen("tmp/out", "r");
    ret_line[0] = 0;
    while (file && fgets(ret_line, (int)cap, file))
        ret_line[strcspn(ret_line, "\n")] = 0;
    if (file)
        (void)fclose(file);
}

static pid_t start(char **command)
{
    pid_t child = fork();
    if (child != 0)
        return child;
    int fd = open("tmp/out", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0644);
    (void)dup2(fd, STDOUT_FILENO);
    execv(command[0], command);
    perror(command[0]);
    _exit(127);
}

static void run(char **arg)
{
    char output[256];
    int status = 0, other = 0;
    if (strcmp(arg[1], "@tree") == 0) {
        write_tree();
        return;
    }
    int report = strcmp(arg[0], "-") != 0;
    if (report)
        printf("@begin %s\n", arg[0]);
    int pair = strcmp(arg[1], "@pair") == 0;
    double begin = now(), cpu = children_cpu();
    pid_t child = start(arg + 1 + pair), second = pair ? start(arg + 1 + pair) : 0;
    if (child < 0 || second < 0 || waitpid(child, &status, 0) != child || (pair && waitpid(second, &other, 0) != second))
        perror("fork");
    double took = now() - begin;
    while (waitpid(-1, NULL, 0) > 0) { /* what the program left behind comes to us */
    }
    last_line(output, sizeof(output));
    if (status || other)
        printf("@fail %s status %#x\n", arg[0], (unsigned)(status | other));
    else if (report)
        printf("@end %s %.6f %.6f %s\n", arg[0], took, children_cpu() - cpu, output);
}

int main(int argc, char **argv)
{
    int is_init = getpid() == 1;
    const char *dir = is_init ? "/bench" : argc > 1 ? argv[1] : ".";
    char line[512], *arg[ARGS_MAX];
    if (is_init) {
        mount("proc", "/proc", "proc", 0, NULL);
        mount("tmpfs", "/bench/tmp", "tmpfs", 0, NULL);
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    setvbuf(stdout, NULL, _IOLBF, 0);
    FILE *list = chdir(dir) == 0 ? fopen("list", "r") : NULL;
    while (list && fgets(line, sizeof(line), list))
        if (split(line, arg) >= 2)
            run(arg);
    puts(list ? "@done" : "@fail list: cannot be read");
    if (is_init)
        reboot(RB_POWER_OFF);
    return list ? 0 : 1;
}
