/* SPDX-License-Identifier: MIT */
/*
 * Fuzzer of shares: FUSE requests, plausible and not, on a folder that the host changes meanwhile.
 *
 * Each round makes a share and beside it a folder `outside`. The guest keeps the numbers it was given and uses them, wrong ones
 * and noise; names, targets of links and lengths lie; the host puts links outside where folders were. What must hold: `outside`
 * is as it was (contents, modes, times of change, entries), an answer fits its room and is well-formed, descriptors are bounded,
 * and all are closed at the end. Files are kept small by RLIMIT_FSIZE.
 *
 * A hole in the share is a hole in the machine that runs this, and once cost one its /etc: root becomes nobody first, Landlock
 * forbids all changes outside the fuzzer's own folder, and no name or link points at anything but `outside`. Where neither is
 * possible nothing is run. Meant for an ASan and UBSan build.
 */
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <linux/landlock.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/checked.h"
#include "support/fuse_client.h"

enum { ROUND = 1500, HANG_S = 30, FILE_BYTES = 1 << 20, KEPT = 32, FILES = 128, OPCODES = 55 };

static struct fuzz fuzz;
static struct fuse_client cl;
static char home[32], base[64], outside[96], place[160];
static uint64_t node[KEPT], handle[KEPT];
static uint64_t answers, errors;

static void finding(const char *what)
{
    printf("FINDING: %s\n", what);
    (void)fflush(stdout);
    abort();
}

static uint64_t below(uint64_t n)
{
    return fuzz_below(&fuzz, n);
}

/* ---- the host ---- */

static void need(bool ok, const char *what)
{
    if (!ok) {
        perror(what);
        abort();
    }
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* Folders that the guest made unreadable. */
static int open_up(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)ftw;
    return type == FTW_D || type == FTW_DNR ? chmod(path, 0700) : 0;
}

/* An unreadable folder is gone into in the next turn. */
static void remove_all(void)
{
    int r = -1;
    for (unsigned turn = 0; r != 0 && turn < 64; turn++)
        r = nftw(base, open_up, 16, FTW_PHYS) == 0 ? nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS) : -1;
    need(r == 0, "nftw");
}

/* A place in the share, by few names. Not below those: the host itself would follow links there. */
static const char *host_path(void)
{
    snprintf(place, sizeof(place), "%s/share/%c", base, (char)('a' + below(5)));
    return place;
}

/* Each may fail: what it needs may not be there. */
static void host_acts(void)
{
    char old[160];
    int r = 0;
    snprintf(old, sizeof(old), "%s", host_path());
    switch (below(5)) {
    case 0: r = rename(old, host_path()); break;
    case 1:
        r = remove(old);
        r = symlink(outside, old);
        break;
    case 2:
        r = remove(old);
        r = symlink("../outside/secret", old);
        break;
    case 3: r = mkdir(old, 0755); break;
    case 4: r = remove(old); break;
    }
    (void)r;
}

struct state {
    struct stat folder, secret;
};

static void look_outside(struct state *ret_state)
{
    char path[128], text[16] = "";
    memset(ret_state, 0, sizeof(*ret_state));
    snprintf(path, sizeof(path), "%s/secret", outside);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOATIME);
    if (fd < 0 || read(fd, text, sizeof(text)) != 6 || memcmp(text, "secret", 6) != 0)
        finding("the secret was changed");
    if (fstat(fd, &ret_state->secret) < 0 || stat(outside, &ret_state->folder) < 0)
        finding("the folder outside is gone");
    close(fd);
}

static void check_outside(const struct state *before)
{
    struct state now;
    look_outside(&now);
    if (now.folder.st_nlink != before->folder.st_nlink || now.folder.st_mode != before->folder.st_mode
        || now.folder.st_mtim.tv_nsec != before->folder.st_mtim.tv_nsec
        || now.folder.st_ctim.tv_nsec != before->folder.st_ctim.tv_nsec)
        finding("the folder outside was changed");
    if (now.secret.st_mode != before->secret.st_mode || now.secret.st_nlink != before->secret.st_nlink
        || now.secret.st_ctim.tv_nsec != before->secret.st_ctim.tv_nsec)
        finding("the secret's attributes were changed");
}

