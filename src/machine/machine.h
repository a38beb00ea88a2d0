/* SPDX-License-Identifier: MIT */
/*
 * A whole machine: made from a vm_config, run to its end, saved and loaded.
 *
 * Threads: the caller of machine_new .. machine_free is the control thread; machine_run() and machine_start() start the
 * vCPU threads and the I/O thread, on which machine_pause() and the like may be called too.
 */
#ifndef DOPPEL_MACHINE_MACHINE_H
#define DOPPEL_MACHINE_MACHINE_H

#include "backend/netdev.h"
#include "core/state_desc.h"
#include "core/vm.h"

struct chardev;
struct loop;
struct machine;

enum { VM_DISKS_MAX = 16, VM_SHARES_MAX = 8, VM_TAG_MAX = 36, VM_CID_MIN = 3 };
#define VM_CID_MAX 0xfffffffeU

struct disk_config {
    const char *path;   /* a file or block device of the host, or a URI of an NBD server */
    const char *format; /* "raw", "qcow2" and what else qemu-nbd knows; NULL: raw or qcow2, by what is there */
    bool read_only;
    bool overlay;             /* the file is only read, writes go elsewhere */
    const char *overlay_path; /* where they go; NULL: they are forgotten when the machine ends */
};

struct share_config {
    const char *path; /* a folder of the host */
    const char *tag;  /* how the guest names it: 1..VM_TAG_MAX bytes, each once */
    bool read_only;
};

/* Virtual sockets between guest and host. */
struct vsock_config {
    const char *path; /* of the Unix sockets: backend/vsockdev.h; NULL: none */
    uint32_t cid;     /* the guest's: VM_CID_MIN..VM_CID_MAX */
};

/* DEFAULT: PCI on board pc, which has nothing else, virtio-mmio on board virt. */
enum vm_bus { VM_BUS_DEFAULT, VM_BUS_MMIO, VM_BUS_PCI };

/* What the user wants; the command line, a config file and the REST API all fill this. Strings are borrowed and outlive
 * the machine. */
struct vm_config {
    const char *arch;      /* "x86-64" */
    const char *engine;    /* a name of the registry, or "auto" */
    const char *cpu_model; /* NULL: the default */
    unsigned cpus;         /* 1..VM_MAX_VCPUS */
    uint64_t memory;       /* bytes, a multiple of the page size */
    uint64_t code_cache;  /* bytes for guest code that was decoded or translated, all CPUs together; 0: VM_CODE_CACHE_DEFAULT, and
                             VM_CODE_CACHE_MORE for each CPU but the first */
    const char *firmware; /* path of what runs first, instead of the monitor; NULL: none. riscv64 only */
    const char *kernel;   /* path; with kernel_image: what messages call it; NULL only with firmware */
    const void *kernel_image; /* a kernel in memory; NULL: read the path */
    size_t kernel_image_len;
    const char *initrd;    /* path, NULL: none */
    const void *initramfs; /* a cpio in memory, put behind initrd; NULL: none */
    size_t initramfs_len;
    const char *cmdline; /* the whole kernel command line */
    const char *dtb;     /* path of the device tree, NULL: the board makes one. riscv64 only */
    struct disk_config disk[VM_DISKS_MAX];
    unsigned nr_disks;
    struct share_config share[VM_SHARES_MAX];
    unsigned nr_shares;
    struct netdev_config net; /* kind NETDEV_NONE: no card */
    bool balloon;             /* the guest can give memory back */
    uint64_t balloon_keep;    /* bytes of its memory that the guest is to keep at first; 0: all */
    struct vsock_config vsock;
    enum vm_bus bus;        /* how the guest reaches its virtio devices */
    bool reboot;            /* a guest's reset restarts it; else it ends the machine */
    bool stats;             /* keep counts that cost time, too, for machine_stats() */
    const char *trace_code; /* folder for a log of translated code, NULL: none */
};

/* The outside world, the caller's; outlives the machine. */
struct machine_ports {
    struct loop *loop;
    struct chardev *serial[2];      /* COM1: a console (console_new()) or NULL; COM2: any, or NULL */
    struct chardev *virtio_console; /* a second terminal; NULL: none */
};

enum { MACHINE_MEMORY_MIN = 16 << 20 };

