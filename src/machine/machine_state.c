/* SPDX-License-Identifier: MIT */
/*
 * A machine's state as bytes, in the one form of core/state_desc.
 *
 * Time comes before the chips, because their post_load arms timers by it. Interrupt polls are not state (a loaded vCPU
 * polls anyway); NMI, INIT, start-up and unhalt requests are, since nothing else remembers them.
 */
#include "machine/machine_state.h"

#include <errno.h>
#include <string.h>

#include "core/vcpu.h"

enum { REQUESTS_SAVED = VCPU_REQ_NMI | VCPU_REQ_INIT | VCPU_REQ_SIPI | VCPU_REQ_UNHALT };
#define PAGE_NONE UINT64_MAX

struct header {
    uint32_t nr_cpus, nr_chips;
    uint64_t ram_size;
    uint64_t now; /* guest ns */
    uint64_t tsc;
};

static const struct state_field header_fields[] = {
    STATE_U32(struct header, nr_cpus), STATE_U32(struct header, nr_chips), STATE_U64(struct header, ram_size),
    STATE_U64(struct header, now),     STATE_U64(struct header, tsc),      STATE_END,
};
static const struct state_desc header_desc = { .name = "doppel machine", .version = 1, .fields = header_fields };

struct cpu_life {
    uint32_t requests;
    uint8_t sipi_vector;
};

static const struct state_field cpu_fields[] = {
    STATE_U32(struct cpu_life, requests),
    STATE_U8(struct cpu_life, sipi_vector),
    STATE_END,
};
static const struct state_desc cpu_desc = { .name = "vcpu", .version = 1, .fields = cpu_fields };

struct page {
    uint64_t index; /* in the RAM mapping; PAGE_NONE after the last */
    uint8_t data[GPAGE_SIZE];
};

static const struct state_field page_fields[] = {
    STATE_U64(struct page, index),
    STATE_BYTES(struct page, data),
    STATE_END,
};
static const struct state_desc page_desc = { .name = "page", .version = 1, .fields = page_fields };

static bool all_zero(const uint8_t *p)
{
    return p[0] == 0 && memcmp(p, p + 1, GPAGE_SIZE - 1) == 0;
}

static int save_memory(struct gmem *gm, struct state_buf *buf)
{
    struct page page;
    for (uint64_t i = 0; i < gm->size >> GPAGE_SHIFT; i++) {
        const uint8_t *host = gm->host + (i << GPAGE_SHIFT);
        if (all_zero(host))
            continue;
        page.index = i;
        memcpy(page.data, host, GPAGE_SIZE);
        int r = state_save(&page_desc, &page, buf);
        if (r < 0)
            return r;
    }
    page = (struct page){ .index = PAGE_NONE };
    return state_save(&page_desc, &page, buf);
}

static int load_memory(struct gmem *gm, struct state_buf *buf, struct error *err)
{
    struct page page;
    gmem_reset(gm);
    for (;;) {
        int r = state_load(&page_desc, &page, buf, err);
        if (r < 0)
            return r;
        if (page.index == PAGE_NONE)
            return 0;
        if (page.index >= gm->size >> GPAGE_SHIFT)
            return error_set(err, -EINVAL, "page %llu lies outside of memory", (unsigned long long)page.index);
        memcpy(gm->host + (page.index << GPAGE_SHIFT), page.data, GPAGE_SIZE); /* no code marks after the reset */
    }
}

static int save_cpu(struct vcpu *vcpu, struct state_buf *buf)
{
    struct cpu_life life = { .requests = vcpu_requests(vcpu) & REQUESTS_SAVED, .sipi_vector = vcpu->sipi_vector };
    int r = state_save(&cpu_desc, &life, buf);
    return r == 0 ? state_save(vcpu->isa->state, vcpu->cpu, buf) : r;
}

static int load_cpu(struct vcpu *vcpu, struct state_buf *buf, struct error *err)
{
    struct cpu_life life;
    int r = state_load(&cpu_desc, &life, buf, err);
    if (r == 0)
        r = state_load(vcpu->isa->state, vcpu->cpu, buf, err);
    if (r < 0)
        return r;
    vcpu->sipi_vector = life.sipi_vector;
    (void)vcpu_take(vcpu, REQUESTS_SAVED); /* what the old life had */
    vcpu_request(vcpu, (life.requests & REQUESTS_SAVED) | VCPU_REQ_IRQ | VCPU_REQ_FLUSH);
    vcpu->engine->state_changed(vcpu);
    return 0;
}

int machine_state_save(struct vm *vm, const struct board_chip *chips, unsigned nr_chips, struct state_buf *buf)
{
    struct header header = {
        .nr_cpus = vm->nr_vcpus,
        .nr_chips = nr_chips,
        .ram_size = vm->gmem.size,
        .now = (uint64_t)vm_clock_now(&vm->clock),
        .tsc = vm_clock_tsc(&vm->clock),
    };
    vm_lock(vm);
    int r = state_save(&header_desc, &header, buf);
    for (unsigned i = 0; i < vm->nr_vcpus && r == 0; i++)
        r = save_cpu(vm->vcpu[i], buf);
    for (unsigned i = 0; i < nr_chips && r == 0; i++)
        r = state_save(chips[i].class->state, chips[i].dev, buf);
    if (r == 0)
        r = save_memory(&vm->gmem, buf);
    vm_unlock(vm);
    return r;
}

int machine_state_share(struct vm *vm, const struct board_chip *chips, unsigned nr_chips, struct error *err)
{
    int r = 0;
    vm_lock(vm);
    for (unsigned i = 0; i < nr_chips && r == 0; i++) { /* after a save nothing touches memory any more */
        struct state_buf buf = { 0 };
        r = state_save(chips[i].class->state, chips[i].dev, &buf);
        state_buf_done(&buf);
    }
    r = r < 0 ? error_set(err, r, "out of memory") : gmem_share(&vm->gmem, err);
    vm_unlock(vm);
    return r;
}

static int load_parts(struct vm *vm, const struct board_chip *chips, unsigned nr_chips, struct state_buf *buf, struct error *err)
{
    struct header h;
    int r = state_load(&header_desc, &h, buf, err);
    if (r < 0)
        return r;
    if (h.nr_cpus != vm->nr_vcpus || h.nr_chips != nr_chips || h.ram_size != vm->gmem.size)
        return error_set(err, -EINVAL, "it has %u CPUs, %u chips and %llu bytes of memory, this machine %u, %u and %llu",
                         h.nr_cpus, h.nr_chips, (unsigned long long)h.ram_size, vm->nr_vcpus, nr_chips,
                         (unsigned long long)vm->gmem.size);
    if (h.now >= (uint64_t)VM_TIME_NEVER / 2)
        return error_set(err, -EINVAL, "its time is beyond all measure");
    vm_clock_set(&vm->clock, (ns_t)h.now, h.tsc);
    for (unsigned i = 0; i < vm->nr_vcpus; i++) {
        r = load_cpu(vm->vcpu[i], buf, err);
        if (r < 0)
            return r;
    }
    for (unsigned i = 0; i < nr_chips; i++) {
        r = state_load(chips[i].class->state, chips[i].dev, buf, err);
        if (r < 0)
            return r;
    }
    return load_memory(&vm->gmem, buf, err);
}

int machine_state_load(struct vm *vm, const struct board_chip *chips, unsigned nr_chips, struct state_buf *buf, struct error *err)
{
    vm_lock(vm);
    int r = load_parts(vm, chips, nr_chips, buf, err);
    vm_unlock(vm);
    return r;
}
