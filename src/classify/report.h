/* SPDX-License-Identifier: MIT */
/*
 * Verdicts on an instruction set for people and programs: as text, as JSON, and as one page of HTML.
 */
#ifndef DOPPEL_CLASSIFY_REPORT_H
#define DOPPEL_CLASSIFY_REPORT_H

#include <stdio.h>

#include "classify/result.h"

/* All write to `out`, and leave errors of writing for the caller to find there (ferror). They return what replay returned. */

/* The verdict, the classes and their instructions. all: a line for each innocuous instruction too. */
MUST_CHECK int report_text(const struct classify_result *r, bool all, classify_replay_fn replay, void *opaque, FILE *out,
                           struct error *err);
/* The witnesses of each instruction of that name, or whose name begins with that word ("csrrw" for "csrrw satp"). -ENOENT when
 * there is none. */
MUST_CHECK int report_witness(const struct classify_result *r, const char *name, classify_replay_fn replay, void *opaque,
                              FILE *out, struct error *err);
/* {"isa", "virtualizable", "offenders", "instructions": [{"name", "classes", "witness"}], ...}: docs/theory.md. -ENOMEM. */
MUST_CHECK int report_json(const struct classify_result *r, classify_replay_fn replay, void *opaque, FILE *out,
                           struct error *err);
/* One page that needs no network: the picture of the sets, the offenders and their witnesses. */
MUST_CHECK int report_html(const struct classify_result *r, classify_replay_fn replay, void *opaque, FILE *out,
                           struct error *err);
/* The picture of the sets alone, as an SVG element; its classes are styled by the page. */
void report_picture(const struct classify_result *r, FILE *out);
/* Text as it may stand in HTML. */
void report_escaped(const char *text, FILE *out);

#endif
