/* SPDX-License-Identifier: MIT */
/*
 * The kernel of lockstep_test's guest: position-independent, copied to LS_P_KERNEL.
 *
 * Vectors 0..31 enter at 16 bytes each. A fault is logged, its frame's arithmetic flags are cleared (docs/decisions/0006), and the
 * program goes on behind the instruction. Handlers run on stacks of their own and touch nothing that may fault.
 */
#include "lockstep_layout.h"

        .section .rodata
        .globl lockstep_guest, lockstep_guest_end
        .globl lockstep_int_log, lockstep_int_pause, lockstep_int_end, lockstep_irq, lockstep_syscall
        .balign 16
lockstep_guest:
        .set n, 0
        .rept 32
        .balign 16
        .if !(n == 8 || (n >= 10 && n <= 14) || n == 17)
        pushq $0
        .endif
        pushq $n
        jmp fault
        .set n, n + 1
        .endr

        .balign 16
fault:  push %rax
        push %rcx
        push %rdx /* rdx rcx rax vector error rip cs rflags rsp ss */
        movabs $LS_V_LOG, %rdx
        mov LS_LOG_FAULTS(%rdx), %eax
        incl LS_LOG_FAULTS(%rdx)
        and $63, %eax
        shl $5, %eax
        lea LS_LOG_RING(%rdx, %rax), %rdx
        mov 40(%rsp), %rcx
        mov %rcx, (%rdx)
        mov 24(%rsp), %rcx
        mov %rcx, 8(%rdx)
        mov 32(%rsp), %rcx
        mov %rcx, 16(%rdx)
        mov %cr2, %rcx
        mov %rcx, 24(%rdx)
        cmpl $3, 24(%rsp)
        je 3f
        cmpl $1, 24(%rsp)
        je 2f
        andl $~0x8d5, 56(%rsp)
        mov 40(%rsp), %rax
        mov $(LS_V_WINDOW + (LS_W_CODE << 12)), %ecx
        sub %rcx, %rax
        cmp $LS_CODE_BYTES, %rax
        jae 1f
        movabs $LS_V_RESUME, %rdx
        movzwl (%rdx, %rax, 2), %edx
        add %rdx, %rcx
        mov %rcx, 40(%rsp)
        jmp 3f
1:      movabs $LS_V_LOG, %rdx /* lost: to the end of the loop, in 64-bit code */
        mov LS_LOG_WILD(%rdx), %rax
        mov %rax, 40(%rsp)
        mov $LS_CS, %eax
        testl $3, 48(%rsp)
        jz 4f
        mov $LS_USER_CS, %eax
4:      mov %rax, 48(%rsp)
        jmp 3f
2:      andl $~0x100, 56(%rsp) /* one step is enough */
3:      pop %rdx
        pop %rcx
        pop %rax
        add $16, %rsp
        iretq

lockstep_int_log:
lockstep_irq:
        push %rdx
        movabs $LS_V_LOG, %rdx
        incl LS_LOG_SOFT(%rdx)
        pop %rdx
        iretq

lockstep_int_pause:
        hlt
        iretq

lockstep_int_end:
        movabs $LS_V_LOG, %rdx
        incl LS_LOG_DONE(%rdx)
1:      hlt
        jmp 1b

/* Every second time on at CPL 0, else back to CPL 3; no stack. */
#define SYSCALLS lockstep_guest + LS_P_LOG - LS_P_KERNEL + LS_LOG_SYSCALLS(%rip)
lockstep_syscall:
        incl SYSCALLS
        testl $1, SYSCALLS
        jz 1f
        jmp *%rcx
1:      sysretq
        .balign 16
lockstep_guest_end:
        .section .note.GNU-stack, "", @progbits
