/* SPDX-License-Identifier: MIT */
/*
 * A whole machine: construction from a vm_config, the threads, the end and the restart.
 *
 * The control thread owns everything here. The reason for an end lives in the vm; `quit` besides it makes an end from
 * outside survive a restart that is already under way. `life` keeps pausing, which the I/O thread does, apart from starting and
 * stopping vCPUs; it comes before the machine's lock. Saving and loading: machine_state.c.
 */
#include "machine/machine.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/loop.h"
#include "core/vcpu.h"
#include "machine/console.h"
#include "machine/machine_state.h"
#include "machine/registry.h"

struct machine {
    struct vm_config config;
    struct machine_ports ports;
    const struct registry_arch *arch; /* borrowed (static) */
    const struct engine_ops *engine;  /* borrowed (static) */
    char engine_why[400];
    struct vm vm;
    bool vm_made;
    void *board; /* owned */
    pthread_t io_thread;
    bool io_started;
    pthread_mutex_t life; /* guards the vCPU threads' being started, paused and stopped, and `paused` */
    bool paused;
    _Atomic int quit; /* enum vm_end: set by machine_quit before vm_request_end, read by restart after it cleared vm.end */
};

/* As qemu's are: it is a word on another program's command line. */
static bool format_name(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return len > 0 && name[len] == '\0';
}

static int check_disks(const struct vm_config *config, struct error *err)
{
    if (config->nr_disks > VM_DISKS_MAX)
        return error_set(err, -EINVAL, "%u disks: at most %d are possible", config->nr_disks, VM_DISKS_MAX);
    for (unsigned i = 0; i < config->nr_disks; i++) {
        const struct disk_config *d = &config->disk[i];
        if (!d->path || !d->path[0] || (d->overlay_path && !d->overlay_path[0]))
            return error_set(err, -EINVAL, "disk %u: a file has no name", i + 1);
        if (d->format && !format_name(d->format))
            return error_set(err, -EINVAL, "disk '%s': '%s' is no format (raw, qcow2, or another one of qemu-nbd's)", d->path,
                             d->format);
        if (d->read_only && d->overlay)
            return error_set(err, -EINVAL, "disk '%s': ro and overlay exclude each other (with an overlay the file is only read)",
                             d->path);
        if (d->overlay_path && strcmp(d->overlay_path, d->path) == 0)
            return error_set(err, -EINVAL, "disk '%s': it cannot be its own overlay", d->path);
    }
    return 0;
}

static int check_shares(const struct vm_config *config, struct error *err)
{
    if (config->nr_shares > VM_SHARES_MAX)
        return error_set(err, -EINVAL, "%u shares: at most %d are possible", config->nr_shares, VM_SHARES_MAX);
    for (unsigned i = 0; i < config->nr_shares; i++) {
        const struct share_config *s = &config->share[i];
        if (!s->path || !s->path[0])
            return error_set(err, -EINVAL, "share %u: the folder has no name", i + 1);
        if (!s->tag || !s->tag[0] || strlen(s->tag) > VM_TAG_MAX)
            return error_set(err, -EINVAL, "share '%s': tag '%s' has not 1 to %d bytes", s->path, s->tag ? s->tag : "",
                             VM_TAG_MAX);
        for (unsigned j = 0; j < i; j++)
            if (strcmp(config->share[j].tag, s->tag) == 0)
                return error_set(err, -EINVAL, "share '%s': tag '%s' is the one of share '%s', too", s->path, s->tag,
                                 config->share[j].path);
    }
    return 0;
}

static int check_balloon_and_vsock(const struct vm_config *config, struct error *err)
{
    if (config->balloon_keep > config->memory)
        return error_set(err, -EINVAL, "a balloon that leaves %" PRIu64 " MiB: the guest has %" PRIu64,
                         config->balloon_keep >> 20, config->memory >> 20);
    if (config->balloon_keep && config->balloon_keep < MACHINE_MEMORY_MIN)
        return error_set(err, -EINVAL, "a balloon that leaves %" PRIu64 " KiB: at least %d MiB are needed",
                         config->balloon_keep >> 10, MACHINE_MEMORY_MIN >> 20);
    if (config->vsock.path && (config->vsock.cid < VM_CID_MIN || config->vsock.cid > VM_CID_MAX))
        return error_set(err, -EINVAL, "vsock: CID %" PRIu32 ": %d to %u are possible", config->vsock.cid, VM_CID_MIN,
                         VM_CID_MAX);
    return 0;
}

