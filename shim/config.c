/* SPDX-License-Identifier: MIT */
/* Parser of the options in options.def. Runs before main and in the launcher: no allocation, no libc call
 * that the shim intercepts but write and _exit by raw system call. */

#include "config.h"
#include "qdisc_option.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <limits.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

struct sluice_config sluice_config;

enum option_type { OPTION_ENUM, OPTION_UINT, OPTION_TEXT, OPTION_PATH, OPTION_FAULT };
struct option {
    const char *name;
    enum option_type type;
    size_t offset;
    const char *def;   /* OPTION_ENUM: name of the default choice */
    const char *right; /* choices, unit, or what a text must be */
    const char *(*check)(const char *text);
    u32 num_def, lo, hi;
    const char *help;
};

/* ---- checks of texts: NULL when right, else what is wrong with it ------------------------------------------ */

static const char *option_check_devs(const char *s)
{
    size_t n = 0;
    for (;; s++) {
        if (*s && *s != ',') {
            if (*s == '/' || isspace((unsigned char)*s))
                return "an interface name has no '/' and no space";
            if (++n > 15)
                return "an interface name has at most 15 characters";
            continue;
        }
        if (n == 0)
            return "an interface name is empty";
        if (!*s)
            return NULL;
        n = 0;
    }
}

/* What tcp_ca_find() knows (the launcher is not linked with it; the test compares the two). */
static const char *option_check_congestion(const char *s)
{
    return strcmp(s, "cubic") && strcmp(s, "reno") && strcmp(s, "bbr") ? "there is no such algorithm" : NULL;
}

static const char *option_check_gateway(const char *s)
{
    struct in_addr a;
    return inet_pton(AF_INET, s, &a) == 1 ? NULL : "this is no IPv4 address";
}

/* "192.0.2.7/24" in host order, the prefix length of what has been checked. False: no address. */
static bool parse_prefix(const char *s, u32 *addr, int *bits)
{
    char ip[INET_ADDRSTRLEN];
    struct in_addr a;
    size_t n = strcspn(s, "/");
    if (n >= sizeof(ip))
        return false;
    memcpy(ip, s, n);
    ip[n] = 0;
    *bits = s[n] ? atoi(s + n + 1) : 0;
    if (inet_pton(AF_INET, ip, &a) != 1)
        return false;
    *addr = ntohl(a.s_addr);
    return true;
}

static const char *option_check_address(const char *s)
{
    const char *slash = strchr(s, '/');
    u32 a, host;
    int bits;
    if (!slash)
        return "the prefix length is missing";
    if (!parse_prefix(s, &a, &bits))
        return "this is no IPv4 address";
    if (!isdigit((unsigned char)slash[1]) || strlen(slash + 1) > 2 || strspn(slash + 1, "0123456789") != strlen(slash + 1))
        return "the prefix length is no number";
    if (bits < 1 || bits > 32)
        return "the prefix length is not between 1 and 32";
    host = bits < 32 ? a & ~0u >> bits : 0;
    if (a >> 24 == 0 || a >> 24 == 127 || a >> 28 >= 0xe)
        return "no host can have this address";
    if (bits < 31 && (!host || host == ~0u >> bits)) /* RFC 3021: a /31 has neither */
        return "this is the address of the network or its broadcast address, which no host can have";
    return NULL;
}

/* Four words of up to 8 hexadecimal digits; the end of it, or NULL. */
static const char *key_words(const char *s)
{
    for (int word = 0; word < 4; word++) {
        size_t n = strspn(s, "0123456789abcdefABCDEF");

        if (n < 1 || n > 8 || (word < 3 && s[n] != '-'))
            return NULL;
        s += n + (word < 3);
    }
    return s;
}

static const char *option_check_fastopen_key(const char *s)
{
    const char *end = key_words(s);

    if (end && strspn(s, "0-") >= (size_t)(end - s))
        return "all zero is no key";
    if (end && *end == ',')
        end = key_words(end + 1);
    return end && !*end ? NULL : "a key is four words of hexadecimal digits with '-' between them, two keys have a comma between them";
}

