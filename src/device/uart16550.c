/* SPDX-License-Identifier: MIT */
/*
 * 16550A UART: registers, FIFOs and interrupt priorities.
 */
#include "device/uart16550.h"

#include <errno.h>

#include "backend/chardev.h"
#include "base/checked.h"

enum uart_reg { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR };
enum { IER_RDA = 1, IER_THRE = 2, IER_LINE = 4, IER_MODEM = 8, IER_MASK = 0xf };
enum { IIR_NONE = 1, IIR_MODEM = 0, IIR_THRE = 2, IIR_RDA = 4, IIR_LINE = 6, IIR_TIMEOUT = 0xc, IIR_FIFO = 0xc0 };
enum { FCR_ENABLE = 1, FCR_CLEAR_RX = 2, FCR_CLEAR_TX = 4, FCR_KEEP = 0xc9 };
enum { LCR_DLAB = 0x80 };
enum { MCR_DTR = 1, MCR_RTS = 2, MCR_OUT1 = 4, MCR_OUT2 = 8, MCR_LOOP = 0x10, MCR_MASK = 0x1f };
enum { LSR_DR = 1, LSR_OE = 2, LSR_THRE = 0x20, LSR_TEMT = 0x40 };
enum { MSR_DCTS = 1, MSR_DDSR = 2, MSR_TERI = 4, MSR_DDCD = 8, MSR_CTS = 0x10, MSR_DSR = 0x20, MSR_RI = 0x40, MSR_DCD = 0x80 };
enum { MSR_LINES = 0xf0, MSR_DELTAS = 0x0f };
enum { POLLS_TO_LISTEN = 64 };                                   /* LSR reads in a row that show a guest waiting for input */
enum { BAUD_CLOCK = 115200, CHAR_BITS = 10, TIMEOUT_CHARS = 4 }; /* spec 8.4: four character times */

static unsigned depth(const struct uart16550 *u)
{
    return u->fcr & FCR_ENABLE ? UART16550_FIFO : 1;
}

static unsigned trigger(const struct uart16550 *u)
{
    static const uint8_t level[4] = { 1, 4, 8, 14 };
    return u->fcr & FCR_ENABLE ? level[u->fcr >> 6] : 1;
}

static bool loopback(const struct uart16550 *u)
{
    return u->mcr & MCR_LOOP;
}

/* The interrupt with the highest priority, as IIR shows it without the FIFO bits. Spec: table IV */
static uint8_t pending(const struct uart16550 *u)
{
    if ((u->ier & IER_LINE) && u->lsr_errors)
        return IIR_LINE;
    if ((u->ier & IER_RDA) && u->rx_count >= trigger(u))
        return IIR_RDA;
    if ((u->ier & IER_RDA) && u->timed_out)
        return IIR_TIMEOUT;
    if ((u->ier & IER_THRE) && u->thre_pending)
        return IIR_THRE;
    if ((u->ier & IER_MODEM) && (u->msr & MSR_DELTAS))
        return IIR_MODEM;
    return IIR_NONE;
}

static void update_irq(struct uart16550 *u)
{
    bool driven = !u->out2_gate || ((u->mcr & MCR_OUT2) && !loopback(u));
    irq_set(&u->irq, driven && pending(u) != IIR_NONE);
}

static void set_timeout(struct uart16550 *u)
{
    u->timeout_at = VM_TIME_NEVER;
    if ((u->fcr & FCR_ENABLE) && u->rx_count > 0 && u->rx_count < trigger(u) && !u->timed_out) {
        uint64_t divisor = u->divisor ? u->divisor : 1;
        u->timeout_at = (uint64_t)vm_clock_now(u->clock) + TIMEOUT_CHARS * CHAR_BITS * divisor * NS_PER_S / BAUD_CLOCK;
    }
    vm_timer_arm(&u->timer, (ns_t)u->timeout_at);
}

static void on_timeout(void *opaque, ns_t now)
{
    struct uart16550 *u = opaque;
    (void)now;
    u->timeout_at = VM_TIME_NEVER;
    u->timed_out = u->rx_count > 0;
    update_irq(u);
}

/* False when there was no room: the newest byte is lost (with a FIFO) or replaces the old one (without). */
static void receive(struct uart16550 *u, uint8_t byte)
{
    if (u->rx_count >= depth(u)) {
        u->lsr_errors |= LSR_OE;
        if (u->fcr & FCR_ENABLE)
            return;
        u->rx_count = 0;
    }
    u->rx[(u->rx_head + u->rx_count++) % UART16550_FIFO] = byte;
}

/* Whether the far end may send. */
static bool listening(const struct uart16550 *u)
{
    return !loopback(u) && ((u->mcr & MCR_RTS) || (u->ier & IER_RDA) || u->polls >= POLLS_TO_LISTEN);
}

/* Takes what the far end has to send, as far as there is room. */
static void pull_input(struct uart16550 *u)
{
    if (!listening(u))
        return;
    uint8_t bytes[UART16550_FIFO];
    size_t room = depth(u) > u->rx_count ? depth(u) - u->rx_count : 0;
    size_t n = room && chardev_readable(u->chardev) ? chardev_read(u->chardev, bytes, room) : 0;
    for (size_t i = 0; i < n; i++)
        receive(u, bytes[i]);
    if (n > 0)
        set_timeout(u);
}