/* Checks names, counts and sizes; not the kernel, the initrd, and what disks and shares are. -EINVAL. */
MUST_CHECK int vm_config_check(const struct vm_config *config, struct error *err);

/* Makes the machine, powered on and paused at its first instruction. Errors of the board, the engine and the kernel's loader. */
MUST_CHECK int machine_new(const struct vm_config *config, const struct machine_ports *ports, struct machine **ret_machine,
                           struct error *err);
/* Ends all threads. NULL is fine. */
void machine_free(struct machine *machine);

struct vm *machine_vm(struct machine *machine);
/* Name of the engine that was picked, and why when it was "auto" (may be empty). */
const char *machine_engine(const struct machine *machine, const char **ret_why);

/* Runs to the end (restarting on a guest's reset if configured) and stops all threads; the vm has the reason. A negative errno
 * when threads or a restart failed. */
MUST_CHECK int machine_run(struct machine *machine, struct error *err);
/* The two halves, for callers that pause in between: start all threads; wait for the end and stop all threads. */
MUST_CHECK int machine_start(struct machine *machine, struct error *err);
MUST_CHECK int machine_finish(struct machine *machine, struct error *err);
/* Ends the run from outside, for good: no restart follows. Any thread; not from a signal handler. */
void machine_quit(struct machine *machine, enum vm_end end, const char *why);

/* Stops all vCPUs at an instruction boundary, and guest time / lets them go on. It holds across a restart; calls need not come in
 * pairs. Control or I/O thread, without the machine's lock. */
void machine_pause(struct machine *machine);
void machine_resume(struct machine *machine);
bool machine_is_paused(struct machine *machine);
/* Whether somebody asked for the end, and it will not be followed by a restart. Any thread. */
bool machine_is_ending(struct machine *machine);
/* Presses the power button. -ENOTSUP: the board has none, -EAGAIN: the guest does not listen to it. Threads as above. */
MUST_CHECK int machine_power_button(struct machine *machine);

/* The terminal of the virtio console has this many columns and rows; without one nothing happens. Any thread. */
void machine_console_size(struct machine *machine, unsigned cols, unsigned rows);

/* What a guest with a balloon says about its memory, in the order of the statistics' tags. Spec: virtio 1.2, 5.5.6.4 */
enum machine_balloon_stat {
    MACHINE_BALLOON_SWAP_IN,
    MACHINE_BALLOON_SWAP_OUT,
    MACHINE_BALLOON_MAJOR_FAULTS,
    MACHINE_BALLOON_MINOR_FAULTS,
    MACHINE_BALLOON_FREE,
    MACHINE_BALLOON_TOTAL,
    MACHINE_BALLOON_AVAILABLE,
    MACHINE_BALLOON_CACHES,
    MACHINE_BALLOON_HTLB_ALLOC,
    MACHINE_BALLOON_HTLB_FAIL,
    MACHINE_BALLOON_STAT_LAST = MACHINE_BALLOON_HTLB_FAIL
};
enum { MACHINE_BALLOON_STATS = MACHINE_BALLOON_STAT_LAST + 1 };
struct machine_balloon {
    uint64_t target, actual; /* bytes the guest is to keep, and keeps */
    bool driver;             /* it has a driver for its balloon */
    uint64_t released;       /* bytes it gave back, ever */
    ns_t age;                /* of the figures, guest ns; -1: there are none */
    uint32_t known;          /* which figures there are, a bit each */
    uint64_t stat[MACHINE_BALLOON_STATS];
};
/* -ENOTSUP: there is no balloon. Any thread. The second also asks the guest for new figures, which come a little later. */
MUST_CHECK int machine_set_balloon(struct machine *machine, uint64_t keep);
MUST_CHECK int machine_get_balloon(struct machine *machine, struct machine_balloon *ret_balloon);

/* The engine's counters as lines "name value". */
size_t machine_stats(struct machine *machine, char *text, size_t cap);

/* Writes CPUs, chips, time and memory. The machine is paused (vm_pause) or not started. -ENOMEM. */
MUST_CHECK int machine_save(struct machine *machine, struct state_buf *buf);
/* Takes them into a machine made from an equal config, not started or paused. On failure (-EINVAL) the machine can only be
 * freed. */
MUST_CHECK int machine_load(struct machine *machine, struct state_buf *buf, struct error *err);

#endif
