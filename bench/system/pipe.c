/* SPDX-License-Identifier: MIT */
/*
 * Two processes send a byte to and fro over two pipes. Pinned to one CPU, so that the host does the same work as the guest.
 */
#include "../bench.h"

#include <sched.h>
#include <unistd.h>

static int to[2], back[2];

static void set_up(void)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    char byte;
    if (sched_setaffinity(0, sizeof(one), &one) < 0 || pipe(to) < 0 || pipe(back) < 0)
        fail("pipe");
    if (fork() == 0) {
        close(to[1]);
        while (read(to[0], &byte, 1) == 1) {
            byte++;
            if (write(back[1], &byte, 1) != 1)
                break;
        }
        _exit(0);
    }
}

static uint64_t unit(unsigned n)
{
    uint64_t sum = 0;
    for (unsigned k = 0; k < 200; k++) {
        uint8_t byte = (uint8_t)(n + k);
        if (write(to[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
            fail("byte");
        sum += byte;
    }
    return sum;
}
