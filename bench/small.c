/* SPDX-License-Identifier: MIT */
/* small ADDRESS PORT SIZE SECONDS nagle|nodelay: a stream of small writes; prints millions of writes a second whose
 * bytes arrived. */
#include "proto.h"

int main(int argc, char **argv)
{
    static char buf[65536];
    size_t size = argc == 6 ? (size_t)atoi(argv[3]) : 0;
    uint64_t total = 0, writes = 0;
    if (size < 1 || size > sizeof(buf)) {
        fputs("usage: small ADDRESS PORT SIZE SECONDS nagle|nodelay\n", stderr);
        return 1;
    }
    int fd = dial(argv[1], argv[2], !strcmp(argv[5], "nodelay"), BENCH_SINK, 0);
    double start = now_s(), end = start + atof(argv[4]);
    do { /* the clock is looked at now and then only: it costs as much as a small write may */
        for (int i = 0; i < 64; i++, writes++)
            write_all(fd, buf, size);
    } while (now_s() < end);
    shutdown(fd, SHUT_WR);
    read_all(fd, &total, sizeof(total));
    end = now_s();
    close(fd);
    if (total != writes * size) {
        fprintf(stderr, "bench: %llu bytes arrived of %llu\n", (unsigned long long)total, (unsigned long long)(writes * size));
        return 1;
    }
    printf("%.4f\n", (double)writes / (end - start) / 1e6);
    return 0;
}