/* ---- the guest ---- */

static uint64_t some_node(void)
{
    return below(16) ? node[below(KEPT)] : below(2) ? FUSE_ROOT_ID : fuzz_u64(&fuzz) >> below(64);
}

static uint64_t some_handle(void)
{
    return below(16) ? handle[below(KEPT)] : fuzz_u64(&fuzz) >> below(64);
}

static size_t put_name(char *to)
{
    static const char *const bad[] = { "", ".", "..", "..", "../outside", "a/b", "a/../../outside/secret", "outside", "secret" };
    if (below(12) == 0)
        strcpy(to, bad[below(ARRAY_SIZE(bad))]);
    else {
        to[0] = (char)('a' + below(5));
        to[1] = '\0';
    }
    return strlen(to) + 1;
}

/* Arguments with good numbers in the places that most operations have them; the rest small or noise. */
static size_t put_arguments(uint32_t opcode, uint8_t *to)
{
    static const uint8_t sizes[OPCODES] = {
        [FUSE_FORGET] = 8,     [FUSE_GETATTR] = 16,         [FUSE_SETATTR] = 88,    [FUSE_MKNOD] = 16,
        [FUSE_MKDIR] = 8,      [FUSE_RENAME] = 8,           [FUSE_LINK] = 8,        [FUSE_OPEN] = 8,
        [FUSE_READ] = 40,      [FUSE_WRITE] = 40,           [FUSE_RELEASE] = 24,    [FUSE_FSYNC] = 16,
        [FUSE_INIT] = 16,      [FUSE_OPENDIR] = 8,          [FUSE_READDIR] = 40,    [FUSE_CREATE] = 16,
        [FUSE_LSEEK] = 24,     [FUSE_BATCH_FORGET] = 8,     [FUSE_RENAME2] = 16,    [FUSE_READDIRPLUS] = 40,
        [FUSE_FALLOCATE] = 32, [FUSE_COPY_FILE_RANGE] = 56, [FUSE_RELEASEDIR] = 24, [FUSE_FSYNCDIR] = 16,
    };
    size_t size = sizes[opcode];
    for (size_t i = 0; i < size; i += 8) {
        uint64_t v = below(8) ? below(2048) : fuzz_u64(&fuzz) >> below(64);
        memcpy(to + i, &v, 8);
    }
    uint64_t first = opcode == FUSE_LINK || opcode == FUSE_RENAME || opcode == FUSE_RENAME2 ? some_node() : some_handle();
    static const uint32_t modes[] = { 0100644, 0100777, 0104755, 010600, 020666, 0140600, 0 };
    const struct fuse_create_in create = { .flags = (uint32_t)(below(4) | (below(4) ? 0 : O_TRUNC) | (below(4) ? 0 : O_EXCL)),
                                           .mode = modes[below(ARRAY_SIZE(modes))] };
    const struct fuse_setattr_in set = { .valid = (uint32_t)below(2048), .fh = some_handle(), .size = below(4096), .mode = 0755 };
    switch (opcode) {
    case FUSE_CREATE: memcpy(to, &create, sizeof(create)); break;
    case FUSE_MKNOD: memcpy(to, &create.mode, 4); break;
    case FUSE_OPEN: memcpy(to, &create.flags, 4); break;
    case FUSE_SETATTR: memcpy(to, &set, sizeof(set)); break;
    case FUSE_INIT: memcpy(to, "\7\0\0\0\x1f", 5); break;
    case FUSE_MKDIR:
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET: break;
    default:
        if (size)
            memcpy(to, &first, 8);
    }
    if (opcode == FUSE_COPY_FILE_RANGE && below(8)) {
        first = some_handle();
        memcpy(to + 24, &first, 8);
    }
    return size;
}

