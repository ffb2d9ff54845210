/* SPDX-License-Identifier: MIT */
/* rr ADDRESS PORT SIZE SECONDS: one request, one response, again; prints the median round trip in microseconds
 * and the 99th percentile. */
#include "proto.h"

static char buf[65536];
static double us[2000000];

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    size_t size = argc == 5 ? (size_t)atoi(argv[3]) : 0, n = 0;
    if (size < 1 || size > sizeof(buf)) {
        fputs("usage: rr ADDRESS PORT SIZE SECONDS\n", stderr);
        return 1;
    }
    int fd = dial(argv[1], argv[2], 1, BENCH_ECHO, (uint32_t)size);
    double end, t0, t1;
    for (int i = 0; i < 200; i++) { /* warm up */
        write_all(fd, buf, size);
        read_all(fd, buf, size);
    }
    end = now_s() + atof(argv[4]);
    do {
        t0 = now_s();
        write_all(fd, buf, size);
        read_all(fd, buf, size);
        t1 = now_s();
        us[n++] = (t1 - t0) * 1e6;
    } while (t1 < end && n < sizeof(us) / sizeof(us[0]));
    close(fd);
    qsort(us, n, sizeof(us[0]), compare);
    printf("%.2f %.2f\n", us[n / 2], us[n * 99 / 100]);
    return 0;
}
