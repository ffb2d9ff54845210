/* SPDX-License-Identifier: MIT */
/* The `sluice` command: checks the options, puts libsluice.so into LD_PRELOAD and the options into
 * SLUICE_*, and becomes the program. Exit statuses as env(1): 125 our own error, 126 found but cannot be
 * run, 127 not found, else the program's. */

#include "config.h"
#include "filter.h"
#include <argp.h>
#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#ifndef SLUICE_VERSION
#define SLUICE_VERSION "0.1"
#endif
#ifndef SLUICE_MULTIARCH
#define SLUICE_MULTIARCH "x86_64-linux-gnu"
#endif
enum { EXIT_OURS = 125, EXIT_CANNOT_INVOKE = 126, EXIT_ENOENT = 127 };
enum { KEY_PCAP = 1000, KEY_LOG, KEY_TRACE };

__attribute__((visibility("default"))) const char *argp_program_version = "sluice " SLUICE_VERSION;
extern char **environ;

static void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
static void die(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("sluice: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    exit(EXIT_OURS);
}

/* ---- options ------------------------------------------------------------------------------------------------- */

/* Role: check one option and export it for the library. */
static void export_option(const char *name, const char *value)
{
    static struct sluice_config scratch;
    char err[1400], var[80], path[PATH_MAX + OPTION_PATH_MAX];
    config_defaults(&scratch);
    if (config_set(&scratch, name, value, err, sizeof(err)))
        die("%s", err);
    if (config_is_path(name) && *value && *value != '/') { /* the program's children may run elsewhere */
        char cwd[PATH_MAX];
        if (getcwd(cwd, sizeof(cwd))) {
            snprintf(path, sizeof(path), "%s/%s", strcmp(cwd, "/") ? cwd : "", value);
            value = path;
        }
    }
    setenv(config_env_name(name, var, sizeof(var)), value, 1);
}

static void export_key_value(const char *arg)
{
    char name[64];
    size_t n = strcspn(arg, "=");
    if (!arg[n] || n == 0 || n >= sizeof(name))
        die("-o %s: it must be KEY=VALUE, as in -o spin=50 (sluice --help lists the keys)", arg);
    memcpy(name, arg, n);
    name[n] = 0;
    export_option(name, arg + n + 1);
}

static const struct argp_option argp_options[] = {
    {"profile", 'p', "PROFILE", 0, "Start from the settings of PROFILE: default, latency or throughput", 0},
    {"option", 'o', "KEY=VALUE", 0, "Set an option (below); may be given several times", 0},
    {"pcap", KEY_PCAP, "FILE", 0, "Capture the stack's packets to FILE (pcapng); same as -o pcap=FILE", 0},
    {"trace", KEY_TRACE, "folded", OPTION_ARG_OPTIONAL,
     "Print the way of the first SYN, data, ACK, retransmission, FIN and RST from the program's call down to the ring, function by "
     "function (-o trace=list); with =folded count every path, for flame graphs", 0},
    {"log", KEY_LOG, "LEVEL", 0, "error, warn, info or debug; same as -o log=LEVEL", 0},
    {0},
};

struct launch {
    int program; /* index in argv */
};

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
    struct launch *l = state->input;
    switch (key) {
    case 'p':
        export_option("profile", arg);
        return 0;
    case 'o':
        export_key_value(arg);
        return 0;
    case KEY_PCAP:
        export_option("pcap", arg);
        return 0;
    case KEY_TRACE:
        export_option("trace", arg ? arg : "list");
        return 0;
    case KEY_LOG:
        export_option("log", arg);
        return 0;
    case ARGP_KEY_ARG: /* the program: what follows is its own */
        l->program = state->next - 1;
        state->next = state->argc;
        return 0;
    case ARGP_KEY_NO_ARGS:
        if (!(state->flags & ARGP_NO_ERRS))
            die("no program was given; say what to run, as in: sluice curl http://192.0.2.1/ (sluice --help tells more)");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* argp asks for each part of --help: the list of options goes behind its own. */
static char *help_filter(int key, const char *text, void *input)
{
    if (key != ARGP_KEY_HELP_EXTRA)
        return (char *)text;
    char *buf = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&buf, &len);
    if (!f)
        return NULL;
    config_print_help(f);
    fprintf(f, "\nLD_PRELOAD=libsluice.so with SLUICE_* set does the same without this command.\n"
               "Exit status: 125 an error of sluice, 126 PROGRAM cannot be run, 127 it is not found, else PROGRAM's.");
    fclose(f);
    return buf;
}

static const struct argp argp = {
    argp_options, parse_opt, "PROGRAM [ARG]...",
    "Run PROGRAM with its TCP sockets served by a TCP/IP stack inside the process, over AF_XDP.\v",
    NULL, help_filter, NULL,
};

/* ---- the library ------------------------------------------------------------------------------------------------ */

static bool try_library(char *path, size_t size, const char *dir, const char *rel)
{
    char p[PATH_MAX * 2], real[PATH_MAX];
    snprintf(p, sizeof(p), "%s/%s/libsluice.so", dir, rel);
    if (access(p, R_OK) || !realpath(p, real))
        return false;
    snprintf(path, size, "%s", real);
    return true;
}

static void find_library(char *path, size_t size)
{
    static const char *const places[] = {".", "../lib/" SLUICE_MULTIARCH, "../lib/sluice", "../lib", "../lib64"};
    char dir[PATH_MAX];
    const char *given = getenv("SLUICE_LIB");
    if (given && *given) {
        if (access(given, R_OK) || !realpath(given, path))
            die("SLUICE_LIB: '%s' cannot be read (%s); it must be the path of libsluice.so", given, strerror(errno));
        return;
    }
    ssize_t n = readlink("/proc/self/exe", dir, sizeof(dir) - 1);
    if (n < 0)
        die("cannot find my own path (/proc/self/exe: %s); set SLUICE_LIB to the path of libsluice.so", strerror(errno));
    dir[n] = 0;
    *strrchr(dir, '/') = 0;
    for (size_t i = 0; i < ARRAY_SIZE(places); i++)
        if (try_library(path, size, dir, places[i]))
            return;
    die("libsluice.so is neither in %s nor in the lib directories beside it; run make, or set SLUICE_LIB to its path", dir);
}

static void set_preload(const char *lib)
{
    const char *old = getenv("LD_PRELOAD");
    size_t len = strlen(lib);
    if (strpbrk(lib, " :"))
        die("the path of the library, '%s', has a space or a colon in it, which LD_PRELOAD cannot express; move it", lib);
    for (const char *p = old; p && *p;) { /* there already: sluice within sluice */
        size_t n = strcspn(p, " :");
        if (n == len && !memcmp(p, lib, n))
            return;
        p += n + (p[n] != 0);
    }
    char *both;
    if (asprintf(&both, "%s%s%s", lib, old && *old ? ":" : "", old ? old : "") < 0)
        die("no memory");
    setenv("LD_PRELOAD", both, 1);
}

/* ---- programs that LD_PRELOAD does not reach ------------------------------------------------------------------------ */

/* The file that execvp() will take. False: none. */
static bool which(const char *name, char *path, size_t size)
{
    struct stat st;
    if (strchr(name, '/')) {
        snprintf(path, size, "%s", name);
        return stat(path, &st) == 0;
    }
    const char *p = getenv("PATH");
    for (p = p ? p : "/bin:/usr/bin";; p++) {
        size_t n = strcspn(p, ":");
        snprintf(path, size, "%.*s%s%s", (int)n, p, n ? "/" : "./", name);
        if (!access(path, X_OK) && !stat(path, &st) && S_ISREG(st.st_mode))
            return true;
        p += n;
        if (!*p)
            return false;
    }
}

/* Does the dynamic loader run it? An ELF program without PT_INTERP is static. */
static bool elf_is_static(int fd, const Elf64_Ehdr *eh)
{
    Elf64_Phdr ph;
    for (int i = 0; i < eh->e_phnum && i < 128; i++) {
        if (pread(fd, &ph, sizeof(ph), (off_t)(eh->e_phoff + (Elf64_Off)i * eh->e_phentsize)) != sizeof(ph))
            return false;
        if (ph.p_type == PT_INTERP)
            return false;
    }
    return true;
}

/* Why LD_PRELOAD will have no effect on this file, or NULL. Follows #! lines a few levels. */
static const char *preload_obstacle(const char *file, int depth)
{
    char head[PATH_MAX], caps[64];
    struct stat st;
    const char *why = NULL;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    ssize_t n = pread(fd, head, sizeof(head) - 1, 0);
    if (n < 4 || fstat(fd, &st))
        goto out;
    head[n] = 0;
    if (head[0] == '#' && head[1] == '!' && depth < 4) {
        char *p = head + 2 + strspn(head + 2, " \t");
        p[strcspn(p, " \t\n")] = 0;
        why = preload_obstacle(p, depth + 1);
    } else if (!memcmp(head, ELFMAG, SELFMAG)) {
        const Elf64_Ehdr *eh = (const Elf64_Ehdr *)head;
        if (((st.st_mode & S_ISUID) && st.st_uid != geteuid()) || ((st.st_mode & S_ISGID) && st.st_gid != getegid()))
            why = "is set-user-ID or set-group-ID, and the loader then ignores LD_PRELOAD";
        else if (geteuid() != 0 && getxattr(file, "security.capability", caps, sizeof(caps)) > 0)
            why = "has file capabilities, and the loader then ignores LD_PRELOAD";
        else if (n >= (ssize_t)sizeof(*eh) && head[EI_CLASS] == ELFCLASS32)
            why = "is a 32-bit program, and the library is a 64-bit one";
        else if (n >= (ssize_t)sizeof(*eh) && elf_is_static(fd, eh))
            why = "is statically linked, and LD_PRELOAD works through the dynamic loader only";
    }
out:
    close(fd);
    return why;
}

int main(int argc, char **argv)
{
    static struct sluice_config check;
    char lib[PATH_MAX], path[PATH_MAX * 2], err[1600];
    struct launch l = {0};

    argp_err_exit_status = EXIT_OURS;
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &l);
    if (l.program == 0) /* only `sluice --` is left */
        die("no program was given; say what to run, as in: sluice curl http://192.0.2.1/ (sluice --help tells more)");
    if (config_from_env(&check, environ, err, sizeof(err)))
        die("%s", err);
    if (check.filter[0] && filter_load(check.filter, NULL, NULL, err, sizeof(err)))
        die("%s", err);
    find_library(lib, sizeof(lib));

    const char *program = argv[l.program];
    const char *why = which(program, path, sizeof(path)) ? preload_obstacle(path, 0) : NULL;
    if (why)
        fprintf(stderr, "sluice: %s %s, so the kernel will serve its sockets\n", path, why);
    set_preload(lib);
    execvp(program, argv + l.program);
    int e = errno;
    fprintf(stderr, "sluice: cannot run '%s': %s\n", program, strerror(e));
    return e == ENOENT ? EXIT_ENOENT : EXIT_CANNOT_INVOKE;
}
