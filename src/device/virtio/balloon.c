/* SPDX-License-Identifier: MIT */
/*
 * virtio-balloon: page numbers, reports and statistics out of queues.
 */
#include "device/virtio/balloon.h"

#include <string.h>

#include "base/checked.h"

/* Spec: 5.5.3. Offered are no hints of free pages, which are for migration. */
#define F_STATS_VQ (1ULL << 1)
#define F_DEFLATE_ON_OOM (1ULL << 2)
#define F_PAGE_POISON (1ULL << 4)
#define F_PAGE_REPORTING (1ULL << 5)

enum {
    QUEUE_SIZE = 128,
    BATCH = 256,            /* page numbers read at a time */
    NUMBERS_MAX = 16 << 10, /* page numbers of a request that are looked at: 64 MiB */
    STATS_MAX = 32,         /* statistics of a buffer that are looked at: there may be tags we do not know */
    CHAIN_BYTES = 256 << 20 /* Linux reports 32 pieces of up to 4 MiB at once */
};
enum kind { KIND_INFLATE, KIND_DEFLATE, KIND_STATS, KIND_REPORT, KIND_NONE };

/* Spec: 5.5.4 */
struct config {
    uint32_t num_pages, actual, free_page_hint_cmd_id, poison_val;
};

/* Spec: 5.5.6.3 */
struct stat {
    uint16_t tag;
    uint64_t val;
} __attribute__((packed));

static struct virtio_balloon *to_balloon(struct virtio_device *vdev)
{
    return (struct virtio_balloon *)vdev;
}

static enum kind kind_of(const struct virtio_device *vdev, unsigned n)
{
    const bool stats = virtio_has(vdev, F_STATS_VQ);
    if (n <= KIND_DEFLATE)
        return (enum kind)n;
    if (n == 2 && stats)
        return KIND_STATS;
    return n == 2U + stats && virtio_has(vdev, F_PAGE_REPORTING) ? KIND_REPORT : KIND_NONE;
}

static unsigned stats_queue(void)
{
    return 2;
}

/* ---- giving back ---- */

/* A run of pages, by number. */
struct run {
    uint64_t first, nr;
};

static void release(struct virtio_balloon *b, const struct run *run)
{
    const uint64_t len = run->nr << VIRTIO_BALLOON_PAGE_SHIFT;
    void *host = run->nr ? gmem_pin(b->vdev.gmem, run->first << VIRTIO_BALLOON_PAGE_SHIFT, len) : NULL;
    if (host)
        b->released += gmem_discard(b->vdev.gmem, host, len);
    else if (run->nr > 1) /* of two slots, or in part no memory: one by one */
        for (uint64_t i = 0; i < run->nr; i++)
            release(b, &(struct run){ .first = run->first + i, .nr = 1 });
    else if (run->nr)
        guest_err(&b->vdev.errors, "virtio-balloon: page %#llx is no memory", (unsigned long long)run->first);
}

/* Adds a page to the run if it lies at one of its ends. */
static bool extend(struct run *run, uint32_t page)
{
    const bool behind = page == run->first + run->nr, before = (uint64_t)page + 1 == run->first;
    if (run->nr == 0 || before)
        run->first = page;
    if (run->nr && !behind && !before)
        return false;
    run->nr++;
    return true;
}

/* The pages whose numbers the driver lists. Each number is read once. */
static void inflate(struct virtio_balloon *b, const struct virtio_chain *chain)
{
    uint32_t page[BATCH];
    struct run run = { 0 };
    const size_t end = MIN((size_t)chain->out_len, NUMBERS_MAX * sizeof(page[0]));
    if (chain->out_len > end)
        guest_err(&b->vdev.errors, "virtio-balloon: %u bytes of page numbers", chain->out_len);
    for (size_t at = 0; at < end;) {
        size_t len = virtio_chain_read(chain, at, page, MIN(sizeof(page), end - at));
        for (size_t i = 0; i < len / sizeof(page[0]); i++)
            if (!extend(&run, page[i])) {
                release(b, &run);
                run = (struct run){ .first = page[i], .nr = 1 };
            }
        at += len;
    }
    release(b, &run);
}

/* The pieces of a report are the free memory itself. */
static void report(struct virtio_balloon *b, const struct virtio_chain *chain)
{
    struct iovec piece[VIRTIO_QUEUE_MAX];
    if (b->poison_val)
        return; /* the driver finds what it has put there. Spec: 5.5.6.7.2 */
    unsigned nr = virtio_chain_in_slice(chain, 0, chain->in_len, piece);
    for (unsigned i = 0; i < nr; i++)
        b->released += gmem_discard(b->vdev.gmem, piece[i].iov_base, piece[i].iov_len);
}

/* ---- statistics ---- */

static void take_stats(struct virtio_balloon *b, const struct virtio_chain *chain)
{
    struct stat s[STATS_MAX];
    size_t nr = virtio_chain_read(chain, 0, s, sizeof(s)) / sizeof(s[0]);
    if (nr == 0)
        return;
    b->known = 0;
    for (size_t i = 0; i < nr; i++)
        if (s[i].tag < VIRTIO_BALLOON_STATS) {
            b->stat[s[i].tag] = s[i].val;
            b->known |= 1U << s[i].tag;
        }
    b->stats_at = (uint64_t)MAX(vm_clock_now(b->vdev.again.clock), 1);
}

/* Gives the buffer back, which asks for the next statistics. */
static void give_back(struct virtio_balloon *b)
{
    if (!b->holds)
        return;
    b->holds = false;
    virtio_push(&b->vdev, stats_queue(), &b->held, 0);
    virtio_signal(&b->vdev, stats_queue());
}

