/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_TESTS_TINYTEST_H
#define SLUICE_TESTS_TINYTEST_H
/* Criterion's TestSuite(), Test() and cr_assert*(), or, under ThreadSanitizer, as much of them as the threaded tests use.
 *
 * Criterion cannot start there: it allocates its shared state with an allocator of its own that maps an inheritable
 * arena at an address which TSan's shadow occupies ("Could not create the inheritable arena"). So in a
 * build with -fsanitize=thread this header is the runner: each test in a child (TSan allows fork() while there is one
 * thread), TAP lines to the file of --tap=FILE, as run.sh asks. A data race ends the child with TSan's status 66. */

#ifndef __SANITIZE_THREAD__
#include <criterion/criterion.h>
#else
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct tiny_test {
    const char *suite, *name;
    void (*fn)(void);
    struct tiny_test *next;
};
struct tiny_suite {
    const char *name;
    void (*init)(void), (*fini)(void);
};
/* One test file is one program with one suite. */
static struct tiny_test *tiny_tests, **tiny_end = &tiny_tests;
extern struct tiny_suite tiny_suite;

#define TestSuite(suite, ...)                                                                                          \
    struct tiny_suite tiny_suite = {.name = #suite, __VA_ARGS__}
#define Test(s, n, ...)                                                                                                \
    static void s##_##n(void);                                                                                         \
    __attribute__((constructor)) static void tiny_add_##s##_##n(void)                                                  \
    {                                                                                                                  \
        static struct tiny_test t = {.suite = #s, .name = #n, .fn = s##_##n};                                          \
        *tiny_end = &t;                                                                                                \
        tiny_end = &t.next;                                                                                            \
    }                                                                                                                  \
    static void s##_##n(void)

static void __attribute__((noreturn, unused)) tiny_fail(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: failed: %s\n", file, line, what);
    fflush(NULL);
    _exit(1);
}
#define cr_assert(c, ...) ((c) ? (void)0 : tiny_fail(__FILE__, __LINE__, #c))
#define cr_assert_eq(a, b, ...) cr_assert((a) == (b))
#define cr_assert_neq(a, b, ...) cr_assert((a) != (b))
#define cr_assert_gt(a, b, ...) cr_assert((a) > (b))
#define cr_assert_geq(a, b, ...) cr_assert((a) >= (b))
#define cr_assert_not_null(a, ...) cr_assert((a) != NULL)
#define cr_expect cr_assert
#define cr_expect_eq cr_assert_eq

static void tiny_run(const struct tiny_test *t)
{
    if (tiny_suite.init)
        tiny_suite.init();
    t->fn();
    if (tiny_suite.fini)
        tiny_suite.fini();
    fflush(NULL);
    exit(0); /* not _exit(): TSan gives its status 66 there */
}

int main(int argc, char **argv)
{
    FILE *tap = stdout;
    int failed = 0, seconds = 60;

    for (int i = 1; i < argc; i++)
        if (!strncmp(argv[i], "--tap=", 6) && !(tap = fopen(argv[i] + 6, "w")))
            return 2;
        else if (!strncmp(argv[i], "--timeout=", 10))
            seconds = atoi(argv[i] + 10);
    for (const struct tiny_test *t = tiny_tests; t; t = t->next) {
        int status = 0;
        pid_t pid;

        fflush(NULL);
        pid = fork();
        if (pid == 0) {
            alarm((unsigned)seconds);
            tiny_run(t);
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid)
            return 2;
        failed += status != 0;
        fprintf(tap, "%sok - %s::%s", status ? "not " : "", t->suite, t->name);
        fprintf(tap, status == 0 ? "\n" : WIFSIGNALED(status) ? " (signal %d)\n" : " (status %d)\n",
                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    }
    fclose(tap);
    return failed != 0;
}
#endif
#endif
