/* SPDX-License-Identifier: MIT */
/*
 * Runs bare riscv64 ELF programs that report by HTIF's tohost word, as riscv-tests do: "pass", or the number of the failed test.
 *
 * usage: riscv_htif [--cpu MODEL] [--bt|--both] [--signature FILE] ELF ...     one line a program; exit status 1 when one fails
 *        riscv_htif [--cpu MODEL] --isa                                         the hart's ISA string
 *   --bt: engine bt, which translates all; --both: compares the states that it and interp come to
 *   --signature: what the one ELF leaves between its symbols begin_signature and end_signature goes to FILE, four bytes a line in
 *     hexadecimal, as riscv-arch-test has it
 *
 * The machine is a hart in M-mode with 16 MiB at 0x80000000 and nothing else. A program that says nothing within 50 million
 * instructions has failed. Not part of `make test`: the programs come from elsewhere (docs/riscv.md says how to get them).
 */
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/bt/bt.h"
#include "engine/bt/bt_riscv.h"
#include "isa/riscv/profile.h"
#include "isa/riscv/trap.h"
#include "support/bare_riscv.h"

enum { SLICE = 5000, INSNS_MAX = 50000000 };

struct program {
    uint8_t *data;
    size_t len;
    uint64_t entry, tohost;
};

struct options {
    bool bt, both, isa;
    struct riscv_profile profile;
    const char *signature; /* borrowed (argv); NULL: none */
};

static int read_file(const char *path, struct program *p)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return -1;
    (void)fseek(f, 0, SEEK_END);
    long len = ftell(f);
    rewind(f);
    p->data = len > 0 ? malloc((size_t)len) : NULL;
    p->len = p->data ? fread(p->data, 1, (size_t)len, f) : 0;
    (void)fclose(f);
    return p->len >= sizeof(Elf64_Ehdr) ? 0 : -1;
}

/* Our own builds, not hostile: offsets are only checked where it is cheap. */
static uint64_t find_symbol(const struct program *p, const char *name)
{
    const Elf64_Ehdr *h = (const Elf64_Ehdr *)p->data;
    const Elf64_Shdr *s = (const Elf64_Shdr *)(p->data + h->e_shoff);
    for (unsigned k = 0; k < h->e_shnum; k++) {
        if (s[k].sh_type != SHT_SYMTAB)
            continue;
        const Elf64_Sym *sym = (const Elf64_Sym *)(p->data + s[k].sh_offset);
        const char *text = (const char *)p->data + s[s[k].sh_link].sh_offset;
        for (uint64_t n = 0; n < s[k].sh_size / sizeof(*sym); n++)
            if (strcmp(text + sym[n].st_name, name) == 0)
                return sym[n].st_value;
    }
    return 0;
}

static int load(struct bare_riscv *b, struct program *p)
{
    const Elf64_Ehdr *h = (const Elf64_Ehdr *)p->data;
    if (memcmp(h->e_ident, ELFMAG, SELFMAG) != 0 || h->e_machine != EM_RISCV || h->e_ident[EI_CLASS] != ELFCLASS64)
        return -1;
    const Elf64_Phdr *ph = (const Elf64_Phdr *)(p->data + h->e_phoff);
    for (unsigned k = 0; k < h->e_phnum; k++)
        if (ph[k].p_type == PT_LOAD && gmem_write(&b->vm.gmem, ph[k].p_paddr, p->data + ph[k].p_offset, ph[k].p_filesz) < 0)
            return -1;
    p->entry = h->e_entry;
    p->tohost = find_symbol(p, "tohost");
    return p->tohost ? 0 : -1;
}

/* Runs until tohost says the end; returns it, or 0 for none in time. Device 1, command 1 writes a character. */
static uint64_t run(struct bare_riscv *b, const struct program *p)
{
    b->c->pc = p->entry;
    for (unsigned long n = 0; n < INSNS_MAX; n += SLICE) {
        if (b->vcpu->engine == &bt_engine_ops)
            (void)bt_riscv_run(b->vcpu->engine_cpu, b->c, SLICE / 8);
        else
            (void)riscv_run(b->vcpu->engine_cpu, b->c, SLICE); /* ends by count; sleep leaves us to try again */
        vm_clock_advance(&b->vm.clock, SLICE);
        uint64_t v = rv_peek(b, p->tohost, 8);
        if (v & 1)
            return v;
        if (v >> 56 == 1)
            (void)fputc((int)(v & 0xff), stderr);
        if (v)
            rv_poke(b, p->tohost, 0, 8);
    }
    return 0;
}

/* The interpreter's next instruction, or the interrupt before it. */
static void step(struct bare_riscv *a)
{
    enum vcpu_exit exit;
    bool due = riscv_pending_interrupt(a->c) != 0;
    if (!riscv_run_boundary(a->vcpu->engine_cpu, a->c, &exit) && !due)
        riscv_run_step(a->vcpu->engine_cpu, a->c);
}

