/* SPDX-License-Identifier: MIT */
/*
 * Implementation of the initramfs builder.
 */
#include "machine/initramfs.h"

#include "base/checked.h"
#include "machine/cpio.h"
#include "machine/decompress.h"
#include "machine/guest_init.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum {
    FILE_MAX = 64 << 20, /* one file of the guest folder */
    LIST_MAX = 4 << 20,  /* applets, modules.dep */
    DEPS_MAX = 64,       /* modules one module needs */
    MODULES_MAX = 128,   /* modules in the archive */
    ANY_DEVICE = 0,
};

static const char *const skeleton_dirs[] = {
    "bin",  "dev", "etc", "etc/udhcpc", "lib",     "lib/doppel", "lib/modules", "mnt",       "proc", "root",    "run",
    "sbin", "sys", "tmp", "usr",        "usr/bin", "usr/lib",    "usr/sbin",    "usr/share", "var",  "var/log", "var/tmp",
};

struct text_file {
    const char *name;
    const char *text;
};

/* What busybox' DHCP client calls with what it got. */
static const char udhcpc_script[] = "#!/bin/sh\n"
                                    "case $1 in\n"
                                    "deconfig) ip link set $interface up; ip addr flush dev $interface;;\n"
                                    "bound|renew)\n"
                                    "    ip addr flush dev $interface\n"
                                    "    ip addr add $ip/${mask:-24} dev $interface\n"
                                    "    for r in $router; do ip route replace default via $r dev $interface && break; done\n"
                                    "    : >/etc/resolv.conf\n"
                                    "    for d in $dns; do echo nameserver $d >>/etc/resolv.conf; done;;\n"
                                    "esac\n";

static const struct text_file skeleton_files[] = {
    { "etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n" },
    { "etc/group", "root:x:0:\nnogroup:x:65534:\n" },
    { "etc/hosts", "127.0.0.1 localhost doppel\n" },
    { "etc/hostname", "doppel\n" },
    { "etc/udhcpc/default.script", udhcpc_script },
};

/* Modules that are packed when the kernel has them, with what they depend on, in this order. */
static const struct module_of_device {
    const char *name;
    uint16_t device; /* PCI device number of virtio devices that need it; ANY_DEVICE: all */
} modules_of_devices[] = {
    { "virtio_blk", 0x1042 }, { "virtio_net", 0x1041 },     { "virtio_console", 0x1043 },
    { "virtio-rng", 0x1044 }, { "virtiofs", 0x105a },       { "9pnet_virtio", 0x1049 },
    { "9p", 0x1049 },         { "virtio_balloon", 0x1045 }, { "vmw_vsock_virtio_transport", 0x1053 },
};

/* What depends on the guest's architecture. */
static const struct arch {
    const char *name;
    const unsigned char *init;
    const unsigned long *init_len;
    struct module_of_device transport[2]; /* how the board's devices are reached: the first modules; name NULL: no other */
} archs[] = {
    { "x86-64", guest_init, &guest_init_len, { { "virtio_pci", ANY_DEVICE } } },
    { "riscv64", guest_init_riscv, &guest_init_riscv_len, { { "virtio_mmio", ANY_DEVICE }, { "virtio_pci", ANY_DEVICE } } },
};

/* Paths relative to lib/modules/VERSION, as modules.dep has them, in the order of loading. */
struct module_list {
    unsigned nr;
    const char *path[MODULES_MAX]; /* borrowed (from the text of modules.dep, which outlives the list) */
    uint16_t device[MODULES_MAX];  /* ANY_DEVICE also where several need it */
};

static int read_guest_file(const struct initramfs_args *args, const char *name, size_t max, struct blob *ret_blob,
                           struct error *err)
{
    char path[PATH_MAX];
    if ((size_t)snprintf(path, sizeof(path), "%s/%s", args->guest_dir, name) >= sizeof(path))
        return error_set(err, -ENAMETOOLONG, "the path of the guest folder is too long");
    int r = blob_read_file(path, max, ret_blob, err);
    return r < 0 ? error_prefix(err, "guest folder (`make guests` builds it)") : 0;
}

static int find_arch(const char *name, const struct arch **ret_arch, struct error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(archs); i++) {
        if (strcmp(archs[i].name, name) != 0)
            continue;
        if (*archs[i].init_len == 0)
            return error_set(err, -ENOTSUP,
                             "no init program for %s: doppel was built where no compiler for it was found (install "
                             "gcc-riscv64-linux-gnu and build again; or give --initrd FILE)",
                             name);
        *ret_arch = &archs[i];
        return 0;
    }
    return error_set(err, -ENOTSUP, "no init program for %s", name);
}

