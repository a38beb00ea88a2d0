/* SPDX-License-Identifier: MIT */
/*
 * A folder with a disk's file in it and a place for its overlay, and a loop.
 */
#ifndef DOPPEL_TESTS_SUPPORT_DISK_FOLDER_H
#define DOPPEL_TESTS_SUPPORT_DISK_FOLDER_H

#include <stdio.h>
#include <stdlib.h>

#include "base/loop.h"
#include "support/disk_model.h"

static char folder[64], disk_path[128], overlay_path[128];
static struct loop *loop;

static inline int disk_folder_setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/doppel-test-XXXXXX");
    if (!mkdtemp(folder) || loop_new(&loop, NULL) < 0)
        return -1;
    snprintf(disk_path, sizeof(disk_path), "%s/disk", folder);
    snprintf(overlay_path, sizeof(overlay_path), "%s/overlay", folder);
    model_make_file(disk_path, MODEL_SIZE);
    model_ended = 0;
    return 0;
}

/* The test has removed what else it put there. */
static inline int disk_folder_teardown(void **state)
{
    (void)state;
    loop_free(loop);
    unlink(disk_path);
    unlink(overlay_path);
    return rmdir(folder);
}

#endif
