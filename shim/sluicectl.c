/* SPDX-License-Identifier: MIT */
/* The `sluicectl` command: looks at running sluice processes (ss, nstat) and at the host (doctor.c).
 *
 * A process serves the abstract socket "\0sluice/<pid>"; what it answers is described in stats.c. Sockets of
 * the process that the kernel serves come from /proc: its descriptors and its namespace's tcp tables. */

#include "doctor.h"
#include <argp.h>
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef SLUICE_VERSION
#define SLUICE_VERSION "0.1"
#endif

__attribute__((visibility("default"))) const char *argp_program_version = "sluicectl " SLUICE_VERSION;

struct ctl {
    const char *command;
    bool json;
    int pid; /* 0: all */
};

static void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void complain(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("sluicectl: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
}

/* ---- the processes ------------------------------------------------------------------------------------------- */

/* Pids of all that serve, in ascending order. Returns how many; *res is malloc'ed. */
static int by_number(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
static size_t find_processes(int **res)
{
    char line[512];
    size_t n = 0;
    *res = NULL;
    FILE *f = fopen("/proc/net/unix", "re");
    while (f && fgets(line, sizeof(line), f)) {
        const char *p = strstr(line, "@sluice/");
        if (!p || strtoul(line + strcspn(line, ":") + 1, NULL, 16) == 0)
            continue;
        int pid = atoi(p + 8), *grown;
        bool seen = false;
        for (size_t i = 0; i < n; i++)
            seen |= (*res)[i] == pid;
        if (seen || pid <= 0 || !(grown = realloc(*res, (n + 1) * sizeof(int))))
            continue;
        *res = grown;
        (*res)[n++] = pid;
    }
    if (f)
        fclose(f);
    if (n)
        qsort(*res, n, sizeof(int), by_number);
    return n;
}

static int receive_fd(int s)
{
    char byte, buf[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = buf, .msg_controllen = sizeof(buf)};
    struct timeval tv = {5, 0};
    int fd = -1;
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    ssize_t n = recvmsg(s, &m, MSG_CMSG_CLOEXEC);
    if (n < 0)
        return -errno;
    struct cmsghdr *c = n ? CMSG_FIRSTHDR(&m) : NULL;
    if (!c || c->cmsg_type != SCM_RIGHTS)
        return -EACCES; /* it closed without an answer: not root, not its user */
    memcpy(&fd, CMSG_DATA(c), sizeof(fd));
    return fd;
}

/* Ask one process. A stream of its lines, or NULL after a complaint. */
static FILE *ask(int pid)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int n = snprintf(un.sun_path + 1, sizeof(un.sun_path) - 1, "sluice/%d", pid);
    int s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    int rc = s < 0 || connect(s, (struct sockaddr *)&un, offsetof(struct sockaddr_un, sun_path) + 1 + n) ? -errno : 0;
    int fd = rc ? rc : receive_fd(s);
    if (s >= 0)
        close(s);
    if (fd == -ECONNREFUSED)
        complain("process %d has no stack of sluice running in this network namespace (sluicectl ss lists those that have)", pid);
    else if (fd == -EACCES)
        complain("process %d does not answer; run sluicectl as its user or as root", pid);
    else if (fd == -EAGAIN)
        complain("process %d does not answer within 5 seconds; it may be stopped", pid);
    else if (fd < 0)
        complain("process %d cannot be asked: %s", pid, strerror(-fd));
    if (fd < 0)
        return NULL;
    lseek(fd, 0, SEEK_SET);
    return fdopen(fd, "r");
}

/* Cut a line at its tabs. Returns the number of fields; missing ones are empty. */
static int fields(char *line, char *v[], int max)
{
    int n = 0;
    line[strcspn(line, "\n")] = 0;
    for (char *p = line; p && n < max; p = p ? p + 1 : NULL) {
        v[n++] = p;
        p = n < max ? strchr(p, '\t') : NULL;
        if (p)
            *p = 0;
        else
            break;
    }
    for (int i = n; i < max; i++)
        v[i] = "";
    return n;
}

static void json_string(const char *s)
{
    putchar('"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            printf("\\%c", *s);
        else if ((unsigned char)*s < 0x20)
            printf("\\u%04x", *s);
        else
            putchar(*s);
    }
    putchar('"');
}

/* ---- ss --------------------------------------------------------------------------------------------------------- */

struct row {
    char state[16], local[64], peer[64];
    unsigned recvq, sendq;
    char *where; /* malloc'ed, NULL: no memory */
};
struct rows {
    struct row *v;
    size_t n;
    struct reason { /* why the kernel has a socket */
        unsigned long inode;
        char *why;
    } * reasons;
    size_t nreasons;
    char program[64];
};

static struct row *row_add(struct rows *r)
{
    struct row *v = realloc(r->v, (r->n + 1) * sizeof(*v));
    if (!v) {
        complain("no memory for the list of sockets");
        exit(1);
    }
    r->v = v;
    memset(&v[r->n], 0, sizeof(*v));
    return &v[r->n++];
}

static void reason_add(struct rows *r, unsigned long inode, const char *why)
{
    struct reason *v = realloc(r->reasons, (r->nreasons + 1) * sizeof(*v));
    if (!v)
        return;
    r->reasons = v;
    v[r->nreasons++] = (struct reason){inode, strdup(why)};
}

static const char *reason_of(const struct rows *r, unsigned long inode)
{
    for (size_t i = r->nreasons; i-- > 0;) /* the latest counts */
        if (r->reasons[i].inode == inode)
            return r->reasons[i].why;
    return NULL;
}

static void rows_from_stack(FILE *in, struct rows *r)
{
    char line[1024], *v[8];
    while (fgets(line, sizeof(line), in)) {
        fields(line, v, 8);
        if (!strcmp(v[0], "program")) {
            snprintf(r->program, sizeof(r->program), "%s", v[2]);
        } else if (!strcmp(v[0], "kernel")) {
            reason_add(r, strtoul(v[1], NULL, 10), v[2]);
        } else if (!strcmp(v[0], "sock")) {
            struct row *row = row_add(r);
            snprintf(row->state, sizeof(row->state), "%s", v[1]);
            row->recvq = strtoul(v[2], NULL, 10);
            row->sendq = strtoul(v[3], NULL, 10);
            snprintf(row->local, sizeof(row->local), "%s", v[4]);
            snprintf(row->peer, sizeof(row->peer), "%s", v[5]);
            row->where = strdup(!strcmp(v[1], "LISTEN") ? "stack and kernel" : "stack");
        }
    }
}

/* The inodes of a process's sockets. */
static size_t socket_inodes(int pid, unsigned long **res)
{
    char path[64], link[64], name[PATH_MAX];
    size_t n = 0;
    *res = NULL;
    snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
        ssize_t len = readlink(name, link, sizeof(link) - 1);
        if (len <= 0)
            continue;
        link[len] = 0;
        if (strncmp(link, "socket:[", 8))
            continue;
        unsigned long *v = realloc(*res, (n + 1) * sizeof(*v));
        if (!v)
            break;
        *res = v;
        v[n++] = strtoul(link + 8, NULL, 10);
    }
    if (d)
        closedir(d);
    return n;
}