static int add_skeleton(struct cpio *c, const struct arch *arch, struct error *err)
{
    int r = 0;
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(skeleton_dirs); i++) {
        const char *name = skeleton_dirs[i];
        unsigned mode = strcmp(name, "tmp") == 0 || strcmp(name, "var/tmp") == 0 ? 01777 : 0755;
        r = cpio_add_dir(c, name, strcmp(name, "root") == 0 ? 0700 : mode, err);
    }
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(skeleton_files); i++)
        r = cpio_add_file(c, skeleton_files[i].name, skeleton_files[i].text[0] == '#' ? 0755 : 0644, skeleton_files[i].text,
                          strlen(skeleton_files[i].text), err);
    if (r >= 0)
        r = cpio_add_char_device(c, "dev/console", 0600, 5, 1, err);
    if (r >= 0)
        r = cpio_add_char_device(c, "dev/null", 0666, 1, 3, err);
    if (r >= 0)
        r = cpio_add_file(c, "init", 0755, arch->init, *arch->init_len, err);
    return r;
}

/* True for a path like "usr/bin/env" in one of the skeleton's folders that is not ours. */
static bool is_applet_path(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash || slash[1] == '\0' || strcmp(slash + 1, "busybox") == 0)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(skeleton_dirs); i++) {
        if (strlen(skeleton_dirs[i]) == (size_t)(slash - path) && strncmp(path, skeleton_dirs[i], slash - path) == 0)
            return true;
    }
    return false;
}

/* Where an applet goes: modprobe not to where the kernel runs it whenever it wants a module, for there is no list of modules
 * here, and each try takes some milliseconds of a boot. */
static const char *place_of(const char *path)
{
    return strcmp(path, "sbin/modprobe") == 0 ? "usr/sbin/modprobe" : path;
}

static int add_busybox(struct cpio *c, const struct initramfs_args *args, struct error *err)
{
    struct blob busybox = { 0 };
    struct blob applets = { 0 };
    int r = read_guest_file(args, "busybox", FILE_MAX, &busybox, err);
    if (r >= 0)
        r = read_guest_file(args, "applets", LIST_MAX, &applets, err);
    if (r >= 0)
        r = blob_append(&applets, "", 1, LIST_MAX + 1, err);
    if (r >= 0)
        r = cpio_add_file(c, "bin/busybox", 0755, busybox.data, busybox.len, err);
    char *save = NULL;
    for (char *p = r >= 0 ? strtok_r((char *)applets.data, "\n", &save) : NULL; r >= 0 && p; p = strtok_r(NULL, "\n", &save)) {
        if (is_applet_path(p))
            r = cpio_add_symlink(c, place_of(p), "/bin/busybox", err);
    }
    blob_done(&busybox);
    blob_done(&applets);
    return r;
}

static int add_command(struct cpio *c, const char *const *command, struct error *err)
{
    struct blob text = { 0 };
    int r = 0;
    for (unsigned i = 0; r >= 0 && command[i]; i++)
        r = blob_append(&text, command[i], strlen(command[i]) + 1, INITRAMFS_COMMAND_MAX, err);
    if (r < 0)
        (void)error_prefix(err, "the command line of the command"); /* returns r again */
    else
        r = cpio_add_file(c, "lib/doppel/command", 0600, text.data, text.len, err);
    blob_done(&text);
    return r;
}

/* Tag, place and "ro" or "", each ending in NUL, of each share; and the command's folder. */
static int add_shares(struct cpio *c, const struct initramfs_args *args, struct error *err)
{
    struct blob text = { 0 };
    int r = 0;
    for (unsigned i = 0; r >= 0 && i < args->nr_shares; i++) {
        const char *const word[] = { args->share[i].tag, args->share[i].path, args->share[i].read_only ? "ro" : "" };
        for (unsigned w = 0; r >= 0 && w < ARRAY_SIZE(word); w++)
            r = blob_append(&text, word[w], strlen(word[w]) + 1, LIST_MAX, err);
    }
    if (r >= 0 && text.len)
        r = cpio_add_file(c, "lib/doppel/shares", 0600, text.data, text.len, err);
    if (r >= 0 && args->cwd)
        r = cpio_add_file(c, "lib/doppel/cwd", 0600, args->cwd, strlen(args->cwd), err);
    blob_done(&text);
    return r;
}

