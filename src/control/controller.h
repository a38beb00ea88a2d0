/* SPDX-License-Identifier: MIT */
/*
 * Performs actions on a machine of this process.
 *
 * All on the loop's thread, without the machine's lock; making and freeing while no loop runs.
 */
#ifndef DOPPEL_CONTROL_CONTROLLER_H
#define DOPPEL_CONTROL_CONTROLLER_H

#include "control/action.h"

struct controller;
struct loop;
struct machine;
struct vm_config;

/* All borrowed: they outlive the controller. -ENOMEM, or what the host says. */
MUST_CHECK int controller_new(struct loop *loop, const char *name, struct machine *machine, const struct vm_config *config,
                              struct controller **ret_controller, struct error *err);
void controller_free(struct controller *c);
/* Does it, or says in the reply why not. Blocks as long as a pause takes: until each CPU stands at an instruction boundary. */
void controller_perform(struct controller *c, const struct action *action, struct reply *ret_reply);

#endif
