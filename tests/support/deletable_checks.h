/* SPDX-License-Identifier: MIT */
/*
 * Put before a source file of isa/x86 by -include: makes each of its raises one that a test can delete.
 *
 * The file is compiled as it stands; where it raises, the test's deletable_raise() is asked first. True: the raise is as if it
 * were not there.
 */
#ifndef DOPPEL_TESTS_DELETABLE_CHECKS_H
#define DOPPEL_TESTS_DELETABLE_CHECKS_H

#include "isa/x86/trap.h"

bool deletable_raise(struct x86_cpu *c, const char *file, int line);

#define x86_raise(c, vector) (deletable_raise(c, __FILE__, __LINE__) ? (void)0 : (x86_raise)(c, vector))
#define x86_raise_err(c, vector, error) (deletable_raise(c, __FILE__, __LINE__) ? (void)0 : (x86_raise_err)(c, vector, error))

#endif
