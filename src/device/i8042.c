/* SPDX-License-Identifier: MIT */
/*
 * 8042: controller commands, and the answers of a keyboard that is not there.
 */
#include "device/i8042.h"

enum { ST_OBF = 0x01, ST_SYS = 0x04, ST_A2 = 0x08, ST_UNLOCKED = 0x10, ST_TIMEOUT = 0x40 };
enum { CB_IRQ1 = 0x01, CB_SYS = 0x04, CB_KBD_OFF = 0x10 };
enum { OUT_NOT_RESET = 0x01, OUT_A20 = 0x02 };
enum {
    CMD_READ_RAM = 0x20,  /* 20h..3Fh; 20h is the command byte */
    CMD_WRITE_RAM = 0x60, /* 60h..7Fh */
    CMD_SELF_TEST = 0xaa,
    CMD_TEST_KBD = 0xab,
    CMD_KBD_OFF = 0xad,
    CMD_KBD_ON = 0xae,
    CMD_READ_INPUT = 0xc0,
    CMD_READ_OUTPUT = 0xd0,
    CMD_WRITE_OUTPUT = 0xd1,
    CMD_WRITE_KBD_BUFFER = 0xd2,
    CMD_PULSE = 0xf0, /* F0h..FFh: bits that are 0 pulse low */
};
enum { SELF_TEST_OK = 0x55, INTERFACE_OK = 0x00, INPUT_PORT = 0x80, RESEND = 0xfe };

static void update_irq(struct i8042 *k)
{
    irq_set(&k->irq, (k->status & ST_OBF) && (k->command & CB_IRQ1));
}

static void answer(struct i8042 *k, uint8_t byte)
{
    k->output = byte;
    k->status = (uint8_t)((k->status & ~ST_TIMEOUT) | ST_OBF);
}

static void set_outport(struct i8042 *k, uint8_t v)
{
    k->outport = v;
    irq_set(&k->a20, v & OUT_A20);
    if (!(v & OUT_NOT_RESET))
        irq_pulse(&k->reset);
}

static void write_command_byte(struct i8042 *k, uint8_t v)
{
    k->command = v;
    k->status = (uint8_t)((k->status & ~ST_SYS) | (v & CB_SYS ? ST_SYS : 0));
}

static void self_test(struct i8042 *k)
{
    k->command = CB_KBD_OFF | CB_SYS;
    k->status = ST_SYS | ST_UNLOCKED | ST_A2;
    k->pending = 0;
    answer(k, SELF_TEST_OK);
}

static void command(struct i8042 *k, uint8_t v)
{
    k->pending = 0;
    if (v >= CMD_PULSE) {
        if (!(v & OUT_NOT_RESET))
            irq_pulse(&k->reset);
        return;
    }
    if (v >= CMD_READ_RAM && v < CMD_READ_RAM + 0x20) {
        answer(k, v == CMD_READ_RAM ? k->command : k->ram[v & 0x1f]);
        return;
    }
    if (v >= CMD_WRITE_RAM && v < CMD_WRITE_RAM + 0x20) {
        k->pending = v;
        return;
    }
    switch (v) {
    case CMD_SELF_TEST: self_test(k); break;
    case CMD_TEST_KBD: answer(k, INTERFACE_OK); break;
    case CMD_KBD_OFF: k->command |= CB_KBD_OFF; break;
    case CMD_KBD_ON: k->command &= (uint8_t)~CB_KBD_OFF; break;
    case CMD_READ_INPUT: answer(k, INPUT_PORT); break;
    case CMD_READ_OUTPUT: answer(k, k->outport); break;
    case CMD_WRITE_OUTPUT:
    case CMD_WRITE_KBD_BUFFER: k->pending = v; break;
    default: guest_err(&k->errors, "i8042: unknown command %#x", v); break; /* mouse ports among them: no answer */
    }
}

static void data(struct i8042 *k, uint8_t v)
{
    uint8_t cmd = k->pending;
    k->pending = 0;
    if (cmd == CMD_WRITE_RAM)
        write_command_byte(k, v);
    else if (cmd > CMD_WRITE_RAM && cmd < CMD_WRITE_RAM + 0x20)
        k->ram[cmd & 0x1f] = v;
    else if (cmd == CMD_WRITE_OUTPUT)
        set_outport(k, v);
    else if (cmd == CMD_WRITE_KBD_BUFFER)
        answer(k, v);
    else { /* for the keyboard, which does not answer; sending also turns its interface on */
        k->command &= (uint8_t)~CB_KBD_OFF;
        answer(k, RESEND);
        k->status |= ST_TIMEOUT;
    }
}

static uint64_t data_read(void *dev, uint64_t offset, unsigned size)
{
    struct i8042 *k = dev;
    (void)offset;
    (void)size;
    k->status &= (uint8_t) ~(ST_OBF | ST_TIMEOUT);
    update_irq(k);
    return k->output;
}

static void data_write(void *dev, uint64_t offset, uint64_t value, unsigned size)
{
    struct i8042 *k = dev;
    (void)offset;
    (void)size;
    k->status &= (uint8_t)~ST_A2;
    irq_set(&k->irq, false); /* an answer not yet read is replaced, with an edge of its own */
    data(k, (uint8_t)value);
    update_irq(k);
}

static uint64_t command_read(void *dev, uint64_t offset, unsigned size)
{
    (void)offset;
    (void)size;
    return ((struct i8042 *)dev)->status;
}

static void command_write(void *dev, uint64_t offset, uint64_t value, unsigned size)
{
    struct i8042 *k = dev;
    (void)offset;
    (void)size;
    k->status |= ST_A2;
    command(k, (uint8_t)value);
    update_irq(k);
}

static void i8042_reset(void *dev)
{
    struct i8042 *k = dev;
    k->status = ST_SYS | ST_UNLOCKED; /* as after firmware's self test */
    k->command = CB_SYS | CB_KBD_OFF;
    k->output = k->pending = 0;
    k->outport = OUT_NOT_RESET | OUT_A20;
    for (unsigned i = 0; i < sizeof(k->ram); i++)
        k->ram[i] = 0;
    irq_set(&k->a20, true);
    update_irq(k);
}

static const struct state_field i8042_fields[] = {
    STATE_U8(struct i8042, status),
    STATE_U8(struct i8042, command),
    STATE_U8(struct i8042, output),
    STATE_U8(struct i8042, outport),
    STATE_U8(struct i8042, pending),
    STATE_BYTES(struct i8042, ram),
    STATE_END,
};
static const struct state_desc i8042_state = {
    .name = "i8042",
    .version = 1,
    .fields = i8042_fields,
};

const struct io_ops i8042_data_io_ops = { .read = data_read, .write = data_write, .min_size = 1, .max_size = 1 };
const struct io_ops i8042_command_io_ops = { .read = command_read, .write = command_write, .min_size = 1, .max_size = 1 };
const struct device_class i8042_class = { .name = "i8042", .reset = i8042_reset, .state = &i8042_state };

void i8042_init(struct i8042 *kbc, const struct irq_line *irq, const struct irq_line *reset, const struct irq_line *a20)
{
    *kbc = (struct i8042){ .outport = OUT_NOT_RESET | OUT_A20 };
    if (irq)
        kbc->irq = *irq;
    if (reset)
        kbc->reset = *reset;
    if (a20)
        kbc->a20 = *a20;
}