/* Both engines, the interpreter after each turn of the other: false, and said where, when their states differ. */
static bool in_step(const char *path, const struct options *o)
{
    struct program p = { 0 };
    struct bare_riscv a, b;
    struct error err = { 0 };
    const struct riscv_config config = { .profile = &o->profile };
    bool same = bare_riscv_init_with(&b, &bt_engine_ops, &config, &err) == 0 && bare_riscv_init(&a, &config, &err) == 0
                && read_file(path, &p) == 0 && load(&a, &p) == 0 && load(&b, &p) == 0;
    bt_riscv_set_eager(b.vcpu->engine_cpu);
    a.c->pc = b.c->pc = p.entry;
    for (unsigned long n = 0; same && n < 100000 && !rv_peek(&b, p.tohost, 8); n++) {
        uint64_t from = b.c->pc;
        (void)bt_riscv_run(b.vcpu->engine_cpu, b.c, 1);
        while (a.c->insns < b.c->insns)
            step(&a);
        for (unsigned k = 0; k < 4 && a.c->pc != b.c->pc; k++) /* a trap retires nothing */
            step(&a);
        if (a.c->pc == b.c->pc && a.c->insns == b.c->insns && a.c->fflags != b.c->fflags && !(a.c->fflags & ~b.c->fflags))
            continue; /* an instruction that goes to the interpreter may have raised its flags already */
        for (unsigned k = 0; k < 32; k++)
            if (a.c->x[k] != b.c->x[k] || a.c->f[k] != b.c->f[k]) {
                same = false;
                (void)printf("%s: from %lx: x%u %lx %lx, f %lx %lx\n", path, from, k, a.c->x[k], b.c->x[k], a.c->f[k], b.c->f[k]);
            }
        if (a.c->pc != b.c->pc || a.c->insns != b.c->insns || a.c->fflags != b.c->fflags || a.c->mstatus != b.c->mstatus) {
            same = false;
            (void)printf("%s: from %lx: pc %lx %lx, insns %lu %lu, fflags %x %x, mstatus %lx %lx\n", path, from, a.c->pc, b.c->pc,
                         a.c->insns, b.c->insns, a.c->fflags, b.c->fflags, a.c->mstatus, b.c->mstatus);
        }
    }
    free(p.data);
    bare_riscv_done(&a);
    bare_riscv_done(&b);
    return same;
}

/* 0, or -1 after a message. */
static int write_signature(struct bare_riscv *b, const struct program *p, const char *path)
{
    uint64_t at = find_symbol(p, "begin_signature"), end = find_symbol(p, "end_signature");
    FILE *f = fopen(path, "w");
    for (; f && at < end; at += 4)
        (void)fprintf(f, "%08x\n", (unsigned)rv_peek(b, at, 4));
    if (!f || ferror(f) | fclose(f)) {
        (void)fprintf(stderr, "riscv_htif: %s: cannot be written\n", path);
        return -1;
    }
    return 0;
}

static bool run_program(const char *path, const struct options *o)
{
    bool bt = o->bt;
    struct program p = { 0 };
    struct bare_riscv b;
    struct error err = { 0 };
    uint64_t end = 0;
    const struct riscv_config config = { .profile = &o->profile };
    bool loaded = bare_riscv_init_with(&b, bt ? &bt_engine_ops : &interp_engine_ops, &config, &err) == 0
                  && read_file(path, &p) == 0 && load(&b, &p) == 0;
    if (loaded && bt)
        bt_riscv_set_eager(b.vcpu->engine_cpu);
    if (loaded)
        end = run(&b, &p);
    if (end == 1 && o->signature && write_signature(&b, &p, o->signature) < 0)
        end = 0;
    if (end == 1)
        (void)printf("pass %s\n", path);
    else if (!loaded)
        (void)printf("FAIL %s: cannot be loaded\n", path);
    else if (end)
        (void)printf("FAIL %s: test %lu\n", path, end >> 1);
    else
        (void)printf("FAIL %s: no end; pc %lx mcause %lx mtval %lx mepc %lx priv %u\n", path, b.c->pc, b.c->mcause, b.c->mtval,
                     b.c->mepc, b.c->priv);
    free(p.data);
    bare_riscv_done(&b);
    return end == 1;
}

/* The index of the first program, or -1. */
static int parse(int argc, char **argv, struct options *o, struct error *err)
{
    int k = 1, r = 0;
    for (; r == 0 && k < argc && strncmp(argv[k], "--", 2) == 0; k++) {
        bool more = k + 1 < argc;
        if (strcmp(argv[k], "--bt") == 0)
            o->bt = true;
        else if (strcmp(argv[k], "--both") == 0)
            o->both = true;
        else if (strcmp(argv[k], "--isa") == 0)
            o->isa = true;
        else if (strcmp(argv[k], "--signature") == 0 && more)
            o->signature = argv[++k];
        else if (strcmp(argv[k], "--cpu") == 0 && more)
            r = riscv_profile_make(argv[++k], &o->profile, err);
        else
            r = error_set(err, -EINVAL, "what is '%s'?", argv[k]);
    }
    if (r == 0 && (k == argc) != o->isa)
        r = error_set(err, -EINVAL, o->isa ? "--isa runs no program" : "no program");
    if (r == 0 && o->signature && (o->both || argc - k > 1))
        r = error_set(err, -EINVAL, "--signature is for one program, run once");
    return r < 0 ? -1 : k;
}

int main(int argc, char **argv)
{
    struct options o = { .profile = *riscv_profile_default() };
    struct error err = { 0 };
    int passed = 0, first = parse(argc, argv, &o, &err);
    if (first < 0) {
        (void)fprintf(stderr, "riscv_htif: %s (its source says what there is)\n", err.msg);
        return 2;
    }
    if (o.isa) {
        char text[256];
        (void)riscv_profile_isa(&o.profile, text, sizeof(text));
        (void)puts(text);
        return 0;
    }
    for (int k = first; k < argc; k++)
        passed += o.both ? in_step(argv[k], &o) : run_program(argv[k], &o);
    (void)printf("%d of %d passed\n", passed, argc - first);
    return passed == argc - first ? 0 : 1;
}
