/* SPDX-License-Identifier: MIT */
/*
 * A small 32-bit Multiboot guest for tests of board `pc`; the last character of its command line says what it does.
 *
 *   k  prints 40 letters computed by a fixed rule, sleeping in HLT for timer interrupts between them (8259, 8254, COM1),
 *      and ends through the debug exit port with a value computed along the way
 *   o  powers off by ACPI       r  resets by port CF9h       8  resets by the keyboard controller
 *   p  prints what a panicking Linux prints, then resets
 *   t  triple faults            j  jumps to where there is no memory
 *   f  floods a port            h  halts with interrupts off  l  loops
 *   b  prints 'b', waits for the power button, prints 'B' and powers off by ACPI
 *   e  echoes what COM1 receives until it reads 'q', then exits with 1
 */
#define COM1 0x3f8

        .code32
        .section .text
        .globl _start
        .align 4
        .long 0x1badb002, 0, -0x1badb002

_start: mov $stack_top, %esp
        cld
        testl $4, (%ebx) /* flags: a command line is there */
        jz loop
        mov 16(%ebx), %esi
1:      lodsb
        test %al, %al
        jz 2f
        mov %al, %dl
        jmp 1b
2:      mov $table, %esi
3:      lodsb
        test %al, %al
        jz loop
        cmp %al, %dl
        lodsl
        jne 3b
        jmp *%eax

        .macro entry char, target
        .byte \char
        .long \target
        .endm
table:  entry 'k', ticks
        entry 'o', poweroff
        entry 'r', reset
        entry '8', kbd_reset
        entry 'p', panic
        entry 't', triple
        entry 'j', space
        entry 'f', flood
        entry 'h', halt
        entry 'l', loop
        entry 'e', echo
        entry 'b', button
        .byte 0

poweroff:
        mov $0x604, %dx
        mov $(5 << 10 | 1 << 13), %ax
        out %ax, %dx
        jmp loop
button: mov $0x602, %dx /* PM1 enable: PWRBTN_EN */
        mov $0x100, %ax
        out %ax, %dx
        mov $'b', %al
        call putc
        mov $0x600, %dx
1:      in %dx, %ax
        test $0x100, %ax
        jz 1b
        mov $'B', %al
        call putc
        jmp poweroff
panic:  mov $panic_text, %esi
1:      lodsb
        test %al, %al
        jz reset
        call putc
        jmp 1b
reset:  mov $0xcf9, %dx
        mov $6, %al
        out %al, %dx
        jmp loop
kbd_reset:
        mov $0xfe, %al
        out %al, $0x64
        jmp loop
triple: lidt no_idt
        int3
        jmp loop
space:  mov $0xb8000000, %eax
        jmp *%eax
flood:  out %al, $0x80
        jmp flood
halt:   cli
        hlt
        jmp halt
loop:   jmp loop

echo:   mov $(COM1 + 4), %dx /* MCR: DTR and RTS */
        mov $3, %al
        out %al, %dx
1:      mov $(COM1 + 5), %dx
        in %dx, %al
        test $1, %al
        jz 1b
        mov $COM1, %dx
        in %dx, %al
        cmp $'q', %al
        je 2f
        call putc
        jmp 1b
2:      xor %eax, %eax
        out %eax, $0xf4
        jmp loop

/* Prints al. */
putc:   push %eax
        mov $(COM1 + 5), %dx
1:      in %dx, %al
        test $0x20, %al
        jz 1b
        pop %eax
        mov $COM1, %dx
        out %al, %dx
        ret

ticks:  call set_up_timer
        mov $40, %ebp
        mov $12345, %ebx
next:   movl $0, tick_count
1:      sti
        hlt
        cli
        cmpl $3, tick_count
        jb 1b
        mov $5000, %ecx /* the rule: a linear congruence, stirred through memory */
2:      imul $1664525, %ebx, %ebx
        add $1013904223, %ebx
        mov %ebx, %eax
        shr $22, %eax
        add numbers(, %eax, 4), %ebx
        mov %ebx, numbers(, %eax, 4)
        loop 2b
        mov %ebx, %eax
        shr $16, %eax
        and $15, %eax
        add $'A', %eax
        call putc
        dec %ebp
        jnz next
        mov %ebx, %eax
        shr $20, %eax
        and $63, %eax
        out %eax, $0xf4
        jmp loop

set_up_timer:
        mov $timer, %eax /* interrupt gate 20h */
        mov %ax, idt + 0x20 * 8
        mov %cs, idt + 0x20 * 8 + 2
        movw $0x8e00, idt + 0x20 * 8 + 4
        shr $16, %eax
        mov %ax, idt + 0x20 * 8 + 6
        lidt idt_pointer
        mov $0x11, %al
        out %al, $0x20
        mov $0x20, %al
        out %al, $0x21
        mov $4, %al
        out %al, $0x21
        mov $1, %al
        out %al, $0x21
        mov $0xfe, %al
        out %al, $0x21
        mov $0x34, %al /* channel 0, both bytes, rate generator */
        out %al, $0x43
        mov $(1193 & 0xff), %al
        out %al, $0x40
        mov $(1193 >> 8), %al
        out %al, $0x40
        ret

timer:  push %eax
        incl tick_count
        mov $0x20, %al
        out %al, $0x20
        pop %eax
        iret

        .section .data
panic_text:
        .asciz "[    0.1] Kernel panic - not syncing: test\r\n"
        .align 4
no_idt: .word 0
        .long 0
idt_pointer:
        .word 0x21 * 8 - 1
        .long idt

        .section .bss
        .align 16
idt:    .skip 0x21 * 8
tick_count:
        .skip 4
        .align 16
numbers:
        .skip 4 * 1024
        .skip 4096
stack_top:
