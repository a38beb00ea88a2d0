/* SPDX-License-Identifier: MIT */
/*
 * 16550A UART with 16-byte FIFOs.
 *
 * Bits take no time on the line: the transmitter empties as soon as the back end takes the byte, the receiver fills as
 * soon as the guest listens. While the back end is full, bytes stay in the FIFO and THRE stays 0, so a driver that
 * waits for it loses nothing. The far end minds the modem lines: it sends only to a guest that listens (RTS, or the
 * receive interrupt enabled, or LSR polled over and over), and a byte the guest has not read is not lost by a FIFO reset.
 * Not modelled: parity and framing errors, sending breaks.
 * Spec: National Semiconductor PC16550D, June 1995.
 */
#ifndef DOPPEL_DEVICE_UART16550_H
#define DOPPEL_DEVICE_UART16550_H

#include "core/bus.h"
#include "core/device.h"
#include "core/irq.h"
#include "core/vm_clock.h"

struct chardev;

enum { UART16550_IO_SIZE = 8, UART16550_FIFO = 16 };

struct uart16550 {
    struct vm_clock *clock;  /* borrowed (the machine's) */
    struct chardev *chardev; /* borrowed (outlives us), NULL: nothing attached */
    struct irq_line irq;
    bool out2_gate; /* the board wires OUT2 to the interrupt's driver, as PCs do. Set after init, before reset. */
    struct vm_timer timer;
    struct guest_errors errors;
    /* state */
    uint8_t ier, lcr, mcr, fcr, scr;
    uint8_t lsr_errors; /* OE, until LSR is read */
    uint8_t msr;
    uint16_t divisor;
    uint8_t rx[UART16550_FIFO], rx_head, rx_count;
    uint8_t tx[UART16550_FIFO], tx_head, tx_count;
    uint8_t polls;       /* LSR reads in a row */
    bool thre_pending;   /* the transmitter-empty interrupt, until IIR is read or THR written */
    bool timed_out;      /* character timeout interrupt, until RBR is read */
    uint64_t timeout_at; /* guest ns of the character timeout, VM_TIME_NEVER for none */
};

extern const struct io_ops uart16550_io_ops; /* UART16550_IO_SIZE bytes */
extern const struct device_class uart16550_class;

/* Wires the chip up (copying `irq`) and attaches it to the back end; reset is the caller's next step. */
void uart16550_init(struct uart16550 *uart, struct vm_clock *clock, struct chardev *chardev, const struct irq_line *irq);

#endif
