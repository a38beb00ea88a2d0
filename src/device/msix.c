/* SPDX-License-Identifier: MIT */
/*
 * MSI-X table, masks and pending bits.
 */
#include "device/msix.h"

#include <assert.h>
#include <string.h>

#include "base/checked.h"

/* In the capability. */
enum { CAP_SIZE = 12, CONTROL = 2, TABLE = 4, PBA = 8 };
enum { CONTROL_HIGH = CONTROL + 1, HIGH_ENABLE = 0x80, HIGH_MASK = 0x40 }; /* bits 15 and 14 of the control word */
/* Words of a table entry. */
enum { ADDRESS_LOW, ADDRESS_HIGH, DATA, VECTOR_CONTROL, WORDS = MSIX_ENTRY_SIZE / 4 };
enum { VECTOR_MASKED = 1 << 0, ADDRESS_ALIGN = 3 };

static uint8_t control(const struct msix *m)
{
    return m->func->config[m->cap + CONTROL_HIGH];
}

bool msix_enabled(const struct msix *m)
{
    return control(m) & HIGH_ENABLE;
}

static bool masked(const struct msix *m, unsigned n)
{
    return (control(m) & HIGH_MASK) || (m->table[n * WORDS + VECTOR_CONTROL] & VECTOR_MASKED);
}

static void send(const struct msix *m, unsigned n)
{
    const uint32_t *e = &m->table[n * WORDS];
    msi_send(&m->sink, (uint64_t)e[ADDRESS_HIGH] << 32 | e[ADDRESS_LOW], e[DATA]);
}

void msix_fire(struct msix *m, unsigned n)
{
    if (n >= m->nr || !msix_enabled(m))
        return;
    if (masked(m, n))
        m->pending |= 1U << n;
    else
        send(m, n);
}

/* Sends what is pending and no longer masked. */
static void send_pending(struct msix *m)
{
    if (!msix_enabled(m))
        return;
    for (unsigned n = 0; n < m->nr; n++)
        if ((m->pending >> n & 1) && !masked(m, n)) {
            m->pending &= ~(1U << n);
            send(m, n);
        }
}

uint32_t msix_table_read(const struct msix *m, uint64_t offset, unsigned size)
{
    if (size != 4 || offset % 4 || offset >= m->nr * MSIX_ENTRY_SIZE)
        return 0;
    return m->table[offset / 4];
}

void msix_table_write(struct msix *m, uint64_t offset, uint32_t value, unsigned size)
{
    if (size != 4 || offset % 4 || offset >= m->nr * MSIX_ENTRY_SIZE) {
        guest_err(&m->func->errors, "msix: %u-byte write at %#llx of the table", size, (unsigned long long)offset);
        return;
    }
    unsigned word = offset / 4 % WORDS;
    if (word == ADDRESS_LOW)
        value &= ~(uint32_t)ADDRESS_ALIGN;
    if (word == VECTOR_CONTROL)
        value &= VECTOR_MASKED;
    m->table[offset / 4] = value;
    if (word == VECTOR_CONTROL)
        send_pending(m);
}

uint32_t msix_pba_read(const struct msix *m, uint64_t offset, unsigned size)
{
    return size == 4 && offset == 0 ? m->pending : 0;
}

void msix_config_written(struct msix *m, unsigned offset, unsigned size)
{
    if (offset <= m->cap + CONTROL_HIGH && m->cap + CONTROL_HIGH < offset + size)
        send_pending(m);
}

void msix_reset(struct msix *m)
{
    m->func->config[m->cap + CONTROL_HIGH] &= (uint8_t) ~(HIGH_ENABLE | HIGH_MASK);
    memset(m->table, 0, sizeof(m->table));
    for (unsigned n = 0; n < m->nr; n++)
        m->table[n * WORDS + VECTOR_CONTROL] = VECTOR_MASKED;
    m->pending = 0;
}

static void put32(uint8_t *to, uint32_t v)
{
    memcpy(to, &v, sizeof(v));
}

void msix_init(struct msix *msix, struct pci_func *func, unsigned nr, unsigned bar, uint32_t table, uint32_t pba,
               const struct msi_sink *sink)
{
    assert(nr > 0 && nr <= MSIX_VECTORS_MAX && bar < PCI_BARS && table % 8 == 0 && pba % 8 == 0);
    *msix = (struct msix){ .func = func, .nr = nr, .sink = *sink };
    msix->cap = pci_func_add_capability(func, PCI_CAP_MSIX, CAP_SIZE);
    uint8_t *cap = func->config + msix->cap;
    cap[CONTROL] = (uint8_t)(nr - 1);
    put32(cap + TABLE, table | bar);
    put32(cap + PBA, pba | bar);
    func->wmask[msix->cap + CONTROL_HIGH] = HIGH_ENABLE | HIGH_MASK;
    msix_reset(msix);
}

/* Whatever a snapshot says, bits that do not exist stay 0; nothing is sent: what was pending is. */
static int msix_post_load(void *object, struct error *err)
{
    struct msix *m = object;
    (void)err;
    for (unsigned n = 0; n < MSIX_VECTORS_MAX; n++) {
        m->table[n * WORDS + ADDRESS_LOW] &= ~(uint32_t)ADDRESS_ALIGN;
        m->table[n * WORDS + VECTOR_CONTROL] &= VECTOR_MASKED;
    }
    m->pending &= UINT32_MAX >> (MSIX_VECTORS_MAX - m->nr);
    return 0;
}

static const struct state_field msix_fields[] = {
    STATE_ARRAY(struct msix, table, STATE_U32),
    STATE_U32(struct msix, pending),
    STATE_END,
};
const struct state_desc msix_state = { .name = "msix", .version = 1, .fields = msix_fields, .post_load = msix_post_load };