/* "0100007F:1F90" of /proc/net/tcp and tcp6 as text. */
static void proc_addr(const char *hex, bool v6, char *out, size_t len)
{
    unsigned w[4] = {0};
    unsigned port = 0;
    char a[INET6_ADDRSTRLEN] = "?";
    const char *colon = strchr(hex, ':');
    int words = v6 ? 4 : 1;
    for (int i = 0; i < words; i++)
        sscanf(hex + 8 * i, "%8x", &w[i]);
    if (colon)
        port = strtoul(colon + 1, NULL, 16);
    if (v6 && !w[0] && !w[1] && w[2] == htonl(0xffff)) {
        inet_ntop(AF_INET, &w[3], a, sizeof(a));
        v6 = false;
    } else {
        inet_ntop(v6 ? AF_INET6 : AF_INET, w, a, sizeof(a));
    }
    if (port)
        snprintf(out, len, v6 ? "[%s]:%u" : "%s:%u", a, port);
    else
        snprintf(out, len, v6 ? "[%s]:*" : "%s:*", a);
}

static bool in_stack(const struct rows *r, size_t nstack, const struct row *k)
{
    const char *kport = strrchr(k->local, ':');
    for (size_t i = 0; i < nstack; i++) {
        const struct row *s = &r->v[i];
        const char *sport = strrchr(s->local, ':');
        bool listen = !strcmp(s->state, "LISTEN") && !strcmp(k->state, "LISTEN");
        if (listen && sport && kport && !strcmp(sport, kport))
            return true;
        if (!strcmp(s->local, k->local) && !strcmp(s->peer, k->peer))
            return true; /* the twin, which only reserves the ports */
    }
    return false;
}

