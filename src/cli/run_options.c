/* SPDX-License-Identifier: MIT */
/*
 * The options of `doppel run`: one table, values checked where they are read.
 */
#include "cli/run_options.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/log.h"
#include "control/rundir.h"

enum option_id {
    OPT_ARCH,
    OPT_ENGINE,
    OPT_CPU,
    OPT_CPUS,
    OPT_MEMORY,
    OPT_CODE_CACHE,
    OPT_FIRMWARE,
    OPT_KERNEL,
    OPT_INITRD,
    OPT_DTB,
    OPT_APPEND,
    OPT_DISK,
    OPT_NET,
    OPT_SHARE,
    OPT_SERIAL,
    OPT_CONSOLE,
    OPT_BALLOON,
    OPT_VSOCK,
    OPT_BUS,
    OPT_SANDBOX,
    OPT_NAME,
    OPT_TIMEOUT,
    OPT_STATS,
    OPT_TRACE_CODE,
    OPT_REBOOT,
    OPT_DEBUG,
    OPT_HELP
};
enum { MEMORY_MIN = 32 << 20, TIMEOUT_MAX = 100000000, HELP_LEFT = 20 };
#define MEMORY_DEFAULT (512UL << 20)

struct option_row {
    const char *name;
    enum option_id id;
    const char *value; /* what the help calls its value; NULL: takes none; "[...": only as --name=value, may be left out */
    const char *help;
};

static const struct option_row rows[] = {
    { "--arch", OPT_ARCH, "ARCH", "instruction set of the guest: x86-64 (default), riscv64" },
    { "--engine", OPT_ENGINE, "NAME", "how guest code runs: auto, kvm, bt, interp, direct" },
    { "--cpu", OPT_CPU, "MODEL[,kvm-pv=on|off][,+|-PART]...",
      "CPU model: x86-64-v3 (default), x86-64-v4, max; parts of KVM's interface (docs/hypercalls.md); riscv64: rv64 (default), "
      "rv64gc, max; extensions: v=on, vlen=256 (docs/riscv.md)" },
    { "--cpus", OPT_CPUS, "N", "number of CPUs, 1 to 64 (1)" },
    { "--memory", OPT_MEMORY, "SIZE", "guest memory with a unit, 32M or more (512M)" },
    { "--code-cache", OPT_CODE_CACHE, "SIZE",
      "memory for translated guest code, 1M a CPU or more (512M, and 16M for each further CPU)" },
    { "--firmware", OPT_FIRMWARE, "FILE", "riscv64: firmware that runs first, OpenSBI say (the SBI is ours)" },
    { "--kernel", OPT_KERNEL, "FILE",
      "bzImage, vmlinux or Multiboot kernel; riscv64: Image or vmlinux (what is on the first disk, or `make guests` fetched)" },
    { "--initrd", OPT_INITRD, "FILE", "initial RAM disk" },
    { "--dtb", OPT_DTB, "FILE", "riscv64: the device tree (one that describes the machine)" },
    { "--append", OPT_APPEND, "TEXT", "more kernel command line" },
    { "--disk", OPT_DISK, "FILE[,ro][,overlay[=FILE]][,format=F]",
      "a disk, raw or qcow2, or nbd://...; ro: read-only; overlay: writes go to another file, or are forgotten (up to 16 "
      "times)" },
    { "--net", OPT_NET, "user[,hostfwd=tcp:H:G]|tap=IF|none",
      "a network card; user: the guest reaches what we reach, port H leads to its port G; tap: an interface (none)" },
    { "--share", OPT_SHARE, "DIR[:TAG][,ro]",
      "a folder of the host, at the same place for COMMAND, and to be mounted by its tag (up to 8 times)" },
    { "--serial", OPT_SERIAL, "WHAT",
      "the console, COM1: stdio, none, pty, unix:PATH, or a FILE that is appended to (stdio; with COMMAND: none)" },
    { "--console", OPT_CONSOLE, "WHAT",
      "a second terminal, hvc0, which knows its size: stdio (then --serial none), pty, unix:PATH or a FILE (none)" },
    { "--balloon", OPT_BALLOON, "[=SIZE]", "the guest gives free memory back to the host, and keeps SIZE of it (all)" },
    { "--vsock", OPT_VSOCK, "PATH[,cid=N]",
      "sockets between guest and host: its port P is the host's Unix socket PATH_P; PATH leads to the guest's ports (cid: 3)" },
    { "--bus", OPT_BUS, "mmio|pci", "riscv64: where the guest finds its disks, network, shares and so on (mmio)" },
    { "--name", OPT_NAME, "NAME", "what doppel ps, pause, resume, stop and console call the machine (vm-PID)" },
    { "--sandbox", OPT_SANDBOX, "on|off|auto", "give up what a running machine does not need (auto: on where it works)" },
    { "--timeout", OPT_TIMEOUT, "SECONDS", "end the machine after that time, with exit status 124" },
    { "--trace-code", OPT_TRACE_CODE, "[=DIR]", "list what is translated, in DIR, and map it for perf(1) (doppel-code)" },
    { "--reboot", OPT_REBOOT, NULL, "restart when the guest resets itself (else that ends it)" },
    { "--stats", OPT_STATS, NULL, "print counters at the end, to stderr" },
    { "--debug", OPT_DEBUG, NULL, "print what devices find odd about the guest, to stderr" },
    { "--help", OPT_HELP, NULL, "print this" },
};

