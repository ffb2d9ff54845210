/* SPDX-License-Identifier: MIT */
/* stream ADDRESS PORT up|down SECONDS: one bulk stream; prints Gb/s of payload that arrived. */
#include "proto.h"

static char buf[1 << 17];

int main(int argc, char **argv)
{
    if (argc != 5) {
        fputs("usage: stream ADDRESS PORT up|down SECONDS\n", stderr);
        return 1;
    }
    int up = !strcmp(argv[3], "up");
    double seconds = atof(argv[4]), start, end;
    uint64_t total = 0;
    int fd = dial(argv[1], argv[2], 0, up ? BENCH_SINK : BENCH_SOURCE, (uint32_t)(seconds * 1e3));
    start = now_s();
    if (up) {
        while (now_s() - start < seconds)
            write_all(fd, buf, sizeof(buf));
        shutdown(fd, SHUT_WR);
        read_all(fd, &total, sizeof(total));
    } else {
        ssize_t n;
        while ((n = read(fd, buf, sizeof(buf))) > 0)
            total += (uint64_t)n;
        if (n < 0)
            fail("read");
    }
    end = now_s();
    close(fd);
    printf("%.3f\n", (double)total * 8 / (end - start) / 1e9);
    return 0;
}