static size_t put_tail(uint32_t opcode, uint8_t *arguments, char *to)
{
    static const char *const targets[] = { "../outside", "../outside/secret", "a", "" };
    size_t len;
    switch (opcode) {
    case FUSE_LOOKUP:
    case FUSE_MKNOD:
    case FUSE_MKDIR:
    case FUSE_UNLINK:
    case FUSE_RMDIR:
    case FUSE_LINK:
    case FUSE_CREATE: return put_name(to);
    case FUSE_RENAME:
    case FUSE_RENAME2: len = put_name(to); return len + put_name(to + len);
    case FUSE_SYMLINK:
        len = put_name(to);
        strcpy(to + len, targets[below(ARRAY_SIZE(targets))]);
        return len + strlen(to + len) + 1;
    case FUSE_WRITE: {
        uint32_t size = (uint32_t)below(600);
        memset(to, 'w', size);
        memcpy(arguments + 16, &size, 4);
        return size;
    }
    case FUSE_BATCH_FORGET:
        for (unsigned i = 0; i < 4; i++) {
            const struct fuse_forget_one one = { some_node(), below(3) };
            memcpy(to + i * sizeof(one), &one, sizeof(one));
        }
        return 4 * sizeof(struct fuse_forget_one);
    default: return 0;
    }
}

static void keep_answer(uint32_t opcode)
{
    struct fuse_entry_out e;
    size_t len = fuse_answer_len(&cl);
    bool entry = opcode == FUSE_LOOKUP || opcode == FUSE_MKNOD || opcode == FUSE_MKDIR || opcode == FUSE_SYMLINK
                 || opcode == FUSE_LINK || opcode == FUSE_CREATE;
    if (entry && len >= sizeof(e)) {
        memcpy(&e, fuse_answer(&cl), sizeof(e));
        node[below(KEPT)] = e.nodeid;
    }
    if (opcode == FUSE_OPEN || opcode == FUSE_OPENDIR || opcode == FUSE_CREATE)
        memcpy(&handle[below(KEPT)], (uint8_t *)fuse_answer(&cl) + (opcode == FUSE_CREATE ? sizeof(e) : 0), 8);
}

static void check_answer(uint32_t opcode)
{
    struct fuse_out_header h;
    if (cl.written == 0)
        return;
    if (cl.written < sizeof(h) || cl.written > (cl.room ? cl.room : FUSE_CLIENT_ROOM))
        finding("an answer of an impossible length");
    memcpy(&h, cl.in, sizeof(h));
    if (h.len != cl.written || h.error > 0 || h.error < -1000 || (h.error && h.len != sizeof(h)))
        finding("an answer with a bad header");
    answers++;
    errors += h.error < 0;
    if (h.error == 0)
        keep_answer(opcode);
}

static void guest_asks(void)
{
    static const uint8_t often[] = { FUSE_LOOKUP, FUSE_CREATE,  FUSE_MKDIR,   FUSE_OPEN, FUSE_WRITE,       FUSE_READ,
                                     FUSE_RENAME, FUSE_SYMLINK, FUSE_OPENDIR, FUSE_LINK, FUSE_READDIRPLUS, FUSE_SETATTR };
    uint32_t opcode = (uint32_t)(below(3) ? often[below(ARRAY_SIZE(often))] : below(OPCODES));
    if ((opcode == FUSE_INIT || opcode == FUSE_DESTROY || opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET) && below(8))
        opcode = FUSE_LOOKUP; /* else it would forget most of what it knows all the time */
    uint8_t *body = cl.out + sizeof(struct fuse_in_header);
    size_t len = put_arguments(opcode, body);
    len += put_tail(opcode, body, (char *)body + len) + sizeof(struct fuse_in_header);
    struct fuse_in_header head = { .len = (uint32_t)len, .opcode = opcode, .unique = 1, .nodeid = some_node() };
    if (below(20) == 0)
        len = 1 + below(len);
    if (below(40))
        head.len = (uint32_t)len;
    if (below(100) == 0)
        head.opcode = (uint32_t)fuzz_u64(&fuzz);
    memcpy(cl.out, &head, sizeof(head));
    if (below(20) == 0)
        cl.out[below(len)] ^= (uint8_t)(1 << below(8));
    cl.room = below(10) ? 0 : 1 + below(300);
    fuse_serve(&cl, len);
    memcpy(&head, cl.out, sizeof(head));
    check_answer(head.opcode);
}

