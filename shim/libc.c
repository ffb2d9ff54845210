/* SPDX-License-Identifier: MIT */
/* The real functions.
 *
 * Each real_xxx starts out at a stub that looks the symbol up and jumps to it, so that a call works before
 * our constructor has run. dlsym() may itself call functions that we intercept (an interposed malloc that
 * reads files): inside it the stub makes the raw system call instead and looks the symbol up next time. */

#include "libc.h"
#include <dlfcn.h>
#include <sys/syscall.h>

#ifndef __x86_64__
#error "sluice's entry stubs are written for x86-64"
#endif

__thread struct shim_tls shim_tls __attribute__((tls_model("initial-exec"), visibility("hidden")));
_Static_assert(sizeof(struct shim_tls) < 256, "thread-local state comes out of every thread's stack");

#define STR_(x) #x
#define STR(x) STR_(x)

/* early_NAME: %r11 = the slot, on to libc_early. raw_NAME: the system call by libc's convention. */
#define SYM(name, nr)                                                                              \
    extern __typeof__(name) early_##name __attribute__((visibility("hidden")));                    \
    extern __typeof__(name) raw_##name __attribute__((visibility("hidden")));                      \
    __typeof__(name) *real_##name __attribute__((visibility("hidden"))) = early_##name;            \
    __asm__(".pushsection .text\n"                                                                 \
            ".globl early_" #name "\n.hidden early_" #name "\n.type early_" #name ",@function\n"   \
            "early_" #name ":\n"                                                                   \
            "    lea real_" #name "(%rip), %r11\n"                                                 \
            "    jmp libc_early\n"                                                                 \
            ".globl raw_" #name "\n.hidden raw_" #name "\n.type raw_" #name ",@function\n"         \
            "raw_" #name ":\n"                                                                     \
            "    mov $" STR(nr) ", %eax\n"                                                         \
            "    jmp libc_raw\n"                                                                   \
            ".popsection\n");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* siginterrupt */
#include "intercept.def"
#undef SYM

static const struct symbol {
    const char *name;
    void **slot;
    void *early, *raw;
} symbols[] = {
#define SYM(name, nr) {#name, (void **)&real_##name, (void *)early_##name, (void *)raw_##name},
#include "intercept.def"
#undef SYM
};
#pragma GCC diagnostic pop

/* Every argument register is kept (variadic functions count vector registers in %al). */
__asm__(".pushsection .text\n"
        ".type libc_early,@function\n"
        "libc_early:\n"
        "    push %rbp\n"
        "    mov %rsp, %rbp\n"
        "    and $-16, %rsp\n"
        "    sub $192, %rsp\n"
        "    mov %rdi, 0(%rsp)\n"
        "    mov %rsi, 8(%rsp)\n"
        "    mov %rdx, 16(%rsp)\n"
        "    mov %rcx, 24(%rsp)\n"
        "    mov %r8, 32(%rsp)\n"
        "    mov %r9, 40(%rsp)\n"
        "    mov %rax, 48(%rsp)\n"
        "    movaps %xmm0, 64(%rsp)\n"
        "    movaps %xmm1, 80(%rsp)\n"
        "    movaps %xmm2, 96(%rsp)\n"
        "    movaps %xmm3, 112(%rsp)\n"
        "    movaps %xmm4, 128(%rsp)\n"
        "    movaps %xmm5, 144(%rsp)\n"
        "    movaps %xmm6, 160(%rsp)\n"
        "    movaps %xmm7, 176(%rsp)\n"
        "    mov %r11, %rdi\n"
        "    call libc_lookup\n"
        "    mov %rax, %r11\n"
        "    mov 0(%rsp), %rdi\n"
        "    mov 8(%rsp), %rsi\n"
        "    mov 16(%rsp), %rdx\n"
        "    mov 24(%rsp), %rcx\n"
        "    mov 32(%rsp), %r8\n"
        "    mov 40(%rsp), %r9\n"
        "    mov 48(%rsp), %rax\n"
        "    movaps 64(%rsp), %xmm0\n"
        "    movaps 80(%rsp), %xmm1\n"
        "    movaps 96(%rsp), %xmm2\n"
        "    movaps 112(%rsp), %xmm3\n"
        "    movaps 128(%rsp), %xmm4\n"
        "    movaps 144(%rsp), %xmm5\n"
        "    movaps 160(%rsp), %xmm6\n"
        "    movaps 176(%rsp), %xmm7\n"
        "    leave\n"
        "    jmp *%r11\n"
        ".type libc_raw,@function\n"
        "libc_raw:\n"
        "    cmp $-1, %eax\n"
        "    je 2f\n"
        "    mov %rcx, %r10\n"
        "    syscall\n"
        "    cmp $-4095, %rax\n"
        "    jae 1f\n"
        "    ret\n"
        "1:  neg %eax\n"
        "    mov %eax, %edi\n"
        "    jmp libc_set_errno\n"
        "2:  mov $" STR(38) ", %edi\n" /* ENOSYS */
        "    jmp libc_set_errno\n"
        ".popsection\n");

long libc_set_errno(int e) __attribute__((visibility("hidden"), used));
long libc_set_errno(int e)
{
    errno = e;
    return -1;
}

static void *resolve(const struct symbol *s)
{
    int saved = errno;
    void *p = NULL;

    if (!shim_tls.resolving) {
        shim_tls.resolving = 1;
        p = dlsym(RTLD_NEXT, s->name);
        shim_tls.resolving = 0;
    }
    if (p)
        __atomic_store_n(s->slot, p, __ATOMIC_RELEASE);
    errno = saved;
    return p ? p : s->raw;
}

void *libc_lookup(void **slot) __attribute__((visibility("hidden"), used));
void *libc_lookup(void **slot)
{
    for (size_t i = 0; i < ARRAY_SIZE(symbols); i++)
        if (symbols[i].slot == slot)
            return resolve(&symbols[i]);
    abort();
}

void libc_resolve_all(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(symbols); i++)
        if (__atomic_load_n(symbols[i].slot, __ATOMIC_RELAXED) == symbols[i].early && resolve(&symbols[i]) == symbols[i].raw)
            __atomic_store_n(symbols[i].slot, symbols[i].raw, __ATOMIC_RELEASE); /* a libc without it */
}
