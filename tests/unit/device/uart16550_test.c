/* SPDX-License-Identifier: MIT */
/*
 * Laws of the 16550A, from its datasheet and from what drivers do to it.
 */
#include "backend/chardev.h"
#include "device/uart16550.h"
#include "support/chip.h"

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR, FCR = IIR };

struct fixture {
    struct vm_clock clock;
    struct probe irq;
    struct chardev *host;
    struct uart16550 uart;
};

static struct fixture f;

static void make(size_t cap)
{
    memset(&f, 0, sizeof(f));
    test_clock(&f.clock);
    assert_int_equal(chardev_buffer_new(cap, &f.host, NULL), 0);
    uart16550_init(&f.uart, &f.clock, f.host, PROBE_LINE(&f.irq));
    uart16550_class.reset(&f.uart);
}

static int setup(void **state)
{
    (void)state;
    make(64);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    uart16550_class.done(&f.uart);
    chardev_free(f.host);
    return 0;
}

static uint8_t in(unsigned reg)
{
    return rd(&uart16550_io_ops, &f.uart, reg);
}

static void out(unsigned reg, uint8_t v)
{
    wr(&uart16550_io_ops, &f.uart, reg, v);
}

/* The order of drivers/tty/serial/8250/8250_port.c's autoconfig. */
static void linux_finds_a_16550a(void **state)
{
    (void)state;
    out(IER, 0);
    assert_int_equal(in(IER)&0xf, 0);
    out(IER, 0xf);
    assert_int_equal(in(IER), 0xf);
    out(IER, 0);
    out(MCR, 0x1a);
    assert_int_equal(in(MSR)&0xf0, 0x90);
    out(MCR, 0);
    out(LCR, 0xbf);
    out(FCR, 0); /* EFR on later chips */
    out(LCR, 0);
    out(FCR, 1);
    assert_int_equal(in(IIR) >> 6, 3);
    out(LCR, 0x80);
    assert_int_not_equal(in(IIR), 0); /* no EFR here: not a 16650 */
    out(LCR, 0);
    out(FCR, 0x21); /* the 16750's 64-byte FIFO stays off */
    assert_int_equal(in(IIR)&0x20, 0);
    out(IER, 0x40); /* no XScale sleep bit */
    assert_int_equal(in(IER)&0x40, 0);
}

static void output_reaches_the_host_in_order(void **state)
{
    (void)state;
    char text[8] = { 0 };
    out(DATA, 'h');
    out(DATA, 'i');
    assert_int_equal(in(LSR)&0x60, 0x60);
    assert_int_equal(chardev_buffer_take(f.host, text, sizeof(text)), 2);
    assert_string_equal(text, "hi");
}

static void divisor_latch_hides_data_and_ier(void **state)
{
    (void)state;
    out(IER, 5);
    out(LCR, 0x83);
    out(DATA, 0x34);
    out(IER, 0x12);
    assert_int_equal(in(DATA), 0x34);
    assert_int_equal(in(IER), 0x12);
    out(LCR, 3);
    assert_int_equal(in(IER), 5);
    assert_int_equal(chardev_buffer_take(f.host, &(char[1]){ 0 }, 1), 0);
}

static void scratch_keeps_any_byte(void **state)
{
    (void)state;
    for (unsigned v = 0; v < 256; v++) {
        out(SCR, (uint8_t)v);
        assert_int_equal(in(SCR), v);
    }
}

static void enabling_thre_interrupt_raises_it_at_once(void **state)
{
    (void)state;
    assert_false(f.irq.level);
    out(IER, 2);
    assert_true(f.irq.level);
    assert_int_equal(in(IIR)&0xf, 2);
    assert_false(f.irq.level); /* reading IIR was the acknowledgement */
    assert_int_equal(in(IIR)&0xf, 1);
}

static void every_byte_sent_gives_a_new_edge(void **state)
{
    (void)state;
    out(IER, 2);
    unsigned before = f.irq.rises;
    out(DATA, 'a');
    out(DATA, 'b');
    assert_int_equal(f.irq.rises, before + 2);
}

static void full_host_keeps_the_transmitter_busy_and_loses_nothing(void **state)
{
    (void)state;
    teardown(NULL);
    make(4);
    out(FCR, 1);
    out(IER, 2);
    for (unsigned i = 0; i < 20; i++) /* 4 in the host, 16 in the FIFO */
        out(DATA, (uint8_t)('a' + i));
    (void)in(IIR);
    assert_int_equal(in(LSR)&0x60, 0);
    assert_false(f.irq.level);
    char got[32] = { 0 };
    size_t n = 0;
    for (unsigned i = 0; i < 5; i++)
        n += chardev_buffer_take(f.host, got + n, 4);
    assert_int_equal(n, 20);
    assert_string_equal(got, "abcdefghijklmnopqrst");
    assert_int_equal(in(LSR)&0x60, 0x60);
    assert_true(f.irq.level);
}

