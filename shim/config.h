/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_SHIM_CONFIG_H
#define SLUICE_SHIM_CONFIG_H
/* The options of sluice: read once from SLUICE_* in the library, checked beforehand by the launcher.
 * The list is options.def. Nothing here allocates. */

#include "../stack/core/types.h"

enum { CFG_LOG_ERROR, CFG_LOG_WARN, CFG_LOG_INFO, CFG_LOG_DEBUG };           /* log: as enum log_level */
enum { CFG_MODE_AUTO, CFG_MODE_ZEROCOPY, CFG_MODE_GENERIC, CFG_MODE_NATIVE }; /* mode: as enum xdp_bind_mode */
enum { CFG_ACCEL_AUTO, CFG_ACCEL_CONNECT, CFG_ACCEL_LISTEN, CFG_ACCEL_OFF };
enum { CFG_TRACE_OFF, CFG_TRACE_LIST, CFG_TRACE_FOLDED };
enum { CFG_LANE_AUTO, CFG_LANE_ON, CFG_LANE_OFF };
enum { CFG_FIREWALL_REFUSE, CFG_FIREWALL_IGNORE };
enum { CFG_HYSTART_OFF, CFG_HYSTART_LINUX, CFG_HYSTART_RFC9406 };             /* hystart: as sysctl_tcp_hystart */

struct option_fault { /* parts per million; all zero: no fault device */
    u32 loss_ppm, reorder_ppm, dup_ppm, corrupt_ppm;
    u64 seed;
};

#define OPTION_TEXT_MAX 256
#define OPTION_PATH_MAX 1024

/* One field per option. Texts and paths are empty when not given. */
struct sluice_config {
    int profile;
#define OPT_ENUM(name, def, choices, help) int name;
#define OPT_UINT(name, def, lo, hi, unit, help) u32 name;
#define OPT_TEXT(name, right, check, help) char name[OPTION_TEXT_MAX];
#define OPT_PATH(name, help) char name[OPTION_PATH_MAX];
#define OPT_FAULT(name, help) struct option_fault name;
#include "options.def"
};

/* Role: the defaults. */
void config_defaults(struct sluice_config *c);
/* Role: set one option by name. 0, or -ENOENT (no such option) or -EINVAL, with a sentence in err that
 * names the option, the value and what would be right. c is unchanged then. */
int config_set(struct sluice_config *c, const char *name, const char *value, char *err, size_t errlen);
/* Role: defaults, then the profile, then every SLUICE_* variable of envp, then checks across options.
 * 0 or -EINVAL with the sentence in err. Calls no allocating function. */
int config_from_env(struct sluice_config *c, char *const *envp, char *err, size_t errlen);
/* Role: what no single option can show (a gateway without an address). 0 or -EINVAL with the sentence. */
int config_check(const struct sluice_config *c, char *err, size_t errlen);
/* Is this variable ("SLUICE_LOG=info" or its name) one that carries options? Not so: SLUICE_LIB (the
 * launcher's) and SLUICE__* (between our own processes). */
bool config_is_option_var(const char *var);
/* "lane_min_segs" -> "SLUICE_LANE_MIN_SEGS". Returns buf. */
char *config_env_name(const char *name, char *buf, size_t len);
/* Is the option a path? The launcher makes those absolute before it exports them. */
bool config_is_path(const char *name);
/* Expand %p to the process id (%%: a percent sign). 0 or -ENAMETOOLONG. */
int config_expand_path(const char *pattern, char *out, size_t len);
/* Write the options' part of --help: name, range, default, meaning. */
void config_print_help(FILE *out);
/* Name of the chosen value of an enum option, e.g. config_choice("mode", c->mode). */
const char *config_choice(const char *name, int value, char *buf, size_t len);

/* The process's configuration; filled by config_init() before main. */
extern struct sluice_config sluice_config;
/* Role: the library's reading of the environment, once: on error writes the sentence to fd 2 and
 * _exit(125). envp: the constructor's third argument (before libc's own constructor `environ` is not
 * set yet), or NULL for environ. */
void config_init(char *const *envp);

#endif
