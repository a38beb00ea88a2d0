/* SPDX-License-Identifier: MIT */
/*
 * /dev/kvm: opening it, asking what it can do, and a machine's memory.
 *
 * Spec: Linux Documentation/virt/kvm/api.rst 4.1-4.3, 4.35, 4.97, 7.35
 */
#include "engine/kvm/kvm_vm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "engine/kvm/kvm_model.h"

enum { CPUID_ENTRIES_MAX = 1024, MSRS_MAX = 4096 };
/* Where an Intel CPU that cannot do real mode gets help from KVM: below the end of 4 GiB, where the board has nothing. */
#define IDENTITY_MAP 0xfffbc000ULL
#define TSS_PAGES 0xfffbd000UL

/* Without these there is no engine. */
static const struct {
    int cap;
    const char *what;
} needed[] = {
    { KVM_CAP_USER_MEMORY, "user memory" },
    { KVM_CAP_IMMEDIATE_EXIT, "immediate exits (Linux 4.11)" },
    { KVM_CAP_VCPU_EVENTS, "vCPU events" },
    { KVM_CAP_DEBUGREGS, "debug registers" },
    { KVM_CAP_XSAVE, "XSAVE states" },
    { KVM_CAP_X86_USER_SPACE_MSR, "MSR exits (Linux 5.10)" },
    { KVM_CAP_X86_MSR_FILTER, "MSR filters (5.10)" },
};

static int open_device(struct error *err)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    const char *hint = errno == ENOENT   ? "this host has no KVM, or does not show it here"
                       : errno == EACCES ? "group kvm may, mostly"
                                         : "it is there, but does not work";
    return error_set(err, -errno, "/dev/kvm: %s (%s; --engine bt needs none)", strerror(errno), hint);
}

static int check_device(int dev, struct error *err)
{
    int version = ioctl(dev, KVM_GET_API_VERSION, 0);
    if (version != KVM_API_VERSION)
        return error_set(err, -ENOTSUP, "/dev/kvm: API version %d, not %d (--engine bt needs none)", version, KVM_API_VERSION);
    for (unsigned k = 0; k < ARRAY_SIZE(needed); k++)
        if (ioctl(dev, KVM_CHECK_EXTENSION, needed[k].cap) <= 0)
            return error_set(err, -ENOTSUP, "/dev/kvm: this kernel's KVM lacks %s (--engine bt needs none)", needed[k].what);
    return 0;
}

static int ask_cpuid(struct kvm_vm *vm, int dev)
{
    for (unsigned n = 64; n <= CPUID_ENTRIES_MAX; n *= 2) {
        free(vm->cpuid);
        vm->cpuid = calloc(1, sizeof(*vm->cpuid) + n * sizeof(vm->cpuid->entries[0]));
        if (!vm->cpuid)
            return -ENOMEM;
        vm->cpuid->nent = n;
        if (ioctl(dev, KVM_GET_SUPPORTED_CPUID, vm->cpuid) == 0)
            return 0;
        if (errno != E2BIG)
            break;
    }
    return -errno;
}

static int ask_msrs(struct kvm_vm *vm, int dev)
{
    struct kvm_msr_list none = { .nmsrs = 0 };
    if (ioctl(dev, KVM_GET_MSR_INDEX_LIST, &none) == 0)
        return -EIO; /* no MSRs at all */
    if (errno != E2BIG || none.nmsrs > MSRS_MAX)
        return -errno;
    vm->msrs = calloc(1, sizeof(*vm->msrs) + none.nmsrs * sizeof(vm->msrs->indices[0]));
    if (!vm->msrs)
        return -ENOMEM;
    vm->msrs->nmsrs = none.nmsrs;
    return ioctl(dev, KVM_GET_MSR_INDEX_LIST, vm->msrs) < 0 ? -errno : 0;
}

/* KVM walks the guest's page tables with the CPU's help, and says so; else it keeps shadows of them. */
static bool has_nested_paging(void)
{
    static const char *const files[] = { "/sys/module/kvm_intel/parameters/ept", "/sys/module/kvm_amd/parameters/npt" };
    for (unsigned k = 0; k < ARRAY_SIZE(files); k++) {
        char text[2] = "";
        AUTO_CLOSE int fd = open(files[k], O_RDONLY | O_CLOEXEC);
        if (fd >= 0 && read(fd, text, 1) == 1 && (text[0] == 'Y' || text[0] == '1'))
            return true;
    }
    return false;
}

static int enable(int fd, unsigned cap, uint64_t arg)
{
    struct kvm_enable_cap e = { .cap = cap, .args = { arg } };
    return ioctl(fd, KVM_ENABLE_CAP, &e) < 0 ? -errno : 0;
}