int vm_config_check(const struct vm_config *config, struct error *err)
{
    const struct registry_arch *arch;
    int r = registry_find_arch(config->arch, &arch, err);
    if (r == 0)
        r = registry_check_engine(arch, config->engine, err);
    if (r == 0)
        r = arch->board->check(config, err);
    if (r < 0)
        return r;
    if (config->cpus < 1 || config->cpus > VM_MAX_VCPUS)
        return error_set(err, -EINVAL, "%u CPUs: 1 to %d are possible", config->cpus, VM_MAX_VCPUS);
    if (config->memory < MACHINE_MEMORY_MIN || config->memory % GPAGE_SIZE)
        return error_set(err, -EINVAL, "memory of %" PRIu64 " bytes: at least %d MiB in pages of %lu bytes are needed",
                         config->memory, MACHINE_MEMORY_MIN >> 20, GPAGE_SIZE);
    if (config->code_cache && config->code_cache / config->cpus < VM_CODE_CACHE_MIN)
        return error_set(err, -EINVAL, "a code cache of %" PRIu64 " KiB: at least %d KiB for each of %u CPUs are needed",
                         config->code_cache >> 10, VM_CODE_CACHE_MIN >> 10, config->cpus);
    if (config->code_cache / config->cpus > VM_CODE_CACHE_MAX)
        return error_set(err, -EINVAL, "a code cache of %" PRIu64 " MiB: at most %d MiB for each of %u CPUs are possible",
                         config->code_cache >> 20, VM_CODE_CACHE_MAX >> 20, config->cpus);
    r = check_disks(config, err);
    if (r == 0)
        r = check_shares(config, err);
    return r < 0 ? r : check_balloon_and_vsock(config, err);
}

static uint64_t code_cache_of(const struct vm_config *config)
{
    return config->code_cache ? config->code_cache : VM_CODE_CACHE_DEFAULT + (uint64_t)VM_CODE_CACHE_MORE * (config->cpus - 1);
}

int machine_new(const struct vm_config *config, const struct machine_ports *ports, struct machine **ret_machine,
                struct error *err)
{
    int r = vm_config_check(config, err);
    if (r == 0 && !config->kernel && !config->firmware)
        r = error_set(err, -EINVAL, "no kernel was named");
    if (r < 0)
        return r;
    struct machine *m = calloc(1, sizeof(*m));
    if (!m)
        return error_set(err, -ENOMEM, "out of memory for a machine");
    (void)pthread_mutex_init(&m->life, NULL); /* default attributes: cannot fail on Linux */
    m->config = *config;
    m->ports = *ports;
    r = registry_find_arch(config->arch, &m->arch, err);
    if (r == 0)
        r = registry_pick_engine(m->arch, config->engine, &m->engine, m->engine_why, sizeof(m->engine_why), err);
    if (r == 0 && config->trace_code && !m->engine->translates)
        r = error_set(err, -EINVAL, "--trace-code: engine %s makes no code that could be traced (use --engine bt)",
                      m->engine->name);
    if (r == 0)
        r = vm_init(&m->vm, ports->loop, err);
    m->vm_made = r == 0;
    m->vm.stats = config->stats;
    m->vm.trace_code = config->trace_code;
    if (r == 0)
        m->vm.code_cache = code_cache_of(config) / config->cpus;
    if (r == 0)
        r = m->arch->board->new (&m->config, &m->ports, m->engine, &m->vm, &m->board, err);
    if (r == 0)
        r = m->arch->board->power_on(m->board, err);
    if (r < 0) {
        machine_free(m);
        return r;
    }
    *ret_machine = m;
    return 0;
}