static void rows_from_proc(int pid, bool v6, const unsigned long *inodes, size_t ninodes, size_t nstack, struct rows *r)
{
    static const char *const names[] = {"UNKNOWN",   "ESTAB",     "SYN-SENT",   "SYN-RECV", "FIN-WAIT-1", "FIN-WAIT-2",
                                        "TIME-WAIT", "UNCONN",    "CLOSE-WAIT", "LAST-ACK", "LISTEN",     "CLOSING"};
    char path[64], line[512], l[64], p[64];
    snprintf(path, sizeof(path), "/proc/%d/net/%s", pid, v6 ? "tcp6" : "tcp");
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof(line), f)) {
        unsigned st, tx, rx;
        unsigned long inode;
        bool mine = false;
        if (sscanf(line, " %*d: %63s %63s %x %x:%x %*s %*s %*s %*s %lu", l, p, &st, &tx, &rx, &inode) != 6)
            continue;
        for (size_t i = 0; i < ninodes; i++)
            mine |= inodes[i] == inode;
        if (!mine)
            continue;
        struct row row = {.recvq = rx, .sendq = tx};
        snprintf(row.state, sizeof(row.state), "%s", st < sizeof(names) / sizeof(*names) ? names[st] : "UNKNOWN");
        proc_addr(l, v6, row.local, sizeof(row.local));
        proc_addr(p, v6, row.peer, sizeof(row.peer));
        if (in_stack(r, nstack, &row))
            continue;
        const char *why = reason_of(r, inode);
        if (asprintf(&row.where, "kernel%s%s", why ? ": " : "", why ? why : "") < 0)
            row.where = NULL;
        *row_add(r) = row;
    }
    if (f)
        fclose(f);
}

static void rows_free(struct rows *r)
{
    for (size_t i = 0; i < r->n; i++)
        free(r->v[i].where);
    for (size_t i = 0; i < r->nreasons; i++)
        free(r->reasons[i].why);
    free(r->v);
    free(r->reasons);
}

