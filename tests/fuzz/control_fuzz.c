/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes the lines of the control socket, both directions: any bytes are taken or refused with words, and what was taken is in
 * range and survives being written and read again.
 */
#include <errno.h>
#include <string.h>

#include "control/action.h"
#include "fuzz.h"

static const char *const seeds[] = {
    "{\"action\":\"info\"}",
    "{\"action\":\"balloon\",\"keep\":536870912}",
    "{\"action\":\"stop\",\"force\":true,\"grace\":10}",
    "{\"action\":\"pause\"}",
    "{\"ok\":true,\"text\":\"x\",\"machine\":{\"name\":\"a\",\"pid\":1,\"state\":\"paused\",\"arch\":\"x86-64\",\"engine\":"
    "\"bt\",\"cpus\":2,"
    "\"memory\":536870912,\"uptime\":1.25}}",
    "{\"ok\":true,\"text\":\"\",\"machine\":{\"name\":\"a\",\"pid\":1,\"state\":\"running\",\"arch\":\"a\",\"engine\":\"b\","
    "\"cpus\":2,"
    "\"memory\":1,\"uptime\":1},\"balloon\":{\"target\":1,\"actual\":1,\"driver\":true,\"released\":0,\"age\":-1,\"stats\":{"
    "\"free\":5,\"total\":-1}}}",
    "{\"action\":[[[[[[{\"a\":{\"b\":[1e308,-0.0,null,\"\\ud800\\udc00\"]}}]]]]]]}",
};
static const char *const words[] = { "\"",      "{",        "}",         "[",         "]",        ":",
                                     ",",       "true",     "null",      "-1",        "1e999",    "99999999999999999999",
                                     "\\u0000", "\\ud800",  "\"force\"", "\"grace\"", "\"stop\"", "\"action\"",
                                     "\xff",    "\xc3\xa4", "0.5",       "\"ok\"",    "\"text\"" };

static size_t make_line(struct fuzz *f, char *line, size_t cap)
{
    const char *seed = seeds[fuzz_below(f, sizeof(seeds) / sizeof(seeds[0]))];
    size_t len = strlen(seed);
    memcpy(line, seed, len);
    for (uint64_t n = fuzz_below(f, 6); n > 0; n--) {
        const char *word = words[fuzz_below(f, sizeof(words) / sizeof(words[0]))];
        size_t at = fuzz_below(f, len + 1), w = strlen(word), cut = fuzz_below(f, 4) ? 0 : fuzz_below(f, len - at + 1);
        switch (fuzz_below(f, 3)) {
        case 0: /* a word goes in */
            if (len - cut + w > cap)
                break;
            memmove(line + at + w, line + at + cut, len - at - cut);
            memcpy(line + at, word, w);
            len = len - cut + w;
            break;
        case 1: /* a byte changes */
            if (at < len)
                line[at] = (char)fuzz_u64(f);
            break;
        case 2: /* a piece goes */
            memmove(line + at, line + at + cut, len - at - cut);
            len -= cut;
            break;
        }
    }
    return len;
}

static bool run_one(struct fuzz *f)
{
    char text[1024], line[ACTION_LINE_MAX];
    size_t len = make_line(f, text, sizeof(text));
    char *exact = malloc(len ? len : 1); /* no slack behind the end */
    struct action a, b;
    struct reply r;
    struct error err = { 0 };
    memcpy(exact, text, len);
    int n = action_decode(exact, len, &a, &err);
    if (n != 0 && (n != -EPROTO || !err.msg[0]))
        abort();
    if (n == 0) {
        int out = action_encode(&a, line, sizeof(line));
        if (a.grace_s < 0 || a.grace_s > ACTION_GRACE_MAX || (unsigned)a.id >= ACTION_NR || out <= 0
            || action_decode(line, (size_t)out - 1, &b, NULL) != 0 || a.id != b.id || a.force != b.force
            || a.grace_s != b.grace_s)
            abort();
    }
    err = (struct error){ 0 };
    int m = reply_decode(exact, len, &r, &err);
    if ((m != 0 && (m != -EPROTO || !err.msg[0])) || (m == 0 && (unsigned)r.info.state >= MACHINE_STATE_NR))
        abort();
    free(exact);
    return n == 0 || m == 0;
}

int main(int argc, char **argv)
{
    struct fuzz f;
    uint64_t taken = 0;
    fuzz_start(&f, argc, argv, 10);
    while (fuzz_more(&f))
        taken += run_one(&f);
    printf("%lu lines taken\n", (unsigned long)taken);
    return taken == 0 || taken >= f.cases - 1; /* neither would test anything */
}