static void life_lock(struct machine *m)
{
    (void)pthread_mutex_lock(&m->life); /* a plain mutex never fails */
}

static void life_unlock(struct machine *m)
{
    (void)pthread_mutex_unlock(&m->life);
}

static void stop_vcpus(struct machine *m)
{
    life_lock(m);
    vm_stop_vcpus(&m->vm);
    life_unlock(m);
}

static void stop_threads(struct machine *m)
{
    stop_vcpus(m);
    if (!m->io_started)
        return;
    loop_quit(m->ports.loop);
    (void)pthread_join(m->io_thread, NULL); /* ours and joinable: cannot fail */
    m->io_started = false;
}

void machine_free(struct machine *m)
{
    if (!m)
        return;
    if (m->vm_made) {
        stop_threads(m);
        for (unsigned i = 0; i < m->vm.nr_vcpus; i++)
            vcpu_free(m->vm.vcpu[i]);
        m->vm.nr_vcpus = 0;
        m->arch->board->free(m->board);
        vm_done(&m->vm);
    }
    (void)pthread_mutex_destroy(&m->life);
    free(m);
}

struct vm *machine_vm(struct machine *m)
{
    return &m->vm;
}

const char *machine_engine(const struct machine *m, const char **ret_why)
{
    *ret_why = m->engine_why;
    return m->engine->name;
}

static void *io_thread(void *loop)
{
    loop_run(loop);
    return NULL;
}

int machine_start(struct machine *m, struct error *err)
{
    if (!m->io_started) {
        int r = vm_thread_start(&m->io_thread, io_thread, m->ports.loop, err);
        if (r < 0)
            return r;
        m->io_started = true;
    }
    life_lock(m);
    int r = vm_start_vcpus(&m->vm, err);
    if (r == 0 && m->paused)
        vm_pause(&m->vm);
    life_unlock(m);
    return r;
}

/* The guest asked for a reset: was it a kernel that panicked? Every vCPU stands. */
static void refine_end(struct machine *m)
{
    vm_lock(&m->vm);
    bool panic = console_saw_panic(m->ports.serial[0]);
    vm_unlock(&m->vm);
    (void)pthread_mutex_lock(&m->vm.end_lock);
    if (panic && (m->vm.end == VM_END_RESET || m->vm.end == VM_END_SHUTDOWN)) {
        m->vm.end = VM_END_PANIC;
        (void)snprintf(m->vm.end_why, sizeof(m->vm.end_why), "the guest's kernel panicked");
    }
    (void)pthread_mutex_unlock(&m->vm.end_lock);
}

/* Powers the machine on again after a reset. */
static int restart(struct machine *m, struct error *err)
{
    (void)pthread_mutex_lock(&m->vm.end_lock);
    m->vm.end = VM_END_NONE;
    m->vm.end_why[0] = '\0';
    (void)pthread_mutex_unlock(&m->vm.end_lock);
    if (m->quit != VM_END_NONE) { /* it asked while the old end was still set */
        vm_request_end(&m->vm, (enum vm_end)m->quit, 0, "stopped during a restart");
        return 0;
    }
    vm_lock(&m->vm);
    if (m->ports.serial[0])
        console_forget(m->ports.serial[0]);
    int r = m->arch->board->power_on(m->board, err);
    vm_unlock(&m->vm);
    return r < 0 ? error_prefix(err, "restart") : machine_start(m, err);
}

/* An engine would like the memory to be shared. It gets on without. */
static void share_memory(struct machine *m)
{
    unsigned nr;
    const struct board_chip *chips = m->arch->board->chips(m->board, &nr);
    struct error err;
    life_lock(m);
    if (!m->paused)
        vm_pause(&m->vm);
    if (machine_state_share(&m->vm, chips, nr, &err) < 0)
        log_warn("%s; programs run slower so", err.msg);
    if (!m->paused)
        vm_resume(&m->vm);
    life_unlock(m);
}