void run_options_help(void)
{
    (void)printf("usage: doppel run [OPTIONS] [-- COMMAND [ARGUMENTS]]\n\n"
                 "Boots a machine. With COMMAND: runs it in a Linux guest, with our stdin, stdout and stderr, and exits with\n"
                 "its status. Without: the guest's serial console is ours; Ctrl-A x quits, Ctrl-A h tells more.\n\n");
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        char left[64];
        bool optional = rows[i].value && rows[i].value[0] == '[';
        (void)snprintf(left, sizeof(left), "%s%s%s", rows[i].name, optional ? "" : " ", rows[i].value ? rows[i].value : "");
        if (strlen(left) > HELP_LEFT)
            (void)printf("  %s\n  %-*s %s\n", left, HELP_LEFT, "", rows[i].help);
        else
            (void)printf("  %-*s %s\n", HELP_LEFT, left, rows[i].help);
    }
}

int parse_size(const char *text, uint64_t *ret_bytes, struct error *err)
{
    static const char units[] = "KMGT";
    char *end;
    errno = 0;
    if (!isdigit((unsigned char)text[0]))
        return error_set(err, -EINVAL, "'%s' is not a size (512M, 4G)", text);
    unsigned long long n = strtoull(text, &end, 10);
    if (errno == ERANGE)
        return error_set(err, -EINVAL, "'%s' is too large", text);
    const char *unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
    if (*end == '\0')
        return error_set(err, -EINVAL, "'%s' has no unit (%sM?)", text, text);
    if (!unit || (end[1] && strcasecmp(end + 1, "B") != 0 && strcasecmp(end + 1, "iB") != 0))
        return error_set(err, -EINVAL, "'%s' is not a size (512M, 4G)", text);
    uint64_t bytes;
    if (ckd_mul(&bytes, (uint64_t)n, 1ULL << (10 * (unit - units + 1))))
        return error_set(err, -EINVAL, "'%s' is too large", text);
    *ret_bytes = bytes;
    return 0;
}

static int parse_memory(const char *text, uint64_t *ret_bytes, struct error *err)
{
    uint64_t bytes = 0;
    int r = parse_size(text, &bytes, err);
    if (r < 0)
        return r;
    if (bytes < MEMORY_MIN)
        return error_set(err, -EINVAL, "'%s' is less than %dM", text, MEMORY_MIN >> 20);
    *ret_bytes = bytes & GPAGE_MASK;
    return 0;
}