static int set_up(struct kvm_vm *vm, int dev)
{
    uint64_t identity = IDENTITY_MAP;
    vm->fd = ioctl(dev, KVM_CREATE_VM, 0);
    if (vm->fd < 0)
        return -errno;
    int size = ioctl(dev, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (size < (int)sizeof(struct kvm_run))
        return size < 0 ? -errno : -EIO;
    vm->run_size = (size_t)size;
    vm->sregs2 = ioctl(dev, KVM_CHECK_EXTENSION, KVM_CAP_SREGS2) > 0;
    vm->tsc_offset = ioctl(dev, KVM_CHECK_EXTENSION, KVM_CAP_VCPU_ATTRIBUTES) > 0;
    vm->shadows = !has_nested_paging();
    int r = ask_cpuid(vm, dev);
    if (r == 0)
        r = ask_msrs(vm, dev);
    if (r == 0)
        r = enable(vm->fd, KVM_CAP_X86_USER_SPACE_MSR,
                   KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_FILTER);
    if (r < 0)
        return r;
    (void)ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity); /* only Intel's needs and has these two */
    (void)ioctl(vm->fd, KVM_SET_TSS_ADDR, TSS_PAGES);
    (void)enable(vm->fd, KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1); /* else they come at privilege level 0 only */
    return kvm_model_filter_msrs(vm);
}

int kvm_vm_new(struct kvm_vm **ret_vm, struct error *err)
{
    AUTO_CLOSE int dev = open_device(err);
    if (dev < 0)
        return dev;
    int r = check_device(dev, err);
    if (r < 0)
        return r;
    struct kvm_vm *vm = calloc(1, sizeof(*vm));
    if (!vm)
        return error_set(err, -ENOMEM, "out of memory");
    pthread_rwlockattr_t attr;
    (void)pthread_rwlockattr_init(&attr); /* these fail only for bad arguments */
    (void)pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    (void)pthread_rwlock_init(&vm->slots_lock, &attr);
    (void)pthread_rwlockattr_destroy(&attr);
    (void)pthread_mutex_init(&vm->map_lock, NULL);
    vm->users = 1;
    vm->fd = -1;
    r = set_up(vm, dev);
    if (r < 0) {
        kvm_vm_put(vm);
        return error_set(err, r, "/dev/kvm opens, but makes no machine: %s (--engine bt needs none)", strerror(-r));
    }
    *ret_vm = vm;
    return 0;
}

void kvm_vm_put(struct kvm_vm *vm)
{
    if (!vm || --vm->users > 0)
        return;
    if (vm->fd >= 0)
        (void)close(vm->fd);
    (void)pthread_rwlock_destroy(&vm->slots_lock);
    (void)pthread_mutex_destroy(&vm->map_lock);
    free(vm->cpuid);
    free(vm->msrs);
    free(vm);
}

static int set_slot(const struct kvm_vm *vm, unsigned k, bool there)
{
    struct kvm_userspace_memory_region region = vm->slot[k];
    if (!there)
        region.memory_size = 0;
    return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) < 0 ? -errno : 0;
}

int kvm_vm_map(struct kvm_vm *vm, const struct gmem *gm)
{
    int r = 0;
    (void)pthread_mutex_lock(&vm->map_lock);
    while (vm->nr_slots < gm->nr_slots && r == 0) {
        const struct gmem_slot *s = &gm->slot[vm->nr_slots];
        vm->slot[vm->nr_slots] = (struct kvm_userspace_memory_region){
            .slot = vm->nr_slots,
            .guest_phys_addr = s->base,
            .memory_size = s->size,
            .userspace_addr = (uintptr_t)(gm->host + s->offset),
        };
        r = set_slot(vm, vm->nr_slots, true);
        vm->nr_slots += r == 0;
    }
    (void)pthread_mutex_unlock(&vm->map_lock);
    return r;
}

int kvm_vm_forget(struct kvm_vm *vm)
{
    int r = 0;
    (void)pthread_mutex_lock(&vm->map_lock);
    for (unsigned k = 0; k < vm->nr_slots && r == 0; k++) {
        r = set_slot(vm, k, false);
        if (r == 0)
            r = set_slot(vm, k, true);
    }
    (void)pthread_mutex_unlock(&vm->map_lock);
    return r;
}

bool kvm_vm_has_msr(const struct kvm_vm *vm, uint32_t msr)
{
    for (unsigned k = 0; k < vm->msrs->nmsrs; k++)
        if (vm->msrs->indices[k] == msr)
            return true;
    return false;
}