static const char *option_check_qdisc(const char *s)
{
    struct qdisc_option q;
    return qdisc_option_parse(s, &q);
}

#define FIELD(name) offsetof(struct sluice_config, name)
static const struct option options[] = {
#define OPT_ENUM(name, def, choices, help) {#name, OPTION_ENUM, FIELD(name), def, choices, NULL, 0, 0, 0, help},
#define OPT_UINT(name, def, lo, hi, unit, help) {#name, OPTION_UINT, FIELD(name), NULL, unit, NULL, def, lo, hi, help},
#define OPT_TEXT(name, right, check, help) {#name, OPTION_TEXT, FIELD(name), NULL, right, check, 0, 0, 0, help},
#define OPT_PATH(name, help) {#name, OPTION_PATH, FIELD(name), NULL, "a file name", NULL, 0, 0, 0, help},
#define OPT_FAULT(name, help) {#name, OPTION_FAULT, FIELD(name), NULL, NULL, NULL, 0, 0, 0, help},
#include "options.def"
};

struct profile {
    const char *name, *settings, *help;
};
static const struct profile profiles[] = {
#define OPT_PROFILE(name, settings, help) {#name, settings, help},
#include "options.def"
};

static const struct option *option_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(options); i++)
        if (!strcmp(options[i].name, name))
            return &options[i];
    return NULL;
}

/* ---- values ------------------------------------------------------------------------------------------------ */

/* The index of `value` among "a|b|c", or -1. */
static int choice_index(const char *choices, const char *value)
{
    size_t len = strlen(value);
    for (int i = 0;; i++) {
        size_t n = strcspn(choices, "|");
        if (n == len && !memcmp(choices, value, n))
            return i;
        if (!choices[n])
            return -1;
        choices += n + 1;
    }
}

const char *config_choice(const char *name, int value, char *buf, size_t len)
{
    const struct option *o = option_find(name);
    const char *p = o && o->type == OPTION_ENUM ? o->right : "";
    for (; value > 0 && *p; value--) {
        p += strcspn(p, "|");
        p += *p == '|';
    }
    snprintf(buf, len, "%.*s", (int)strcspn(p, "|"), p);
    return buf;
}

/* "a|b|c" as "a, b or c". */
static void choices_text(const char *choices, char *buf, size_t len)
{
    size_t used = 0;
    while (*choices && used < len) {
        size_t n = strcspn(choices, "|");
        const char *sep = !choices[n] ? "" : strchr(choices + n + 1, '|') ? ", " : " or ";
        used += snprintf(buf + used, len - used, "%.*s%s", (int)n, choices, sep);
        choices += n + (choices[n] == '|');
    }
}

/* Decimal digits only: no sign, no space, no overflow. */
static bool parse_u64(const char *s, size_t len, u64 *res)
{
    u64 v = 0;
    if (!len)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!isdigit((unsigned char)s[i]) || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, (u64)(s[i] - '0'), &v))
            return false;
    }
    *res = v;
    return true;
}

/* "loss=20000,seed=7". NULL or what is wrong. */
static const char *parse_fault(const char *s, struct option_fault *res)
{
    struct option_fault f = {.seed = 1};
    static const struct {
        const char *key;
        size_t offset;
    } keys[] = {{"loss", offsetof(struct option_fault, loss_ppm)},
                {"reorder", offsetof(struct option_fault, reorder_ppm)},
                {"dup", offsetof(struct option_fault, dup_ppm)},
                {"corrupt", offsetof(struct option_fault, corrupt_ppm)}};
    while (*s) {
        size_t part = strcspn(s, ","), key = strcspn(s, "="), i;
        u64 v;
        if (key >= part || !parse_u64(s + key + 1, part - key - 1, &v))
            return "each part is KEY=NUMBER";
        for (i = 0; i < ARRAY_SIZE(keys); i++)
            if (strlen(keys[i].key) == key && !memcmp(keys[i].key, s, key))
                break;
        if (i < ARRAY_SIZE(keys)) {
            if (v > 1000000)
                return "parts per million are at most 1000000";
            *(u32 *)((char *)&f + keys[i].offset) = (u32)v;
        } else if (key == 4 && !memcmp(s, "seed", 4)) {
            f.seed = v;
        } else {
            return "the keys are loss, reorder, dup, corrupt and seed";
        }
        s += part;
        if (*s == ',' && !*++s)
            return "it ends with a comma";
    }
    *res = f;
    return NULL;
}