/* The name of the one folder in guest_dir/modules: the kernel's release. -ENOENT when there is none. */
static int find_release(const struct initramfs_args *args, char *ret_release, size_t size, struct error *err)
{
    char path[PATH_MAX];
    if ((size_t)snprintf(path, sizeof(path), "%s/modules", args->guest_dir) >= sizeof(path))
        return error_set(err, -ENAMETOOLONG, "the path of the guest folder is too long");
    DIR *dir = opendir(path);
    if (!dir)
        return error_set(err, -ENOENT, "cannot open '%s': %s", path, strerror(errno));
    int r = error_set(err, -ENOENT, "'%s' is empty", path);
    for (const struct dirent *d = readdir(dir); d && r < 0; d = readdir(dir)) {
        if (d->d_name[0] == '.' || strlen(d->d_name) >= size)
            continue;
        memcpy(ret_release, d->d_name, strlen(d->d_name) + 1);
        r = 0;
    }
    closedir(dir);
    return r;
}

/* True when `path` ends in /NAME.ko or /NAME.ko.SUFFIX; '-' and '_' are the same. */
static bool is_module_named(const char *path, const char *name)
{
    const char *base = strrchr(path, '/');
    base = base ? base + 1 : path;
    for (; *name; base++, name++) {
        if ((*base == '-' ? '_' : *base) != (*name == '-' ? '_' : *name))
            return false;
    }
    return strncmp(base, ".ko", 3) == 0 && (base[3] == '\0' || base[3] == '.');
}

static int add_to_list(struct module_list *list, const char *path, uint16_t device, struct error *err)
{
    for (unsigned i = 0; i < list->nr; i++) {
        if (strcmp(list->path[i], path) == 0) {
            if (list->device[i] != device)
                list->device[i] = ANY_DEVICE;
            return 0;
        }
    }
    if (path[0] == '/' || strstr(path, ".."))
        return error_set(err, -EINVAL, "modules.dep: bad path '%s'", path);
    if (list->nr == MODULES_MAX)
        return error_set(err, -E2BIG, "modules.dep: more than %d modules needed", MODULES_MAX);
    list->device[list->nr] = device;
    list->path[list->nr++] = path;
    return 0;
}

/* "module: dep1 dep2 ..." with the dependencies in reverse order of loading, as depmod writes them. Cuts the line. */
static int add_dep_line(struct module_list *list, char *line, char *deps, uint16_t device, struct error *err)
{
    const char *dep[DEPS_MAX];
    unsigned nr = 0;
    char *save = NULL;
    for (char *p = strtok_r(deps, " ", &save); p; p = strtok_r(NULL, " ", &save)) {
        if (nr == DEPS_MAX)
            return error_set(err, -E2BIG, "modules.dep: '%s' needs more than %d modules", line, DEPS_MAX);
        dep[nr++] = p;
    }
    while (nr > 0) {
        int r = add_to_list(list, dep[--nr], device, err);
        if (r < 0)
            return r;
    }
    return add_to_list(list, line, device, err);
}

/* Adds the module, if the kernel has it, behind what it needs. `lines`: modules.dep. */
static int add_module_closure(struct module_list *list, struct blob *lines, const struct module_of_device *module,
                              struct error *err)
{
    const char *name = module->name;
    const size_t name_len = strlen(name);
    char *end = (char *)lines->data + lines->len;
    for (char *line = (char *)lines->data; line < end; line += strlen(line) + 1) {
        char *colon = strchr(line, ':');
        if (!colon || (size_t)(colon - line) < name_len)
            continue;
        *colon = '\0';
        if (is_module_named(line, name))
            return add_dep_line(list, line, colon + 1, module->device, err);
        *colon = ':';
    }
    return 0;
}

/* Reads one module, decompressing it if it is compressed. */
static int read_module(const struct initramfs_args *args, const char *release, const char *path, struct blob *ret_module,
                       struct error *err)
{
    char name[PATH_MAX];
    struct blob raw = { 0 };
    if ((size_t)snprintf(name, sizeof(name), "modules/%s/%s", release, path) >= sizeof(name))
        return error_set(err, -ENAMETOOLONG, "the path of module '%s' is too long", path);
    int r = read_guest_file(args, name, FILE_MAX, &raw, err);
    if (r < 0)
        return r;
    if (compression_detect(raw.data, raw.len) == COMPRESSION_NONE) {
        *ret_module = raw;
        return 0;
    }
    r = decompress(raw.data, raw.len, FILE_MAX, ret_module, err);
    blob_done(&raw);
    return r < 0 ? error_prefix(err, "module '%s'", path) : 0;
}