static void byte_written_to_a_full_fifo_is_lost(void **state)
{
    (void)state;
    teardown(NULL);
    make(1);
    out(FCR, 1);
    for (unsigned i = 0; i < 18; i++)
        out(DATA, (uint8_t)('a' + i));
    char got[32] = { 0 };
    for (unsigned i = 0; i < 18; i++)
        (void)chardev_buffer_take(f.host, got + i, 1);
    assert_string_equal(got, "abcdefghijklmnopq"); /* 'r' found 1 + 16 places taken */
    assert_int_equal(f.uart.errors.count, 1);
}

static void received_data_interrupts_from_the_trigger_level(void **state)
{
    (void)state;
    out(FCR, 0x81); /* level 8 */
    out(IER, 1);
    chardev_buffer_feed(f.host, "1234567", 7);
    assert_false(f.irq.level);
    chardev_buffer_feed(f.host, "8", 1);
    assert_true(f.irq.level);
    assert_int_equal(in(IIR)&0xf, 4);
    assert_int_equal(in(DATA), '1');
    assert_false(f.irq.level); /* fell below */
}

static void few_bytes_time_out_after_four_characters(void **state)
{
    (void)state;
    out(FCR, 0xc1);
    out(IER, 1);
    chardev_buffer_feed(f.host, "x", 1);
    /* divisor 1 is 115200 baud: 4 characters of 10 bits take 347.2 us */
    vm_clock_advance(&f.clock, 347 * US);
    assert_false(f.irq.level);
    vm_clock_advance(&f.clock, US);
    assert_true(f.irq.level);
    assert_int_equal(in(IIR), 0xcc);
    assert_int_equal(in(DATA), 'x');
    assert_false(f.irq.level);
    assert_int_equal(in(IIR), 0xc1);
}

static void slower_line_times_out_later(void **state)
{
    (void)state;
    out(LCR, 0x83);
    out(DATA, 12); /* 9600 baud */
    out(IER, 0);
    out(LCR, 3);
    out(FCR, 0xc1);
    out(IER, 1);
    chardev_buffer_feed(f.host, "x", 1);
    vm_clock_advance(&f.clock, 4166 * US);
    assert_false(f.irq.level);
    vm_clock_advance(&f.clock, US);
    assert_true(f.irq.level);
}

static void interrupt_priority_is_line_data_thre_modem(void **state)
{
    (void)state;
    out(MCR, 0x10);
    (void)in(MSR);
    out(MCR, 0x11); /* DSR changes: modem status */
    out(DATA, 'a');
    out(DATA, 'b'); /* overrun, in loopback without FIFO */
    out(IER, 0xf);
    assert_int_equal(in(IIR)&0xf, 6);
    assert_int_equal(in(LSR)&2, 2);
    assert_int_equal(in(IIR)&0xf, 4);
    assert_int_equal(in(DATA), 'b');
    assert_int_equal(in(IIR)&0xf, 2);
    assert_int_equal(in(IIR)&0xf, 0);
    assert_int_equal(in(MSR)&0xf, 2);
    assert_int_equal(in(IIR)&0xf, 1);
}

static void overrun_with_fifo_keeps_the_old_bytes(void **state)
{
    (void)state;
    out(FCR, 1);
    out(MCR, 0x10);
    for (unsigned i = 0; i < 17; i++)
        out(DATA, (uint8_t)i);
    assert_int_equal(in(LSR)&3, 3);
    assert_int_equal(in(LSR)&2, 0); /* reading cleared it */
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(in(DATA), i);
    assert_int_equal(in(LSR)&1, 0);
}

static void loopback_keeps_output_from_the_host(void **state)
{
    (void)state;
    out(MCR, 0x10);
    out(DATA, 'z');
    assert_int_equal(in(DATA), 'z');
    assert_int_equal(chardev_buffer_take(f.host, &(char[1]){ 0 }, 1), 0);
}

static void trailing_edge_of_ri_is_latched_leading_is_not(void **state)
{
    (void)state;
    out(MCR, 0x10);
    (void)in(MSR);
    out(MCR, 0x14);
    assert_int_equal(in(MSR), 0x40);
    out(MCR, 0x10);
    assert_int_equal(in(MSR), 0x04);
    assert_int_equal(in(MSR), 0x00);
}