static int bad_value(const struct option *o, const char *value, char *err, size_t errlen, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
static int bad_value(const struct option *o, const char *value, char *err, size_t errlen, const char *fmt, ...)
{
    char why[320];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof(why), fmt, ap);
    va_end(ap);
    snprintf(err, errlen, "option %s: '%.200s' is not right; it must be %s", o->name, value, why);
    return -EINVAL;
}

static int set_uint(const struct option *o, u32 *field, const char *value, char *err, size_t errlen)
{
    u64 v;
    bool power_of_two = !strcmp(o->name, "ring");
    if (!parse_u64(value, strlen(value), &v) || v < o->lo || v > o->hi || (power_of_two && (v & (v - 1))))
        return bad_value(o, value, err, errlen, "a whole number of %s from %u to %u%s", o->right, o->lo, o->hi,
                         power_of_two ? ", a power of two" : "");
    *field = (u32)v;
    return 0;
}

static int set_text(const struct option *o, char *field, size_t size, const char *value, char *err, size_t errlen)
{
    const char *wrong = NULL;
    if (strlen(value) >= size)
        wrong = "it is too long";
    else if (o->check && *value) /* empty: as if not given */
        wrong = o->check(value);
    if (wrong)
        return bad_value(o, value, err, errlen, "%s (%s)", o->right, wrong);
    strcpy(field, value);
    return 0;
}

/* A path relative to where we are now: the program may go elsewhere before the file is opened. */
static int set_path(const struct option *o, char *field, const char *value, char *err, size_t errlen)
{
    char abs[OPTION_PATH_MAX];
    if (*value && *value != '/') {
        long n = syscall(SYS_getcwd, abs, sizeof(abs));
        if (n > 1 && (size_t)n + strlen(value) + 1 < sizeof(abs)) {
            if (abs[n - 2] != '/')
                abs[n++ - 1] = '/';
            strcpy(abs + n - 1, value);
            return set_text(o, field, OPTION_PATH_MAX, abs, err, errlen);
        }
    }
    return set_text(o, field, OPTION_PATH_MAX, value, err, errlen);
}

static int set_profile(struct sluice_config *c, const char *value, char *err, size_t errlen)
{
    char names[128], one[64];
    size_t used = 0;
    for (size_t i = 0; i < ARRAY_SIZE(profiles); i++) {
        if (!strcmp(profiles[i].name, value)) {
            c->profile = (int)i;
            for (const char *s = profiles[i].settings; *s;) {
                size_t n = strcspn(s, " ");
                snprintf(one, sizeof(one), "%.*s", (int)n, s);
                char *eq = strchr(one, '=');
                *eq = 0;
                config_set(c, one, eq + 1, err, errlen);
                s += n + (s[n] == ' ');
            }
            return 0;
        }
        used += snprintf(names + used, sizeof(names) - used, "%s%s", i == 0 ? "" : i + 1 < ARRAY_SIZE(profiles) ? ", " : " or ",
                         profiles[i].name);
    }
    snprintf(err, errlen, "option profile: '%.200s' is not right; it must be %s", value, names);
    return -EINVAL;
}