static int parse_code_cache(const char *text, uint64_t *ret_bytes, struct error *err)
{
    uint64_t bytes = 0;
    int r = parse_size(text, &bytes, err);
    if (r < 0)
        return r;
    if (bytes < VM_CODE_CACHE_MIN)
        return error_set(err, -EINVAL, "'%s' is less than %dM", text, VM_CODE_CACHE_MIN >> 20);
    *ret_bytes = bytes;
    return 0;
}

static int parse_cpus(const char *text, unsigned *ret_cpus, struct error *err)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end || n < 1 || n > VM_MAX_VCPUS)
        return error_set(err, -EINVAL, "'%s' is not a number from 1 to %d", text, VM_MAX_VCPUS);
    *ret_cpus = (unsigned)n;
    return 0;
}

static int parse_serial(const char *text, const char **ret_serial, struct error *err)
{
    if (text[0] == '\0' || strcmp(text, "unix:") == 0)
        return error_set(err, -EINVAL, "'%s' names no file", text);
    *ret_serial = text;
    return 0;
}

static int parse_balloon(const char *text, struct vm_config *vm, struct error *err)
{
    vm->balloon = true;
    vm->balloon_keep = 0;
    return text ? parse_memory(text, &vm->balloon_keep, err) : 0;
}

static int parse_cid(const char *text, uint32_t *ret_cid, struct error *err)
{
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end || errno || n < VM_CID_MIN || n > VM_CID_MAX)
        return error_set(err, -EINVAL, "cid '%s' is not a number from %d to %u", text, VM_CID_MIN, VM_CID_MAX);
    *ret_cid = (uint32_t)n;
    return 0;
}

static int parse_bus(const char *text, enum vm_bus *ret_bus, struct error *err)
{
    if (strcmp(text, "mmio") != 0 && strcmp(text, "pci") != 0)
        return error_set(err, -EINVAL, "'%s' is not mmio or pci", text);
    *ret_bus = strcmp(text, "pci") == 0 ? VM_BUS_PCI : VM_BUS_MMIO;
    return 0;
}

static int parse_sandbox(const char *text, enum run_sandbox *ret_sandbox, struct error *err)
{
    static const char *const words[] = { [SANDBOX_AUTO] = "auto", [SANDBOX_ON] = "on", [SANDBOX_OFF] = "off" };
    for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
        if (strcmp(text, words[i]) == 0) {
            *ret_sandbox = (enum run_sandbox)i;
            return 0;
        }
    return error_set(err, -EINVAL, "'%s' is not on, off or auto", text);
}

static int parse_timeout(const char *text, double *ret_seconds, struct error *err)
{
    char *end;
    double s = strtod(text, &end);
    if (end == text || *end || !isfinite(s) || s <= 0 || s > TIMEOUT_MAX)
        return error_set(err, -EINVAL, "'%s' is not a number of seconds from 0 to %d", text, TIMEOUT_MAX);
    *ret_seconds = s;
    return 0;
}

/* Cuts a field off at a `mark`; two marks are one in the field. NULL: there is none left. */
static char *next_field(char **at, char mark)
{
    char *field = *at, *to = field;
    if (!field)
        return NULL;
    for (char *from = field;; from++) {
        if (*from == mark && from[1] == mark)
            from++;
        else if (*from == mark || *from == '\0') {
            *at = *from ? from + 1 : NULL;
            *to = '\0';
            return field;
        }
        *to++ = *from;
    }
}

static int parse_disk(const char *value, struct run_options *o, struct error *err)
{
    if (o->vm.nr_disks == VM_DISKS_MAX)
        return error_set(err, -EINVAL, "more than %d disks", VM_DISKS_MAX);
    char *text = strdup(value), *at = text;
    if (!text)
        return error_set(err, -ENOMEM, "out of memory");
    o->disk_text[o->vm.nr_disks] = text;
    struct disk_config *d = &o->vm.disk[o->vm.nr_disks++];
    d->path = next_field(&at, ',');
    for (char *field; (field = next_field(&at, ',')) != NULL;) {
        if (strcmp(field, "ro") == 0)
            d->read_only = true;
        else if (strcmp(field, "overlay") == 0)
            d->overlay = true;
        else if (strncmp(field, "overlay=", 8) == 0) {
            d->overlay = true;
            d->overlay_path = field + 8;
        } else if (strncmp(field, "format=", 7) == 0)
            d->format = field + 7;
        else
            return error_set(err, -EINVAL,
                             "unknown '%s' (ro, overlay, overlay=FILE, format=F; a comma in a name is written twice)", field);
    }
    return 0;
}