/* Appends "* /PATH", or "0xDEVICE /PATH", for init. */
static int append_line(struct blob *order, uint16_t device, const char *path, struct error *err)
{
    char line[PATH_MAX + 16], who[8] = "*";
    if (device != ANY_DEVICE)
        (void)snprintf(who, sizeof(who), "0x%04x", device);
    int len = snprintf(line, sizeof(line), "%s /%s\n", who, path);
    return blob_append(order, line, (size_t)len, LIST_MAX, err);
}

/* Packs the modules flat into lib/modules/ and their order, and which devices need them, into lib/doppel/modules. */
static int pack_modules(struct cpio *c, const struct initramfs_args *args, const char *release, const struct module_list *list,
                        struct error *err)
{
    struct blob order = { 0 };
    int r = 0;
    for (unsigned i = 0; r >= 0 && i < list->nr; i++) {
        char name[PATH_MAX];
        struct blob module = { 0 };
        const char *base = strrchr(list->path[i], '/');
        base = base ? base + 1 : list->path[i];
        int stem = strcspn(base, ".");
        if ((size_t)snprintf(name, sizeof(name), "lib/modules/%.*s.ko", stem, base) >= sizeof(name))
            r = error_set(err, -ENAMETOOLONG, "the name of module '%s' is too long", base);
        if (r >= 0)
            r = read_module(args, release, list->path[i], &module, err);
        if (r < 0)
            break;
        r = cpio_add_file(c, name, 0644, module.data, module.len, err);
        blob_done(&module);
        if (r >= 0)
            r = append_line(&order, list->device[i], name, err);
    }
    if (r >= 0 && order.len)
        r = cpio_add_file(c, "lib/doppel/modules", 0644, order.data, order.len, err);
    blob_done(&order);
    return r;
}

static int add_modules(struct cpio *c, const struct initramfs_args *args, const struct arch *arch, struct error *err)
{
    char release[NAME_MAX + 1];
    char name[NAME_MAX + 32];
    struct blob dep = { 0 };
    struct module_list list = { 0 };
    int r = find_release(args, release, sizeof(release), err);
    if (r < 0)
        return r;
    snprintf(name, sizeof(name), "modules/%s/modules.dep", release);
    r = read_guest_file(args, name, LIST_MAX, &dep, err);
    if (r >= 0)
        r = blob_append(&dep, "", 1, LIST_MAX + 1, err);
    for (size_t i = 0; r >= 0 && i < dep.len; i++) {
        if (dep.data[i] == '\n')
            dep.data[i] = '\0';
    }
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(arch->transport) && arch->transport[i].name; i++)
        r = add_module_closure(&list, &dep, &arch->transport[i], err);
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(modules_of_devices); i++)
        r = add_module_closure(&list, &dep, &modules_of_devices[i], err);
    if (r >= 0)
        r = pack_modules(c, args, release, &list, err);
    blob_done(&dep);
    return r;
}

static int add_network(struct cpio *c, const struct initramfs_args *args, struct error *err)
{
    char resolv[64];
    int r = cpio_add_file(c, "lib/doppel/network", 0644, args->network, strlen(args->network), err);
    if (r < 0 || !args->nameserver)
        return r;
    (void)snprintf(resolv, sizeof(resolv), "nameserver %s\n", args->nameserver);
    return cpio_add_file(c, "etc/resolv.conf", 0644, resolv, strlen(resolv), err);
}

int initramfs_build(const struct initramfs_args *args, struct blob *ret_cpio, struct error *err)
{
    struct cpio c;
    const struct arch *arch = NULL;
    int r = find_arch(args->arch, &arch, err);
    if (r < 0)
        return r;
    cpio_init(&c, INITRAMFS_MAX);
    r = add_skeleton(&c, arch, err);
    if (r >= 0)
        r = add_busybox(&c, args, err);
    if (r >= 0 && args->with_modules)
        r = add_modules(&c, args, arch, err);
    if (r >= 0 && args->network)
        r = add_network(&c, args, err);
    if (r >= 0 && args->command && args->command[0])
        r = add_command(&c, args->command, err);
    if (r >= 0 && args->command && args->command[0])
        r = add_shares(&c, args, err);
    if (r >= 0)
        r = cpio_finish(&c, ret_cpio, err);
    cpio_done(&c);
    return r;
}
