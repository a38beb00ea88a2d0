/* SPDX-License-Identifier: MIT */
/*
 * Start of our 64-bit guests: from PVH's flat 32-bit mode to long mode, and the entries that C cannot write.
 *
 * Memory is mapped one to one in 2 MiB pages for the supervisor, the first GiB of it; USER and above are the kernel's to map. The
 * selectors of ring 3 are chosen so that on the bare CPU, in ring 3 of Linux, IRET to them is a fault and not a success.
 *
 * Spec: Xen docs/misc/pvh.pandoc; Intel SDM 3A 9.8.5, 6.14
 */
#define KERNEL_CS 0x08
#define STACK_SIZE 16384

        .section .note, "a", @note
        .long 4, 4, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
        .asciz "Xen"
        .long _start

        .section .text.boot, "ax"
        .code32
        .globl _start
_start: cld
        mov $stack_top, %esp
        mov $pdpt + 3, %eax
        mov %eax, pml4
        orl $4, pml4
        movl $pd_low + 3, pdpt
        movl $pd_high + 7, pdpt + 8
        mov $pd_low, %edi
        mov $0x83, %eax /* present, writable, 2 MiB */
1:      mov %eax, (%edi)
        movl $0, 4(%edi)
        add $0x200000, %eax
        add $8, %edi
        cmp $pd_low + 4096, %edi
        jne 1b
        mov $0x20, %eax /* PAE */
        mov %eax, %cr4
        mov $pml4, %eax
        mov %eax, %cr3
        mov $0xc0000080, %ecx
        rdmsr
        or $0x901, %eax /* SCE, LME, NXE */
        wrmsr
        mov $0x80010021, %eax /* PG, WP, NE, PE */
        mov %eax, %cr0
        lgdt gdt_pointer
        mov $0x10, %eax
        mov %eax, %ds
        mov %eax, %es
        mov %eax, %ss
        ljmp $KERNEL_CS, $start64

        .code64
start64:
        xor %ebp, %ebp
        call kmain
1:      hlt
        jmp 1b

        .text
/* ---- interrupts and exceptions: struct frame of tiny.h ---- */
        .macro save
        push %r15
        push %r14
        push %r13
        push %r12
        push %r11
        push %r10
        push %r9
        push %r8
        push %rbp
        push %rdi
        push %rsi
        push %rdx
        push %rcx
        push %rbx
        push %rax
        .endm
        .macro restore
        pop %rax
        pop %rbx
        pop %rcx
        pop %rdx
        pop %rsi
        pop %rdi
        pop %rbp
        pop %r8
        pop %r9
        pop %r10
        pop %r11
        pop %r12
        pop %r13
        pop %r14
        pop %r15
        .endm

        .altmacro
        .macro stub n
vector\n:
        .if !(\n == 8 || (\n >= 10 && \n <= 14) || \n == 17)
        push $0
        .endif
        push $\n
        jmp common
        .endm
        .set n, 0
        .rept 48
        stub %n
        .set n, n + 1
        .endr

#ifdef PARAVIRT
/* What was interrupted has RFLAGS.IF set, and the gate left it so: the shared page's flag is put off and back. Where no privilege
 * level changes the way back needs no IRET, which traps: POPF is enough for the flags that an instruction can see. */
        .set FRAME_VECTOR, 120
        .set FRAME_RIP, 136
        .set FRAME_CS, 144
        .set FRAME_RFLAGS, 152
        .set FRAME_RSP, 160
common: save
        cld
        movzbl shared, %ebx
        movb $0, shared
        mov %rsp, %rdi
        call on_trap
        test %bl, %bl
        jz 1f
        movb $1, shared
        cmpb $0, shared + 1
        je 1f
        call irq_take_pending
1:      cmpl $KERNEL_CS, FRAME_CS(%rsp)
        jne 2f
        mov FRAME_RSP(%rsp), %rax
        mov FRAME_RIP(%rsp), %rcx
        mov FRAME_RFLAGS(%rsp), %rdx
        sub $16, %rax /* above the part of the frame that is still needed */
        mov %rcx, 8(%rax)
        mov %rdx, (%rax)
        mov %rax, FRAME_VECTOR(%rsp)
        restore
        pop %rsp
        popfq
        ret
2:      restore
        add $16, %rsp
        iretq
#else
common: save
        cld
        mov %rsp, %rdi
        call on_trap
        restore
        add $16, %rsp
        iretq
#endif

/* ---- system calls: number in rax, arguments in rdi, rsi; result in rax ---- */
        .globl syscall_entry
syscall_entry:
        mov %rsp, user_rsp
        mov kernel_rsp, %rsp
        push user_rsp
        push %rcx
        push %r11
        mov %rsi, %rdx
        mov %rdi, %rsi
        mov %rax, %rdi
        call on_syscall
        pop %r11
        pop %rcx
        pop %rsp
        sysretq

/* int run_user(void (*entry)(void), void *stack): until end_user(status). Calls do not nest;
 * interrupts are on before, in between and afterwards. */
        .globl run_user, end_user
run_user:
        cli /* not on the user's stack */
        push %rbx
        push %rbp
        push %r12
        push %r13
        push %r14
        push %r15
        mov %rsp, user_return
        mov %rdi, %rcx
        mov %rsi, %rsp
        mov $0x202, %r11d
        sysretq
end_user:
        mov user_return, %rsp
        mov %edi, %eax
        pop %r15
        pop %r14
        pop %r13
        pop %r12
        pop %rbp
        pop %rbx
        sti
        ret

/* void switch_stack(void **save_rsp, void *rsp) */
        .globl switch_stack
switch_stack:
        push %rbx
        push %rbp
        push %r12
        push %r13
        push %r14
        push %r15
        mov %rsp, (%rdi)
        mov %rsi, %rsp
        pop %r15
        pop %r14
        pop %r13
        pop %r12
        pop %rbp
        pop %rbx
        ret

        .section .rodata
        .globl vectors
        .macro entry n
        .quad vector\n
        .endm
        .align 8
vectors:
        .set n, 0
        .rept 48
        entry %n
        .set n, n + 1
        .endr

        .data
        .align 16
        .globl gdt
gdt:    .quad 0
        .quad 0x00af9b000000ffff /* 08: kernel code */
        .quad 0x00cf93000000ffff /* 10: kernel data */
        .quad 0, 0               /* 18: TSS */
        .quad 0, 0, 0
        .quad 0x00cff3000000ffff /* 40: user data */
        .quad 0x00affb000000ffff /* 48: user code */
gdt_end:
gdt_pointer:
        .word gdt_end - gdt - 1
        .quad gdt
        .globl kernel_rsp
kernel_rsp: /* for entries from ring 3: the kernel's own stack has what called run_user() */
        .quad entry_stack_top

        .bss
        .align 4096
        .globl pd_high
pml4:   .skip 4096
pdpt:   .skip 4096
pd_low: .skip 4096
pd_high:
        .skip 4096
        .skip STACK_SIZE
stack_top:
        .skip STACK_SIZE
entry_stack_top:
user_rsp:
        .skip 8
user_return:
        .skip 8