static bool ss_process(int pid, bool json, bool first)
{
    struct rows r = {0};
    FILE *in = ask(pid);
    if (!in)
        return false;
    rows_from_stack(in, &r);
    fclose(in);
    unsigned long *inodes;
    size_t ninodes = socket_inodes(pid, &inodes), nstack = r.n;
    rows_from_proc(pid, false, inodes, ninodes, nstack, &r);
    rows_from_proc(pid, true, inodes, ninodes, nstack, &r);
    free(inodes);
    if (first && !json)
        printf("%-10s %-8s %-8s %22s %22s  %-7s %-15s %s\n", "State", "Recv-Q", "Send-Q", "Local Address:Port", "Peer Address:Port", "Pid",
               "Program", "Where");
    for (size_t i = 0; i < r.n; i++) {
        const struct row *w = &r.v[i];
        const char *where = w->where ? w->where : "";
        if (!json) {
            printf("%-10s %-8u %-8u %22s %22s  %-7d %-15s %s\n", w->state, w->recvq, w->sendq, w->local, w->peer, pid, r.program, where);
            continue;
        }
        printf("%s\n  {\"pid\": %d, \"program\": ", first && i == 0 ? "" : ",", pid);
        json_string(r.program);
        printf(", \"state\": \"%s\", \"recv-q\": %u, \"send-q\": %u, \"local\": \"%s\", \"peer\": \"%s\", \"where\": ", w->state,
               w->recvq, w->sendq, w->local, w->peer);
        json_string(where);
        printf("}");
    }
    bool some = r.n != 0;
    rows_free(&r);
    return some || !json;
}

/* ---- nstat --------------------------------------------------------------------------------------------------------- */

static void nstat_line(char *v[])
{
    if (!strcmp(v[0], "program"))
        printf("#%s (pid %s)\n", v[2], v[1]);
    else if (!strcmp(v[0], "mib"))
        printf("%-32s%s\n", v[1], v[2]);
    else if (!strcmp(v[0], "drop"))
        printf("Drop%-28s%-16s%s\n", v[1], v[2], v[3]);
    else if (!strcmp(v[0], "rule"))
        printf("Filter line %s: %s packets, %s bytes: %s\n", v[1], v[2], v[3], v[4]);
    else if (!strcmp(v[0], "qdisc"))
        printf("Qdisc %s on %s: sent %s packets, %s bytes; dropped %s, overlimits %s, requeues %s; backlog %s bytes, %s packets\n", v[2],
               v[1], v[3], v[4], v[5], v[6], v[7], v[8], v[9]);
    else if (!strcmp(v[0], "dev"))
        printf("Device %s: %s (%s); received %s packets, %s bytes; sent %s packets, %s bytes; dropped %s, %s\n", v[1], v[2], v[3],
               v[4], v[5], v[6], v[7], v[8], v[9]);
    else if (!strcmp(v[0], "fallback"))
        printf("Left to the kernel, %s time%s: %s\n", v[1], strcmp(v[1], "1") ? "s" : "", v[2]);
}

/* The lists of the JSON object, and what their members' fields are called: a '"' before the name: a text. */
static const struct nstat_list {
    const char *kind, *name, *fields[9];
} nstat_lists[] = {
    {"mib", "counters", {NULL}},
    {"drop", "drops", {"\"reason", "count", "\"text"}},
    {"rule", "rules", {"line", "packets", "bytes", "\"rule"}},
    {"dev", "devices", {"\"name", "\"mode", "\"reason", "rx_packets", "rx_bytes", "tx_packets", "tx_bytes", "rx_dropped", "tx_dropped"}},
    {"qdisc", "qdiscs", {"\"device", "\"kind", "packets", "bytes", "dropped", "overlimits", "requeues", "backlog", "qlen"}},
    {"fallback", "fallbacks", {"count", "\"why"}},
};

static void nstat_json_member(const struct nstat_list *l, char *v[])
{
    if (!l->fields[0]) {
        printf("\"%s\": %s", v[1], v[2]);
        return;
    }
    for (int i = 0; i < 9 && l->fields[i]; i++) {
        const bool text = l->fields[i][0] == '"';
        printf("%s\"%s\": ", i ? ", " : "{", l->fields[i] + text);
        if (text)
            json_string(v[i + 1]);
        else
            printf("%s", v[i + 1]);
    }
    putchar('}');
}