int config_set(struct sluice_config *c, const char *name, const char *value, char *err, size_t errlen)
{
    if (!strcmp(name, "profile"))
        return set_profile(c, value, err, errlen);
    const struct option *o = option_find(name);
    if (!o) {
        char all[512];
        size_t used = 0;
        for (size_t i = 0; i < ARRAY_SIZE(options); i++)
            used += snprintf(all + used, sizeof(all) - used, " %s", options[i].name);
        snprintf(err, errlen, "option %.64s: there is no such option (value '%.100s'); the options are profile%s", name, value, all);
        return -ENOENT;
    }
    void *field = (char *)c + o->offset;
    char text[320];
    const char *wrong;
    int idx;
    switch (o->type) {
    case OPTION_ENUM:
        idx = choice_index(o->right, value);
        if (idx < 0) {
            choices_text(o->right, text, sizeof(text));
            return bad_value(o, value, err, errlen, "%s", text);
        }
        *(int *)field = idx;
        return 0;
    case OPTION_UINT:
        return set_uint(o, field, value, err, errlen);
    case OPTION_TEXT:
        return set_text(o, field, OPTION_TEXT_MAX, value, err, errlen);
    case OPTION_PATH:
        return set_path(o, field, value, err, errlen);
    case OPTION_FAULT:
        wrong = parse_fault(value, field);
        if (wrong)
            return bad_value(o, value, err, errlen, "like loss=20000,reorder=1000,dup=0,corrupt=0,seed=7 (%s)", wrong);
        return 0;
    }
    return -EINVAL;
}

void config_defaults(struct sluice_config *c)
{
    memset(c, 0, sizeof(*c));
    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        const struct option *o = &options[i];
        if (o->type == OPTION_ENUM)
            *(int *)((char *)c + o->offset) = choice_index(o->right, o->def);
        else if (o->type == OPTION_UINT)
            *(u32 *)((char *)c + o->offset) = o->num_def;
    }
}

int config_check(const struct sluice_config *c, char *err, size_t errlen)
{
    if (c->gateway[0] && !c->address[0]) {
        snprintf(err, errlen, "option gateway: '%s' needs option address too: with the host's address the host's routes hold",
                 c->gateway);
        return -EINVAL;
    }
    u32 addr, gw;
    int bits, none;
    if (c->gateway[0] && parse_prefix(c->address, &addr, &bits) && parse_prefix(c->gateway, &gw, &none) &&
        (addr == gw || (addr ^ gw) >> (32 - bits))) {
        snprintf(err, errlen, "option gateway: '%s' is not right; it must be another host in the network of option address, %s",
                 c->gateway, c->address);
        return -EINVAL;
    }
    if (c->address[0] && (!c->dev[0] || strchr(c->dev, ','))) {
        snprintf(err, errlen, "option address: '%s' needs option dev with the one interface that gets it", c->address);
        return -EINVAL;
    }
    if (c->umem < c->ring) {
        snprintf(err, errlen, "option umem: '%u' is not right; it must be at least ring, %u frames, or no buffer can be received",
                 c->umem, c->ring);
        return -EINVAL;
    }
    return 0;
}

/* ---- the environment ----------------------------------------------------------------------------------------- */

bool config_is_option_var(const char *var)
{
    return !strncmp(var, "SLUICE_", 7) && var[7] != '_' && strcspn(var, "=") > 7 &&
           !(strcspn(var, "=") == 10 && !memcmp(var, "SLUICE_LIB", 10));
}