/* ---- a round ---- */

static void run_round(void)
{
    struct state before;
    char path[128], share[96];
    snprintf(base, sizeof(base), "%s/XXXXXX", home);
    need(mkdtemp(base) != NULL, "mkdtemp");
    snprintf(outside, sizeof(outside), "%s/outside", base);
    snprintf(share, sizeof(share), "%s/share", base);
    need(mkdir(outside, 0755) == 0 && mkdir(share, 0755) == 0, "mkdir");
    snprintf(path, sizeof(path), "%s/secret", outside);
    FILE *f = fopen(path, "w");
    need(f && fputs("secret", f) > 0 && fclose(f) == 0 && chmod(path, 0755) == 0, "secret");
    const struct fs_config config = { .path = share, .max_files = FILES };
    need(fs_open(&config, NULL, &cl.fs, NULL) == 0, "fs_open");
    for (unsigned i = 0; i < KEPT; i++) {
        node[i] = FUSE_ROOT_ID;
        handle[i] = 0;
    }
    look_outside(&before);
    for (unsigned i = 0; i < ROUND; i++) {
        guest_asks();
        if (below(20) == 0)
            host_acts();
        if (fs_files(cl.fs) > FILES)
            finding("more descriptors than allowed");
    }
    check_outside(&before);
    fs_free(cl.fs);
    remove_all();
}

/* From now on this process can make, change and remove files below `home` only. False: not on this kernel. */
static bool stay_at_home(void)
{
    enum { NEWER = 1 << 13 | 1 << 14 }; /* REFER and TRUNCATE: since ABI 2 and 3 */
    const long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 3)
        return false;
    const uint64_t changes = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE
                             | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG
                             | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK
                             | LANDLOCK_ACCESS_FS_MAKE_SYM | NEWER;
    const struct landlock_ruleset_attr all = { .handled_access_fs = changes };
    int rules = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof(all), 0);
    const struct landlock_path_beneath_attr below_home = { changes, open(home, O_PATH | O_DIRECTORY | O_CLOEXEC) };
    bool ok = rules >= 0 && below_home.parent_fd >= 0
              && syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &below_home, 0) == 0
              && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && syscall(SYS_landlock_restrict_self, rules, 0) == 0;
    (void)close(rules);
    (void)close(below_home.parent_fd);
    return ok;
}

static void become_nobody(void)
{
    enum { NOBODY = 65534 };
    if (geteuid() != 0)
        return;
    need(setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0, "nobody");
    need(prctl(PR_SET_DUMPABLE, 1) == 0, "prctl"); /* else /proc/self/fd stays root's */
}

int main(int argc, char **argv)
{
    bool root = geteuid() == 0;
    become_nobody();
    strcpy(home, "/tmp/doppel-fuzz-XXXXXX");
    need(mkdtemp(home) != NULL, "mkdtemp");
    bool kept_in = stay_at_home();
    if (!kept_in && !root) {
        (void)rmdir(home);
        printf("skipped: neither root, to become nobody, nor Landlock here\n");
        return 77;
    }
    const struct rlimit small = { FILE_BYTES, FILE_BYTES };
    need(setrlimit(RLIMIT_FSIZE, &small) == 0 && signal(SIGXFSZ, SIG_IGN) != SIG_ERR, "limits");
    fuzz_start(&fuzz, argc, argv, 10);
    int first = dup(0);
    while (fuzz_more(&fuzz)) {
        (void)alarm(HANG_S);
        run_round();
    }
    int last = dup(0);
    if (last != first + 1)
        finding("descriptors were left open");
    printf("%lu answers, %lu of them errors; %s\n", (unsigned long)answers, (unsigned long)errors,
           kept_in ? "kept in by Landlock" : "as nobody, without Landlock");
    (void)rmdir(home); /* Landlock lets a process remove what is below its folder, not that; then it stays, empty */
    return 0;
}