static int parse_share(const char *value, struct run_options *o, struct error *err)
{
    unsigned n = o->vm.nr_shares;
    if (n == VM_SHARES_MAX)
        return error_set(err, -EINVAL, "more than %d shares", VM_SHARES_MAX);
    char *at = o->share_text[n] = strdup(value);
    if (!at || asprintf(&o->share_tag[n], "share%u", n) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    struct share_config *s = &o->vm.share[o->vm.nr_shares++];
    char *name = next_field(&at, ',');
    for (const char *field; (field = next_field(&at, ',')) != NULL;) {
        if (strcmp(field, "ro") != 0)
            return error_set(err, -EINVAL, "unknown '%s' (ro; a comma in a name is written twice)", field);
        s->read_only = true;
    }
    s->path = next_field(&name, ':');
    const char *tag = next_field(&name, ':');
    s->tag = tag ? tag : o->share_tag[n];
    if (name)
        return error_set(err, -EINVAL, "'%s' has more than one ':' (one in a name is written twice)", value);
    return 0;
}

static int parse_vsock(const char *value, struct run_options *o, struct error *err)
{
    char *at = strdup(value);
    if (!at)
        return error_set(err, -ENOMEM, "out of memory");
    free(o->vsock_text);
    o->vsock_text = at;
    o->vm.vsock = (struct vsock_config){ .path = next_field(&at, ','), .cid = VM_CID_MIN };
    if (!o->vm.vsock.path[0])
        return error_set(err, -EINVAL, "'%s' names no socket", value);
    for (const char *field; (field = next_field(&at, ',')) != NULL;) {
        if (strncmp(field, "cid=", 4) != 0)
            return error_set(err, -EINVAL, "unknown '%s' (cid=N; a comma in a name is written twice)", field);
        int r = parse_cid(field + 4, &o->vm.vsock.cid, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int set_option(struct run_options *o, enum option_id id, const char *value, struct error *err)
{
    switch (id) {
    case OPT_ARCH: o->vm.arch = value; break;
    case OPT_ENGINE: o->vm.engine = value; break;
    case OPT_CPU: o->vm.cpu_model = value; break;
    case OPT_CPUS: return parse_cpus(value, &o->vm.cpus, err);
    case OPT_MEMORY: return parse_memory(value, &o->vm.memory, err);
    case OPT_CODE_CACHE: return parse_code_cache(value, &o->vm.code_cache, err);
    case OPT_FIRMWARE: o->vm.firmware = value; break;
    case OPT_KERNEL: o->vm.kernel = value; break;
    case OPT_INITRD: o->vm.initrd = value; break;
    case OPT_DTB: o->vm.dtb = value; break;
    case OPT_APPEND: o->append = value; break;
    case OPT_DISK: return parse_disk(value, o, err);
    case OPT_NET: return netdev_config_parse(value, &o->vm.net, err);
    case OPT_SHARE: return parse_share(value, o, err);
    case OPT_SERIAL: return parse_serial(value, &o->serial, err);
    case OPT_CONSOLE: return parse_serial(value, &o->console, err);
    case OPT_BALLOON: return parse_balloon(value, &o->vm, err);
    case OPT_VSOCK: return parse_vsock(value, o, err);
    case OPT_BUS: return parse_bus(value, &o->vm.bus, err);
    case OPT_SANDBOX: return parse_sandbox(value, &o->sandbox, err);
    case OPT_NAME: o->name = value; return machine_name_check(value, err);
    case OPT_TIMEOUT: return parse_timeout(value, &o->timeout, err);
    case OPT_STATS: o->vm.stats = true; break;
    case OPT_TRACE_CODE: o->vm.trace_code = value ? value : "doppel-code"; break;
    case OPT_REBOOT: o->vm.reboot = true; break;
    case OPT_DEBUG: log_set_level(LOG_LEVEL_DEBUG); break;
    case OPT_HELP: o->help = true; break;
    }
    return 0;
}

/* The row that arg ("--name" or "--name=value") names, and its value if it is there. */
static const struct option_row *find_row(const char *arg, const char **ret_value)
{
    size_t len = strcspn(arg, "=");
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
        if (strlen(rows[i].name) == len && strncmp(rows[i].name, arg, len) == 0) {
            *ret_value = arg[len] ? arg + len + 1 : NULL;
            return &rows[i];
        }
    if (strcmp(arg, "-h") == 0) {
        *ret_value = NULL;
        return &rows[ARRAY_SIZE(rows) - 1];
    }
    return NULL;
}

/* Takes one option at argv[*at], moving on behind its value. */
static int parse_one(struct run_options *o, int argc, char **argv, int *at, struct error *err)
{
    const char *value;
    const struct option_row *row = find_row(argv[*at], &value);
    if (!row)
        return argv[*at][0] == '-' ? error_set(err, -EINVAL, "unknown option '%s'", argv[*at])
                                   : error_set(err, -EINVAL, "unexpected '%s': a command goes behind --", argv[*at]);
    if (!row->value && value)
        return error_set(err, -EINVAL, "%s takes no value", row->name);
    if (row->value && row->value[0] != '[' && !value) {
        if (*at + 1 >= argc)
            return error_set(err, -EINVAL, "%s needs a value (%s)", row->name, row->value);
        value = argv[++*at];
    }
    int r = set_option(o, row->id, value, err);
    return r < 0 ? error_prefix(err, "%s", row->name) : 0;
}

void run_options_done(struct run_options *o)
{
    free(o->vsock_text);
    o->vsock_text = NULL;
    for (unsigned i = 0; i < VM_DISKS_MAX; i++)
        free(o->disk_text[i]);
    memset(o->disk_text, 0, sizeof(o->disk_text));
    for (unsigned i = 0; i < VM_SHARES_MAX; i++) {
        free(o->share_text[i]);
        free(o->share_tag[i]);
    }
    memset(o->share_text, 0, sizeof(o->share_text));
    memset(o->share_tag, 0, sizeof(o->share_tag));
}

/* Who has stdin and stdout. */
static int check_terminals(struct run_options *o, struct error *err)
{
    if (o->console && strcmp(o->console, "none") == 0)
        o->console = NULL;
    const bool console = o->console && strcmp(o->console, "stdio") == 0;
    if (!o->serial)
        o->serial = o->command || console ? "none" : "stdio";
    const bool serial = strcmp(o->serial, "stdio") == 0;
    if (o->command && (serial || console))
        return error_set(err, -EINVAL, "--%s: stdin and stdout are the command's (use a file, pty, unix:PATH or none)",
                         serial ? "serial" : "console");
    if (serial && console)
        return error_set(err, -EINVAL,
                         "--console: stdin and stdout are the serial console's (use --serial none, or another one)");
    return 0;
}

static int parse_all(int argc, char **argv, struct run_options *o, struct error *err)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            if (i + 1 == argc)
                return error_set(err, -EINVAL, "no command behind --");
            o->command = argv + i + 1;
            break;
        }
        int r = parse_one(o, argc, argv, &i, err);
        if (r < 0)
            return r;
    }
    if (o->command && o->vm.reboot)
        return error_set(err, -EINVAL, "--reboot makes no sense with a command, which runs once");
    return check_terminals(o, err);
}

int run_options_parse(int argc, char **argv, struct run_options *ret_options, struct error *err)
{
    struct run_options o = {
        .vm = { .arch = "x86-64", .engine = "auto", .cpus = 1, .memory = MEMORY_DEFAULT },
    };
    int r = parse_all(argc, argv, &o, err);
    if (r < 0) {
        run_options_done(&o);
        return r;
    }
    *ret_options = o;
    return 0;
}