char *config_env_name(const char *name, char *buf, size_t len)
{
    snprintf(buf, len, "SLUICE_%s", name);
    for (char *p = buf + 7; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    return buf;
}

bool config_is_path(const char *name)
{
    const struct option *o = option_find(name);
    return o && o->type == OPTION_PATH;
}

/* One "SLUICE_NAME=value". The sentence names the variable, since that is what the user typed. */
static int set_from_var(struct sluice_config *c, const char *var, bool profile, char *err, size_t errlen)
{
    char name[64], text[1400];
    size_t n = strcspn(var, "=");
    const char *value = var[n] ? var + n + 1 : "";
    if (n - 7 >= sizeof(name))
        n = 7 + sizeof(name) - 1;
    for (size_t i = 7; i < n; i++)
        name[i - 7] = (char)tolower((unsigned char)var[i]);
    name[n - 7] = 0;
    if (!strcmp(name, "profile") != profile)
        return 0;
    int rc = config_set(c, name, value, text, sizeof(text));
    if (rc)
        snprintf(err, errlen, "environment variable %.*s: %s", (int)min(n, (size_t)64), var, text);
    return rc ? -EINVAL : 0;
}

int config_from_env(struct sluice_config *c, char *const *envp, char *err, size_t errlen)
{
    config_defaults(c);
    for (int profile = 1; profile >= 0; profile--) { /* the profile first: single options override it */
        for (char *const *e = envp; e && *e; e++) {
            if (!config_is_option_var(*e))
                continue;
            int rc = set_from_var(c, *e, profile, err, errlen);
            if (rc)
                return rc;
        }
    }
    return config_check(c, err, errlen);
}

void config_init(char *const *envp)
{
    static char err[1600], line[1700];
    extern char **environ;
    if (!config_from_env(&sluice_config, envp ? envp : environ, err, sizeof(err)))
        return;
    int n = snprintf(line, sizeof(line), "sluice: %s\n", err);
    syscall(SYS_write, 2, line, min((size_t)n, sizeof(line) - 1));
    syscall(SYS_exit_group, 125);
}

int config_expand_path(const char *pattern, char *out, size_t len)
{
    size_t used = 0;
    for (; *pattern; pattern++) {
        if (used + 12 >= len)
            return -ENAMETOOLONG;
        if (pattern[0] == '%' && pattern[1] == 'p')
            used += snprintf(out + used, len - used, "%ld", (long)syscall(SYS_getpid));
        else
            out[used++] = *pattern;
        if (pattern[0] == '%' && (pattern[1] == 'p' || pattern[1] == '%'))
            pattern++;
    }
    out[used] = 0;
    return 0;
}

/* ---- --help ---------------------------------------------------------------------------------------------------- */

/* Words of `text` from column `col` on, wrapped before column 79 (argp does the same); `indent`: of the
 * following lines. */
static void print_wrapped(FILE *out, const char *text, int col, int indent)
{
    int at = col;
    bool first = true;
    while (*text) {
        int n = (int)strcspn(text, " ");
        if (!first && at + 1 + n > 78) {
            fprintf(out, "\n%*s", indent, "");
            at = indent;
        } else if (!first) {
            fputc(' ', out);
            at++;
        }
        fprintf(out, "%.*s", n, text);
        at += n;
        text += n;
        text += strspn(text, " ");
        first = false;
    }
    fputc('\n', out);
}

void config_print_help(FILE *out)
{
    char text[320], head[400];
    fprintf(out, "Options for -o KEY=VALUE; each is also an environment variable SLUICE_KEY:\n\n");
    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        const struct option *o = &options[i];
        switch (o->type) {
        case OPTION_ENUM:
            snprintf(head, sizeof(head), "%s=%s (%s)", o->name, o->right, o->def);
            break;
        case OPTION_UINT:
            snprintf(head, sizeof(head), "%s=%u..%u %s (%u)", o->name, o->lo, o->hi, o->right, o->num_def);
            break;
        case OPTION_TEXT:
            snprintf(head, sizeof(head), "%s=TEXT: %s", o->name, o->right);
            break;
        case OPTION_PATH:
            snprintf(head, sizeof(head), "%s=FILE", o->name);
            break;
        case OPTION_FAULT:
            snprintf(head, sizeof(head), "%s=KEY=N,...", o->name);
            break;
        }
        fputs("  ", out);
        print_wrapped(out, head, 2, 4);
        fputs("        ", out);
        print_wrapped(out, o->help, 8, 8);
    }
    fprintf(out, "\nProfiles for -p PROFILE (or SLUICE_PROFILE); single options override them:\n\n");
    for (size_t i = 0; i < ARRAY_SIZE(profiles); i++) {
        snprintf(text, sizeof(text), "%s%s%s%s", profiles[i].help, *profiles[i].settings ? " (" : "", profiles[i].settings,
                 *profiles[i].settings ? ")" : "");
        fprintf(out, "  %-12s  ", profiles[i].name);
        print_wrapped(out, text, 16, 16);
    }
}