static void far_end_is_present_and_ready(void **state)
{
    (void)state;
    assert_int_equal(in(MSR), 0xb0);
}

static void far_end_waits_until_the_guest_listens(void **state)
{
    (void)state;
    chardev_buffer_feed(f.host, "abc", 3);
    assert_int_equal(in(LSR)&1, 0);
    assert_int_equal(chardev_readable(f.host), 3);
    out(MCR, 2); /* RTS */
    assert_int_equal(in(LSR)&1, 1);
}

static void polling_guest_hears_without_rts(void **state)
{
    (void)state;
    chardev_buffer_feed(f.host, "q", 1);
    unsigned polls = 0;
    while (!(in(LSR)&1) && polls < 1000)
        polls++;
    assert_true(polls < 1000);
    assert_int_equal(in(DATA), 'q');
}

static void fifo_reset_keeps_unread_input(void **state)
{
    (void)state;
    out(MCR, 2);
    out(FCR, 1);
    chardev_buffer_feed(f.host, "abcdef", 6);
    out(FCR, 7);
    out(FCR, 0);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(in(DATA), 'a' + i);
}

static void out2_gates_the_interrupt_where_the_board_says_so(void **state)
{
    (void)state;
    f.uart.out2_gate = true;
    out(IER, 2);
    assert_false(f.irq.level);
    assert_int_equal(in(IIR)&0xf, 2); /* the chip itself does interrupt */
    out(IER, 0);
    out(MCR, 8);
    out(IER, 2);
    assert_true(f.irq.level);
}

static void more_input_than_fifo_comes_as_room_does(void **state)
{
    (void)state;
    out(FCR, 1);
    out(MCR, 2);
    char text[41];
    for (unsigned i = 0; i < 40; i++)
        text[i] = (char)('A' + i);
    chardev_buffer_feed(f.host, text, 40);
    assert_int_equal(chardev_readable(f.host), 40 - 16);
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(in(LSR)&1, 1);
        assert_int_equal(in(DATA), 'A' + i);
    }
    assert_int_equal(in(LSR)&3, 0);
}

static void state_survives_save_and_load(void **state)
{
    (void)state;
    struct uart16550 other;
    struct probe irq = { 0 };
    out(FCR, 0xc1);
    out(IER, 1);
    chardev_buffer_feed(f.host, "xyz", 3);
    uart16550_init(&other, &f.clock, NULL, PROBE_LINE(&irq));
    uart16550_class.reset(&other);
    check_round_trip(uart16550_class.state, &f.uart, &other);
    vm_clock_advance(&f.clock, 400 * US); /* the timeout was carried over */
    assert_true(irq.level);
    assert_int_equal(rd(&uart16550_io_ops, &other, DATA), 'x');
    uart16550_class.done(&other);
}

static void impossible_state_is_refused(void **state)
{
    (void)state;
    struct state_buf buf = { 0 };
    struct uart16550 other;
    f.uart.rx_count = 17;
    assert_int_equal(state_save(uart16550_class.state, &f.uart, &buf), 0);
    uart16550_init(&other, &f.clock, NULL, NULL);
    assert_true(state_load(uart16550_class.state, &other, &buf, NULL) < 0);
    state_buf_done(&buf);
    f.uart.rx_count = 0;
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(linux_finds_a_16550a),
        T(output_reaches_the_host_in_order),
        T(divisor_latch_hides_data_and_ier),
        T(scratch_keeps_any_byte),
        T(enabling_thre_interrupt_raises_it_at_once),
        T(every_byte_sent_gives_a_new_edge),
        T(full_host_keeps_the_transmitter_busy_and_loses_nothing),
        T(byte_written_to_a_full_fifo_is_lost),
        T(received_data_interrupts_from_the_trigger_level),
        T(few_bytes_time_out_after_four_characters),
        T(slower_line_times_out_later),
        T(interrupt_priority_is_line_data_thre_modem),
        T(overrun_with_fifo_keeps_the_old_bytes),
        T(loopback_keeps_output_from_the_host),
        T(trailing_edge_of_ri_is_latched_leading_is_not),
        T(far_end_is_present_and_ready),
        T(far_end_waits_until_the_guest_listens),
        T(polling_guest_hears_without_rts),
        T(fifo_reset_keeps_unread_input),
        T(out2_gates_the_interrupt_where_the_board_says_so),
        T(more_input_than_fifo_comes_as_room_does),
        T(state_survives_save_and_load),
        T(impossible_state_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