int machine_finish(struct machine *m, struct error *err)
{
    int r = 0;
    for (;;) {
        enum vm_end end = vm_wait_end(&m->vm);
        if (end == VM_END_NONE) {
            share_memory(m);
            continue;
        }
        stop_vcpus(m);
        refine_end(m);
        if (end != VM_END_RESET || m->vm.end != VM_END_RESET || !m->config.reboot)
            break;
        r = restart(m, err);
        if (r < 0)
            break;
    }
    stop_threads(m);
    return r;
}

int machine_run(struct machine *m, struct error *err)
{
    int r = machine_start(m, err);
    if (r < 0) {
        stop_threads(m);
        return r;
    }
    return machine_finish(m, err);
}

void machine_quit(struct machine *m, enum vm_end end, const char *why)
{
    m->quit = (int)end;
    vm_request_end(&m->vm, end, 0, "%s", why);
}

void machine_pause(struct machine *m)
{
    life_lock(m);
    m->paused = true;
    vm_pause(&m->vm);
    life_unlock(m);
}

void machine_resume(struct machine *m)
{
    life_lock(m);
    m->paused = false;
    vm_resume(&m->vm);
    life_unlock(m);
}

bool machine_is_paused(struct machine *m)
{
    life_lock(m);
    bool paused = m->paused;
    life_unlock(m);
    return paused;
}

bool machine_is_ending(struct machine *m)
{
    (void)pthread_mutex_lock(&m->vm.end_lock);
    bool ending = m->vm.end != VM_END_NONE && !(m->vm.end == VM_END_RESET && m->config.reboot);
    (void)pthread_mutex_unlock(&m->vm.end_lock);
    return ending;
}

int machine_power_button(struct machine *m)
{
    if (!m->arch->board->power_button)
        return -ENOTSUP;
    vm_lock(&m->vm);
    bool heard = m->arch->board->power_button(m->board);
    vm_unlock(&m->vm);
    return heard ? 0 : -EAGAIN;
}

void machine_console_size(struct machine *m, unsigned cols, unsigned rows)
{
    vm_lock(&m->vm);
    if (m->arch->board->console_size)
        (void)m->arch->board->console_size(m->board, cols, rows); /* no console: nobody to tell */
    vm_unlock(&m->vm);
}

int machine_set_balloon(struct machine *m, uint64_t keep)
{
    vm_lock(&m->vm);
    bool done = m->arch->board->set_balloon && m->arch->board->set_balloon(m->board, keep);
    vm_unlock(&m->vm);
    return done ? 0 : -ENOTSUP;
}

int machine_get_balloon(struct machine *m, struct machine_balloon *ret_balloon)
{
    vm_lock(&m->vm);
    bool done = m->arch->board->get_balloon && m->arch->board->get_balloon(m->board, ret_balloon);
    vm_unlock(&m->vm);
    return done ? 0 : -ENOTSUP;
}

size_t machine_stats(struct machine *m, char *text, size_t cap)
{
    size_t at = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < m->vm.nr_vcpus && at < cap; i++) {
        struct vcpu *vcpu = m->vm.vcpu[i];
        int n = snprintf(text + at, cap - at, "cpu %u\nhalts %" PRIu64 "\n", i, vcpu->halts);
        at += n > 0 ? (size_t)n : 0;
        if (at < cap && m->engine->stats)
            at += m->engine->stats(vcpu, text + at, cap - at);
    }
    return at < cap ? at : cap - 1;
}

int machine_save(struct machine *m, struct state_buf *buf)
{
    unsigned nr;
    const struct board_chip *chips = m->arch->board->chips(m->board, &nr);
    return machine_state_save(&m->vm, chips, nr, buf);
}

int machine_load(struct machine *m, struct state_buf *buf, struct error *err)
{
    unsigned nr;
    const struct board_chip *chips = m->arch->board->chips(m->board, &nr);
    int r = machine_state_load(&m->vm, chips, nr, buf, err);
    return r < 0 ? error_prefix(err, "saved machine") : 0;
}