static void push_output(struct uart16550 *u)
{
    if (u->tx_count == 0)
        return;
    while (u->tx_count > 0) {
        size_t run = MIN(u->tx_count, UART16550_FIFO - u->tx_head);
        size_t n = chardev_write(u->chardev, u->tx + u->tx_head, run);
        u->tx_head = (uint8_t)((u->tx_head + n) % UART16550_FIFO);
        u->tx_count = (uint8_t)(u->tx_count - n);
        if (n < run)
            return;
    }
    u->thre_pending = true;
}

static void on_backend(void *opaque)
{
    struct uart16550 *u = opaque;
    push_output(u);
    pull_input(u);
    update_irq(u);
}

static void write_thr(struct uart16550 *u, uint8_t byte)
{
    u->thre_pending = false;
    update_irq(u); /* low for a moment, so that edge-triggered controllers see the next one */
    if (loopback(u)) {
        receive(u, byte);
        set_timeout(u);
        u->thre_pending = true;
        return;
    }
    if (u->tx_count >= depth(u)) {
        guest_err(&u->errors, "uart16550: byte written to a full transmitter");
        if (u->fcr & FCR_ENABLE)
            return;
        u->tx_count = 0;
    }
    u->tx[(u->tx_head + u->tx_count++) % UART16550_FIFO] = byte;
    push_output(u);
}

static uint8_t read_rbr(struct uart16550 *u)
{
    uint8_t byte = u->rx[(u->rx_head + UART16550_FIFO - 1) % UART16550_FIFO]; /* the last one, when there is none */
    u->timed_out = false;
    if (u->rx_count > 0) {
        byte = u->rx[u->rx_head];
        u->rx_head = (u->rx_head + 1) % UART16550_FIFO;
        u->rx_count--;
    }
    pull_input(u);
    set_timeout(u);
    return byte;
}

static void write_ier(struct uart16550 *u, uint8_t v)
{
    bool thre_on = (v & IER_THRE) && !(u->ier & IER_THRE);
    u->ier = v & IER_MASK;
    if (thre_on && u->tx_count == 0)
        u->thre_pending = true;
    pull_input(u);
}

static void write_fcr(struct uart16550 *u, uint8_t v)
{
    bool switched = (v ^ u->fcr) & FCR_ENABLE;
    if (!(v & FCR_ENABLE))
        v = 0; /* the other bits take effect only together with bit 0 */
    u->fcr = v & FCR_KEEP;
    if (switched || (v & FCR_CLEAR_RX)) {
        u->timed_out = false;
        if (loopback(u))
            u->rx_count = 0; /* otherwise the far end sends again what was not read */
    }
    if ((switched || (v & FCR_CLEAR_TX)) && u->tx_count > 0) {
        u->tx_count = 0;
        u->thre_pending = true;
    }
    set_timeout(u);
    pull_input(u);
}

/* Level of the four modem inputs: the far end's (it is there and ready), or in loopback our own outputs. */
static uint8_t modem_lines(const struct uart16550 *u)
{
    if (!loopback(u))
        return MSR_CTS | MSR_DSR | MSR_DCD;
    return (uint8_t)((u->mcr & MCR_RTS ? MSR_CTS : 0) | (u->mcr & MCR_DTR ? MSR_DSR : 0) | (u->mcr & MCR_OUT1 ? MSR_RI : 0)
                     | (u->mcr & MCR_OUT2 ? MSR_DCD : 0));
}

static void write_mcr(struct uart16550 *u, uint8_t v)
{
    u->mcr = v & MCR_MASK;
    uint8_t lines = modem_lines(u), old = u->msr & MSR_LINES;
    uint8_t changed = (lines ^ old) & (uint8_t)~MSR_RI;
    if ((old & MSR_RI) && !(lines & MSR_RI))
        changed |= MSR_RI; /* only the trailing edge of RI counts */
    u->msr = (uint8_t)(lines | (u->msr & MSR_DELTAS) | changed >> 4);
    pull_input(u);
}

