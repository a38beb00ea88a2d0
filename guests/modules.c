/* SPDX-License-Identifier: MIT */
/*
 * Which kernel modules the virtio devices of a guest's machine need, by what sysfs says of them, and loading these.
 *
 * /lib/doppel/modules lists modules in the order of loading, those that all devices need first.
 */
#include "init.h"
#include "sys.h"

#include <linux/errno.h>
#include <linux/fcntl.h>

enum { DEVICES_MAX = 64 /* that are looked at */, DEVICE_LEN = 6 /* "0x1042" */ };

/* The PCI device numbers of the machine's virtio devices, as a line of /lib/doppel/modules begins: "0x1042 ". */
static char devices[DEVICES_MAX][DEVICE_LEN + 2];
static unsigned nr_devices;
static unsigned nr_places; /* for devices behind virtio-mmio, which have no number before there is a driver for their bus */
#define VIRTIO_RNG "0x1044"
#define PCI_DEVICES "/sys/bus/pci/devices/"
#define VIRTIO_DEVICES "/sys/bus/virtio/devices/"
#define PLATFORM_DEVICES "/sys/bus/platform/devices/"

/* Reads the first word of FOLDER/NAME/ATTRIBUTE. */
static long read_attribute(const char *folder, const char *name, const char *attribute, char *buf, size_t size)
{
    char path[128];
    size_t len = str_len(folder), name_len = str_len(name), attribute_len = str_len(attribute);
    if (len + name_len + attribute_len + 2 > sizeof(path))
        return -ENAMETOOLONG;
    memcpy(path, folder, len);
    memcpy(path + len, name, name_len);
    path[len + name_len] = '/';
    memcpy(path + len + name_len + 1, attribute, attribute_len + 1);
    return read_file(path, buf, size);
}

static void add_pci_device(const char *name)
{
    char vendor[16], device[16];
    if (nr_devices == DEVICES_MAX || read_attribute(PCI_DEVICES, name, "vendor", vendor, sizeof(vendor)) <= 0)
        return;
    if (!str_starts(vendor, "0x1af4") || read_attribute(PCI_DEVICES, name, "device", device, sizeof(device)) < DEVICE_LEN)
        return;
    memcpy(devices[nr_devices], device, DEVICE_LEN);
    devices[nr_devices++][DEVICE_LEN] = ' ';
}

/* On the virtio bus kinds are numbered from 0, "0x0002", on PCI from 0x1040, "0x1042". */
static void add_virtio_device(const char *name)
{
    char kind[16];
    unsigned number = 0x1040;
    if (nr_devices == DEVICES_MAX || read_attribute(VIRTIO_DEVICES, name, "device", kind, sizeof(kind)) < DEVICE_LEN)
        return;
    char *to = devices[nr_devices++];
    for (unsigned i = 2; i < DEVICE_LEN; i++)
        number += (unsigned)(kind[i] <= '9' ? kind[i] - '0' : kind[i] - 'a' + 10) << 4 * (DEVICE_LEN - 1 - i);
    memcpy(to, "0x", 2);
    for (unsigned i = 2; i < DEVICE_LEN; i++)
        to[i] = "0123456789abcdef"[number >> 4 * (DEVICE_LEN - 1 - i) & 15];
    to[DEVICE_LEN] = ' ';
}

/* Of names like 10001000.virtio_mmio. */
static void count_place(const char *name)
{
    while (*name && *name != '.')
        name++;
    nr_places += str_starts(name, ".virtio_mmio");
}

static void for_each_name(const char *folder, void (*fn)(const char *name))
{
    static char entries[4096]; /* struct linux_dirent64: ino 8, off 8, reclen 2, type 1, name */
    long n;
    long dir = sys(__NR_openat, AT_FDCWD, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    while (dir >= 0 && (n = sys(__NR_getdents64, dir, entries, sizeof(entries))) > 0)
        for (long at = 0; at < n; at += *(uint16_t *)(entries + at + 16))
            if (entries[at + 19] != '.')
                fn(entries + at + 19);
    if (dir >= 0)
        sys(__NR_close, dir);
}

/* Whether any virtio device needs the module of this line: "* PATH", and not "0xDEVICE PATH". */
static int is_for_all(const char *line)
{
    return line[0] == '*';
}

static int is_for_ours(const char *line)
{
    for (unsigned i = 0; i < nr_devices; i++)
        if (str_starts(line, devices[i]))
            return 1;
    return 0;
}

static void load_module(const char *path)
{
    long fd = sys(__NR_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    long r = fd < 0 ? fd : sys(__NR_finit_module, fd, "", 0);
    if (r < 0 && r != -EEXIST)
        complain("cannot load", path, r);
    if (fd >= 0)
        sys(__NR_close, fd);
}

/* Loads the modules of those lines of /lib/doppel/modules, in order. */
static void load_those(int (*wanted)(const char *line))
{
    static char list[16384];
    if (read_file("/lib/doppel/modules", list, sizeof(list)) <= 0)
        return;
    for (char *p = list, *next; *p; p = next) {
        char *path = p;
        for (next = p; *next && *next != '\n'; next++) {
        }
        if (*next)
            *next++ = '\0';
        while (*path && *path++ != ' ') {
        }
        if (wanted(p))
            load_module(path);
    }
}

void modules_load(void)
{
    for_each_name(PCI_DEVICES, add_pci_device);
    if (nr_devices == 0)
        for_each_name(PLATFORM_DEVICES, count_place);
    if ((nr_devices == 1 && str_starts(devices[0], VIRTIO_RNG)) || nr_devices + nr_places <= 1)
        return; /* an entropy source, which every board has: not worth a tenth of a second of each start */
    load_those(is_for_all);
    if (nr_devices == 0)
        for_each_name(VIRTIO_DEVICES, add_virtio_device);
    load_those(is_for_ours);
}