/* Pops until there is no more, which asks for a notification of the next. */
static void notify_stats(struct virtio_balloon *b)
{
    struct virtio_chain chain;
    while (virtio_pop(&b->vdev, stats_queue(), &chain)) {
        if (b->holds) { /* only the newest counts */
            guest_err(&b->vdev.errors, "virtio-balloon: a second buffer for statistics");
            give_back(b);
        }
        take_stats(b, &chain);
        b->held = chain;
        b->holds = true;
    }
}

void virtio_balloon_ask(struct virtio_balloon *b)
{
    if (virtio_live(&b->vdev))
        give_back(b); /* if we do not have it, it is being filled in */
}

/* ---- queues ---- */

static void notify_pages(struct virtio_balloon *b, unsigned n, enum kind kind)
{
    struct virtio_device *vdev = &b->vdev;
    struct virtio_chain chain;
    bool any = false;
    while (virtio_pop(vdev, n, &chain)) {
        if (kind == KIND_INFLATE)
            inflate(b, &chain);
        else if (kind == KIND_REPORT)
            report(b, &chain);
        virtio_push(vdev, n, &chain, 0);
        any = true;
    }
    if (any)
        virtio_signal(vdev, n);
}

static void balloon_notify(struct virtio_device *vdev, unsigned n)
{
    enum kind kind = kind_of(vdev, n);
    if (kind == KIND_STATS)
        notify_stats(to_balloon(vdev));
    else if (kind == KIND_NONE)
        guest_err(&vdev->errors, "virtio-balloon: queue %u was not negotiated", n);
    else
        notify_pages(to_balloon(vdev), n, kind);
}

/* Linux has put the buffer for statistics there before, and does not say so again. */
static void balloon_driver_ok(struct virtio_device *vdev)
{
    if (virtio_has(vdev, F_STATS_VQ))
        virtio_run(vdev, stats_queue());
}

static void balloon_quiesce(struct virtio_device *vdev)
{
    give_back(to_balloon(vdev));
}

static void balloon_reset(struct virtio_device *vdev)
{
    struct virtio_balloon *b = to_balloon(vdev);
    b->holds = false;
    b->actual = b->poison_val = b->known = 0; /* num_pages is what we want, whoever drives */
    b->stats_at = 0;
    memset(b->stat, 0, sizeof(b->stat));
}

/* ---- configuration ---- */

static void balloon_config_read(struct virtio_device *vdev, unsigned offset, void *buf, unsigned len)
{
    const struct virtio_balloon *b = to_balloon(vdev);
    const struct config c = { .num_pages = b->num_pages, .actual = b->actual, .poison_val = b->poison_val };
    memcpy(buf, (const uint8_t *)&c + offset, len);
}

/* The driver writes what it has given, and its poison; the rest is ours. */
static void balloon_config_write(struct virtio_device *vdev, unsigned offset, const void *buf, unsigned len)
{
    struct virtio_balloon *b = to_balloon(vdev);
    struct config c = { .num_pages = b->num_pages, .actual = b->actual, .poison_val = b->poison_val };
    memcpy((uint8_t *)&c + offset, buf, len);
    b->actual = c.actual;
    b->poison_val = c.poison_val;
    if (c.num_pages != b->num_pages || c.free_page_hint_cmd_id)
        guest_err(&vdev->errors, "virtio-balloon: write of configuration byte %u", offset);
}

static const struct virtio_class balloon_virtio_class = {
    .name = "virtio-balloon",
    .id = VIRTIO_ID_BALLOON,
    .pci_class = 0xff0000, /* of no kind that PCI knows */
    .queue_size = QUEUE_SIZE,
    .chain_bytes = CHAIN_BYTES,
    .config_size = sizeof(struct config),
    .config_read = balloon_config_read,
    .config_write = balloon_config_write,
    .notify = balloon_notify,
    .driver_ok = balloon_driver_ok,
    .quiesce = balloon_quiesce,
    .reset = balloon_reset,
};

static void balloon_done(void *dev)
{
    virtio_done(dev);
}

static int balloon_post_load(void *object, struct error *err)
{
    struct virtio_balloon *b = object;
    (void)err;
    b->holds = false;
    b->known &= (1U << VIRTIO_BALLOON_STATS) - 1;
    return 0;
}

static const struct state_field balloon_fields[] = {
    STATE_STRUCT(struct virtio_balloon, vdev, &virtio_device_state),
    STATE_U32(struct virtio_balloon, num_pages),
    STATE_U32(struct virtio_balloon, actual),
    STATE_U32(struct virtio_balloon, poison_val),
    STATE_ARRAY(struct virtio_balloon, stat, STATE_U64),
    STATE_U32(struct virtio_balloon, known),
    STATE_U64(struct virtio_balloon, stats_at),
    STATE_END,
};
static const struct state_desc balloon_state = {
    .name = "virtio_balloon", .version = 1, .fields = balloon_fields, .post_load = balloon_post_load
};

const struct device_class virtio_balloon_class = {
    .name = "virtio-balloon",
    .reset = virtio_reset,
    .done = balloon_done,
    .state = &balloon_state,
};

void virtio_balloon_init(struct virtio_balloon *b, struct gmem *gmem, struct vm_clock *clock)
{
    const uint64_t features = F_STATS_VQ | F_DEFLATE_ON_OOM | F_PAGE_POISON | F_PAGE_REPORTING;
    memset(b, 0, sizeof(*b)); /* too large for an initialiser's copy on the stack */
    virtio_init(&b->vdev, &balloon_virtio_class, features, VIRTIO_BALLOON_QUEUES, gmem, clock);
}

void virtio_balloon_set_pages(struct virtio_balloon *b, uint32_t pages)
{
    if (pages == b->num_pages)
        return;
    b->num_pages = pages;
    virtio_config_changed(&b->vdev);
}