static uint8_t read_iir(struct uart16550 *u)
{
    uint8_t source = pending(u);
    if (source == IIR_THRE)
        u->thre_pending = false;
    return source | (u->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

static uint8_t read_lsr(struct uart16550 *u)
{
    if (u->tx_count == 0 && u->polls < POLLS_TO_LISTEN)
        u->polls++;
    pull_input(u);
    uint8_t v = u->lsr_errors | (u->rx_count > 0 ? LSR_DR : 0) | (u->tx_count == 0 ? LSR_THRE | LSR_TEMT : 0);
    u->lsr_errors = 0;
    return v;
}

static uint8_t read_msr(struct uart16550 *u)
{
    uint8_t v = u->msr;
    u->msr &= MSR_LINES;
    return v;
}

static uint8_t read_reg(struct uart16550 *u, enum uart_reg reg)
{
    bool dlab = u->lcr & LCR_DLAB;
    switch (reg) {
    case REG_DATA: return dlab ? (uint8_t)u->divisor : read_rbr(u);
    case REG_IER: return dlab ? (uint8_t)(u->divisor >> 8) : u->ier;
    case REG_IIR_FCR: return read_iir(u);
    case REG_LCR: return u->lcr;
    case REG_MCR: return u->mcr;
    case REG_LSR: return read_lsr(u);
    case REG_MSR: return read_msr(u);
    case REG_SCR: return u->scr;
    }
    return 0xff;
}

static uint64_t uart_read(void *dev, uint64_t offset, unsigned size)
{
    struct uart16550 *u = dev;
    (void)size; /* 1: see the ops */
    uint8_t v = read_reg(u, (enum uart_reg)(offset & 7));
    update_irq(u);
    return v;
}

static void write_reg(struct uart16550 *u, enum uart_reg reg, uint8_t v)
{
    bool dlab = u->lcr & LCR_DLAB;
    switch (reg) {
    case REG_DATA:
        if (dlab)
            u->divisor = (uint16_t)((u->divisor & 0xff00) | v);
        else
            write_thr(u, v);
        break;
    case REG_IER:
        if (dlab)
            u->divisor = (uint16_t)((u->divisor & 0x00ff) | v << 8);
        else
            write_ier(u, v);
        break;
    case REG_IIR_FCR: write_fcr(u, v); break;
    case REG_LCR: u->lcr = v; break;
    case REG_MCR: write_mcr(u, v); break;
    case REG_LSR: /* factory test only */
    case REG_MSR: break;
    case REG_SCR: u->scr = v; break;
    }
}

static void uart_write(void *dev, uint64_t offset, uint64_t value, unsigned size)
{
    struct uart16550 *u = dev;
    (void)size;
    u->polls = 0;
    write_reg(u, (enum uart_reg)(offset & 7), (uint8_t)value);
    update_irq(u);
}

static void uart_reset(void *dev)
{
    struct uart16550 *u = dev;
    u->ier = u->lcr = u->mcr = u->fcr = u->scr = u->lsr_errors = 0;
    u->divisor = 1;
    u->rx_head = u->rx_count = u->tx_head = u->tx_count = u->polls = 0;
    u->thre_pending = u->timed_out = false;
    u->msr = modem_lines(u);
    set_timeout(u);
    update_irq(u);
}

static void uart_done(void *dev)
{
    struct uart16550 *u = dev;
    vm_timer_disarm(&u->timer);
    chardev_attach(u->chardev, NULL, NULL, NULL);
}

/* The line's level is the receiver's state. */
static int uart_post_load(void *object, struct error *err)
{
    struct uart16550 *u = object;
    if (u->rx_head >= UART16550_FIFO || u->tx_head >= UART16550_FIFO)
        return error_set(err, -EINVAL, "uart16550: FIFO position beyond its %d bytes", UART16550_FIFO);
    if (u->rx_count > UART16550_FIFO || u->tx_count > depth(u))
        return error_set(err, -EINVAL, "uart16550: more bytes than its FIFO holds");
    if (u->timeout_at > VM_TIME_NEVER)
        return error_set(err, -EINVAL, "uart16550: character timeout before time began");
    u->lsr_errors &= LSR_OE;
    vm_timer_arm(&u->timer, (ns_t)u->timeout_at);
    return 0;
}

static const struct state_field uart_fields[] = {
    STATE_U8(struct uart16550, ier),
    STATE_U8(struct uart16550, lcr),
    STATE_U8(struct uart16550, mcr),
    STATE_U8(struct uart16550, fcr),
    STATE_U8(struct uart16550, scr),
    STATE_U8(struct uart16550, lsr_errors),
    STATE_U8(struct uart16550, msr),
    STATE_U16(struct uart16550, divisor),
    STATE_BYTES(struct uart16550, rx),
    STATE_U8(struct uart16550, rx_head),
    STATE_U8(struct uart16550, rx_count),
    STATE_BYTES(struct uart16550, tx),
    STATE_U8(struct uart16550, tx_head),
    STATE_U8(struct uart16550, tx_count),
    STATE_U8(struct uart16550, polls),
    STATE_BOOL(struct uart16550, thre_pending),
    STATE_BOOL(struct uart16550, timed_out),
    STATE_U64(struct uart16550, timeout_at),
    STATE_END,
};
static const struct state_desc uart_state = {
    .name = "uart16550",
    .version = 1,
    .fields = uart_fields,
    .post_load = uart_post_load,
};

const struct io_ops uart16550_io_ops = { .read = uart_read, .write = uart_write, .min_size = 1, .max_size = 1 };
const struct device_class uart16550_class = {
    .name = "uart16550",
    .reset = uart_reset,
    .done = uart_done,
    .state = &uart_state,
};

void uart16550_init(struct uart16550 *uart, struct vm_clock *clock, struct chardev *chardev, const struct irq_line *irq)
{
    *uart = (struct uart16550){ .clock = clock, .chardev = chardev };
    if (irq)
        uart->irq = *irq;
    vm_timer_init(&uart->timer, clock, on_timeout, uart);
    chardev_attach(chardev, clock->lock, on_backend, uart);
}