/* Lines come list by list; *list is the one that is open. */
static void nstat_json_line(char *v[], const struct nstat_list **list)
{
    const struct nstat_list *l = nstat_lists, *end = l + sizeof(nstat_lists) / sizeof(*nstat_lists);
    while (l < end && strcmp(l->kind, v[0]))
        l++;
    if (l == end)
        return;
    if (l != *list) {
        if (*list)
            putchar((*list)->fields[0] ? ']' : '}');
        printf(", \"%s\": %c", l->name, l->fields[0] ? '[' : '{');
    } else {
        printf(", ");
    }
    *list = l;
    nstat_json_member(l, v);
}

static bool nstat_process(int pid, bool json, bool first)
{
    char line[1024], *v[10];
    const struct nstat_list *list = NULL;
    FILE *in = ask(pid);
    if (!in)
        return false;
    if (json)
        printf("%s\n  {\"pid\": %d", first ? "" : ",", pid);
    else if (!first)
        putchar('\n');
    while (fgets(line, sizeof(line), in)) {
        fields(line, v, 10);
        if (!json) {
            nstat_line(v);
        } else if (!strcmp(v[0], "program")) {
            printf(", \"program\": ");
            json_string(v[2]);
        } else {
            nstat_json_line(v, &list);
        }
    }
    if (json)
        printf("%s}", !list ? "" : list->fields[0] ? "]" : "}");
    fclose(in);
    return true;
}

/* ---- commands ----------------------------------------------------------------------------------------------------- */

static int each_process(const struct ctl *c, bool (*show)(int pid, bool json, bool first))
{
    int one = c->pid, *pids = &one, *found = NULL, shown = 0, failed = 0;
    size_t n = 1;
    if (!c->pid) {
        n = find_processes(&found);
        pids = found;
    }
    if (c->json)
        printf("[");
    for (size_t i = 0; i < n; i++) {
        if (show(pids[i], c->json, shown == 0))
            shown++;
        else if (c->pid)
            failed = 1;
    }
    if (c->json)
        printf("\n]\n");
    else if (n == 0)
        complain("no process in this network namespace runs a stack of sluice");
    free(found);
    return failed;
}

static const struct argp_option argp_options[] = {
    {"json", 'j', NULL, 0, "Write JSON", 0},
    {0},
};

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
    struct ctl *c = state->input;
    char *end;
    switch (key) {
    case 'j':
        c->json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num == 0) {
            c->command = arg;
            return 0;
        }
        if (state->arg_num > 1)
            argp_error(state, "one PID at most; '%s' is too many", arg);
        c->pid = (int)strtol(arg, &end, 10);
        if (*end || c->pid <= 0)
            argp_error(state, "'%s' is no process id", arg);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "say what to do: doctor, ss or nstat");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    argp_options,
    parse_opt,
    "doctor\nss [PID]\nnstat [PID]",
    "Look at programs that run under sluice, and at what this host can do for them.\v"
    "doctor  what this host and each of its interfaces can do, and what to type to mend it\n"
    "ss      sockets, as ss(8) shows them, and who serves each: the stack, or the kernel and why\n"
    "nstat   counters by the names of nstat(8), drops by reason, filter rules, devices, queueing disciplines, fallbacks\n\n"
    "Without PID: all processes in this network namespace. Exit status: 0, or 1 when something failed.",
    NULL,
    NULL,
    NULL,
};

int main(int argc, char **argv)
{
    struct ctl c = {0};
    argp_err_exit_status = 1;
    argp_parse(&argp, argc, argv, 0, NULL, &c);
    if (!strcmp(c.command, "doctor") && c.pid) {
        complain("doctor takes no PID: it looks at the host, not at a process");
        return 1;
    }
    if (!strcmp(c.command, "doctor"))
        return doctor(c.json) ? 1 : 0;
    if (!strcmp(c.command, "ss"))
        return each_process(&c, ss_process);
    if (!strcmp(c.command, "nstat"))
        return each_process(&c, nstat_process);
    complain("'%s' is no command; there are doctor, ss and nstat", c.command);
    return 1;
}
