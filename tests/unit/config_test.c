/* SPDX-License-Identifier: MIT */
/* The options: every kind of value, right and wrong; the environment; what an error sentence must name. */

#include "../../shim/config.h"
#include "../../shim/qdisc_option.h"
#include "../../stack/ipv4/tcp.h"
#include <criterion/criterion.h>
#include <unistd.h>

static struct sluice_config c;
static char err[1600];

static int set(const char *name, const char *value)
{
    err[0] = 0;
    return config_set(&c, name, value, err, sizeof(err));
}
static int env(char *const *envp)
{
    err[0] = 0;
    return config_from_env(&c, envp, err, sizeof(err));
}
static void setup(void) { config_defaults(&c); }
TestSuite(config, .init = setup);

/* The sentence of the last error has each of these words. */
#define cr_sentence(...)                                                                           \
    do {                                                                                           \
        const char *words[] = {__VA_ARGS__};                                                       \
        for (size_t i = 0; i < ARRAY_SIZE(words); i++)                                             \
            cr_assert(strstr(err, words[i]), "'%s' lacks '%s'", err, words[i]);                    \
    } while (0)

Test(config, defaults)
{
    cr_assert_eq(c.log, CFG_LOG_WARN);
    cr_assert_eq(c.mode, CFG_MODE_AUTO);
    cr_assert_eq(c.accelerate, CFG_ACCEL_AUTO);
    cr_assert_eq(c.firewall, CFG_FIREWALL_REFUSE);
    cr_assert_eq(c.hystart, CFG_HYSTART_RFC9406);
    cr_assert_eq(c.spin, 20);
    cr_assert_eq(c.lane_min_segs, 4);
    cr_assert_eq(c.umem, 16384);
    cr_assert_eq(c.ring, 4096);
    cr_assert_str_empty(c.pcap);
    cr_assert_str_empty(c.dev);
    cr_assert_eq(c.fault.loss_ppm, 0);
    cr_assert_eq(config_check(&c, err, sizeof(err)), 0);
}

Test(config, enum_takes_each_choice_and_nothing_else)
{
    cr_assert_eq(set("mode", "zero-copy"), 0);
    cr_assert_eq(c.mode, CFG_MODE_ZEROCOPY);
    cr_assert_eq(set("mode", "native"), 0);
    cr_assert_eq(c.mode, CFG_MODE_NATIVE);
    const char *bad[] = {"", "Native", "nativ", "natives", "zero", "auto|native", "|"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        cr_assert_eq(set("mode", bad[i]), -EINVAL, "%s", bad[i]);
        cr_sentence("mode", "auto, zero-copy, generic or native");
    }
    cr_assert_eq(c.mode, CFG_MODE_NATIVE, "an error changes nothing");
}

Test(config, uint_range)
{
    cr_assert_eq(set("spin", "0"), 0);
    cr_assert_eq(c.spin, 0);
    cr_assert_eq(set("spin", "1000000"), 0);
    cr_assert_eq(c.spin, 1000000);
    const char *bad[] = {"", " 1", "1 ", "-1", "+1", "1000001", "0x10", "1e3", "1.5", "99999999999999999999999"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        cr_assert_eq(set("spin", bad[i]), -EINVAL, "'%s'", bad[i]);
        cr_sentence("spin", "from 0 to 1000000", "microseconds");
    }
    cr_assert_eq(c.spin, 1000000);
}

Test(config, ring_is_a_power_of_two)
{
    cr_assert_eq(set("ring", "1024"), 0);
    cr_assert_eq(set("ring", "1000"), -EINVAL);
    cr_sentence("ring", "a power of two", "from 64 to 32768");
    cr_assert_eq(c.ring, 1024);
}

Test(config, devices)
{
    cr_assert_eq(set("dev", "eth0"), 0);
    cr_assert_eq(set("dev", "eth0,veth1.5"), 0);
    cr_assert_str_eq(c.dev, "eth0,veth1.5");
    cr_assert_eq(set("dev", ""), 0, "empty: as if not given");
    const char *bad[] = {",", "eth0,", ",eth0", "a,,b", "a/b", "a b", "sixteencharacter"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        cr_assert_eq(set("dev", bad[i]), -EINVAL, "%s", bad[i]);
}

/* As the sysctl of that name does: a name that nobody knows is refused, not served by another. */
Test(config, congestion_is_an_algorithm_of_the_stack)
{
    const char *good[] = {"cubic", "reno", "bbr", ""};
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        cr_assert_eq(set("congestion", good[i]), 0, "%s", good[i]);
        cr_assert(!*good[i] || tcp_ca_find(good[i]), "the stack has %s", good[i]);
    }
    const char *bad[] = {"vegas", "Cubic", "cubi", "cubicc", "cubic,reno", "reno "};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        cr_assert_eq(set("congestion", bad[i]), -EINVAL, "%s", bad[i]);
        cr_sentence("congestion", bad[i], "cubic, reno or bbr");
    }
}

Test(config, address)
{
    cr_assert_eq(set("address", "192.0.2.7/24"), 0);
    const char *bad[] = {"192.0.2.7", "192.0.2/24", "192.0.2.7/", "192.0.2.7/0", "192.0.2.7/33", "192.0.2.7/+1", "x/24", "192.0.2.7/024",
                         "192.0.2.700/24", "111.111.111.1111111/8"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        cr_assert_eq(set("address", bad[i]), -EINVAL, "%s", bad[i]);
    const char *no_host[] = {"0.0.0.0/24", "0.1.2.3/8", "127.0.0.9/24", "224.0.0.9/24", "255.255.255.255/32", "192.0.2.0/24", "192.0.2.255/24"};
    for (size_t i = 0; i < ARRAY_SIZE(no_host); i++) {
        cr_assert_eq(set("address", no_host[i]), -EINVAL, "%s", no_host[i]);
        cr_sentence("address", "no host");
    }
    cr_assert_eq(set("address", "192.0.2.0/31"), 0, "RFC 3021: both are hosts");
    cr_assert_eq(set("address", "192.0.2.255/32"), 0);
    cr_assert_eq(set("address", "192.0.2.7/24"), 0);
    cr_assert_neq(config_check(&c, err, sizeof(err)), 0);
    cr_sentence("address", "dev");
    cr_assert_eq(set("dev", "eth0"), 0);
    cr_assert_eq(config_check(&c, err, sizeof(err)), 0);
    cr_assert_eq(set("gateway", "192.0.2.300"), -EINVAL);
    const char *elsewhere[] = {"192.0.3.1", "192.0.2.7"};
    for (size_t i = 0; i < ARRAY_SIZE(elsewhere); i++) {
        cr_assert_eq(set("gateway", elsewhere[i]), 0);
        cr_assert_eq(config_check(&c, err, sizeof(err)), -EINVAL, "%s", elsewhere[i]);
        cr_sentence("gateway", elsewhere[i], "192.0.2.7/24");
    }
    cr_assert_eq(set("gateway", "192.0.2.1"), 0);
    cr_assert_eq(config_check(&c, err, sizeof(err)), 0);
    cr_assert_eq(set("address", ""), 0);
    cr_assert_neq(config_check(&c, err, sizeof(err)), 0);
    cr_sentence("gateway", "address");
}

Test(config, fastopen_key)
{
    const char *good[] = {"00112233-44556677-8899aabb-ccddeeff", "1-2-3-4", "0-0-0-1", "1-2-3-4,0-0-0-0",
                          "00112233-44556677-8899aabb-ccddeeff,00112233-44556677-8899AABB-CCDDEEFF"};
    const char *bad[] = {"0-0-0-0", "00000000-00000000-00000000-00000000,1-2-3-4", "1-2-3", "1-2-3-4-", "1-2-3-4-5", "1-2-3-4,", "1-2-3-4,5",
                         "1-2-3-4,5-6-7-8,", "1-2-3-x", "-2-3-4", "112233445-2-3-4", "1-2-3-4 "};

    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        cr_assert_eq(set("fastopen_key", good[i]), 0, "%s", good[i]);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        cr_assert_eq(set("fastopen_key", bad[i]), -EINVAL, "%s", bad[i]);
    cr_sentence("fastopen_key", "hexadecimal");
}

Test(config, fault)
{
    cr_assert_eq(set("fault", "loss=20000,reorder=1,dup=2,corrupt=3,seed=18446744073709551615"), 0);
    cr_assert_eq(c.fault.loss_ppm, 20000);
    cr_assert_eq(c.fault.reorder_ppm, 1);
    cr_assert_eq(c.fault.dup_ppm, 2);
    cr_assert_eq(c.fault.corrupt_ppm, 3);
    cr_assert_eq(c.fault.seed, UINT64_MAX);
    const char *bad[] = {"loss", "loss=", "loss=1,", "=1", "los=1", "loss=1000001", "loss=-1", "seed=18446744073709551616", "loss=1;dup=1"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        cr_assert_eq(set("fault", bad[i]), -EINVAL, "%s", bad[i]);
    cr_assert_eq(c.fault.loss_ppm, 20000, "an error changes nothing");
}

Test(config, qdisc)
{
    struct qdisc_option q;

    cr_assert_eq(set("qdisc", "fq,maxrate=100mbit,limit=5000,flow_limit=50,quantum=3k,initial_quantum=15140"), 0);
    cr_assert_null(qdisc_option_parse(c.qdisc, &q));
    cr_assert_eq(q.kind, QDISC_FQ);
    cr_assert_eq(q.rate, 12500000, "bytes a second");
    cr_assert(q.limit == 5000 && q.flow_limit == 50 && q.quantum == 3072 && q.initial_quantum == 15140);
    cr_assert_null(qdisc_option_parse("tbf,rate=8kbit,burst=2000,limit=1m", &q));
    cr_assert(q.kind == QDISC_TBF && q.rate == 1000 && q.burst == 2000 && q.limit == 1 << 20 && !q.flow_limit);
    cr_assert_null(qdisc_option_parse("pfifo_fast", &q));
    cr_assert(q.kind == QDISC_PFIFO_FAST && !q.limit);
    static const struct {
        const char *text, *sentence;
    } bad[] = {
        {"sfq", "the disciplines are"},        {"fq_codel", "the disciplines are"},
        {"fq,", "fq has"},                     {"fq,rate=1mbit", "fq has"},
        {"pfifo_fast,maxrate=1mbit", "has only limit"}, {"tbf,rate=1mbit,peakrate=2mbit", "tbf has"},
        {"fq,limit", "NAME=VALUE"},            {"fq,limit=", "from 1 to 1000000"},
        {"fq,limit=0", "from 1 to 1000000"},   {"fq,limit=1000001", "from 1 to 1000000"},
        {"fq,limit=10k", "from 1 to 1000000"}, {"fq,maxrate=10", "a rate is like"},
        {"fq,maxrate=10Mbit", "a rate is like"}, {"fq,maxrate=7bit", "a rate is like"},
        {"fq,maxrate=99999999999gbit", "a rate is like"}, {"fq,quantum=2g", "bytes is like"},
        {"tbf", "needs rate and burst"},       {"tbf,rate=1mbit", "needs rate and burst"},
        {"tbf,rate=1mbit,burst=9000,limit=8000", "less than its burst"}, {"tbf,rate=1mbit,burst=x", "bytes is like"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        cr_assert_eq(set("qdisc", bad[i].text), -EINVAL, "%s", bad[i].text);
        cr_sentence("qdisc", bad[i].sentence, bad[i].text);
    }
    cr_assert(!strncmp(c.qdisc, "fq,", 3), "an error changes nothing");
}

Test(config, path_becomes_absolute)
{
    char cwd[512], want[1024];
    cr_assert(getcwd(cwd, sizeof(cwd)));
    snprintf(want, sizeof(want), "%s/a.pcap", strcmp(cwd, "/") ? cwd : "");
    cr_assert_eq(set("pcap", "a.pcap"), 0);
    cr_assert_str_eq(c.pcap, want);
    cr_assert_eq(set("pcap", "/tmp/b"), 0);
    cr_assert_str_eq(c.pcap, "/tmp/b");
    cr_assert_eq(set("pcap", ""), 0);
    cr_assert_str_empty(c.pcap);
    char *longest = malloc(OPTION_PATH_MAX + 2);
    memset(longest, 'x', OPTION_PATH_MAX + 1);
    longest[0] = '/';
    longest[OPTION_PATH_MAX + 1] = 0;
    cr_assert_eq(set("pcap", longest), -EINVAL);
    cr_sentence("pcap", "too long");
    longest[OPTION_PATH_MAX - 1] = 0;
    cr_assert_eq(set("pcap", longest), 0);
    free(longest);
}

Test(config, path_pattern)
{
    char out[64], want[64];
    snprintf(want, sizeof(want), "/a.%d.b%%c", getpid());
    cr_assert_eq(config_expand_path("/a.%p.b%%c", out, sizeof(out)), 0);
    cr_assert_str_eq(out, want);
    cr_assert_eq(config_expand_path("%p%p%p%p%p%p%p%p%p%p%p%p", out, 20), -ENAMETOOLONG);
}

Test(config, unknown_option)
{
    cr_assert_eq(set("fault_rate", "1"), -ENOENT);
    cr_sentence("fault_rate", "'1'", "spin", "pcap");
}

Test(config, profile_gives_way_to_single_options)
{
    char *late[] = {"SLUICE_SPIN=7", "HOME=/", "SLUICE_PROFILE=throughput", NULL};
    cr_assert_eq(env(late), 0, "%s", err);
    cr_assert_eq(c.spin, 7);
    cr_assert_eq(c.umem, 32768);
    char *bad[] = {"SLUICE_PROFILE=fast", NULL};
    cr_assert_eq(env(bad), -EINVAL);
    cr_sentence("SLUICE_PROFILE", "fast", "default, latency or throughput");
}

Test(config, every_profile_is_valid)
{
    const char *profiles[] = {"default", "latency", "throughput"};
    for (size_t i = 0; i < ARRAY_SIZE(profiles); i++) {
        config_defaults(&c);
        cr_assert_eq(set("profile", profiles[i]), 0);
        cr_assert_str_empty(err);
        cr_assert_eq(config_check(&c, err, sizeof(err)), 0);
    }
}

Test(config, environment_errors_name_the_variable)
{
    char *malformed[] = {"SLUICE_LANE_MIN_SEGS=many", NULL}, *unknown[] = {"SLUICE_TURBO=1", NULL};
    cr_assert_eq(env(malformed), -EINVAL);
    cr_sentence("SLUICE_LANE_MIN_SEGS", "lane_min_segs", "many", "from 1 to 64");
    cr_assert_eq(env(unknown), -EINVAL);
    cr_sentence("SLUICE_TURBO", "turbo", "no such option");
}

Test(config, environment_of_others_is_left_alone)
{
    char *others[] = {"SLUICE_LIB=/x", "SLUICE__COMPANION=3", "SLUICE=1", "SLUICE_", "SLUICEX=1", "XSLUICE_SPIN=1", "", "LANG=C", NULL};
    cr_assert_eq(env(others), 0, "%s", err);
    cr_assert(config_is_option_var("SLUICE_LIBRARY=1"));
}

Test(config, names)
{
    char buf[80];
    cr_assert_str_eq(config_env_name("lane_min_segs", buf, sizeof(buf)), "SLUICE_LANE_MIN_SEGS");
    cr_assert_str_eq(config_choice("mode", CFG_MODE_GENERIC, buf, sizeof(buf)), "generic");
    cr_assert_str_eq(config_choice("mode", 9, buf, sizeof(buf)), "");
    cr_assert(config_is_path("log_file"));
    cr_assert_not(config_is_path("log"));
}

/* Nothing that a user can write crashes or overruns: every option with hostile values. */
Test(config, hostile_values)
{
    char *huge = malloc(100001);
    memset(huge, 'A', 100000);
    huge[100000] = 0;
    const char *names[] = {"log", "pcap", "dev", "spin", "fault", "address", "profile", "congestion", "gateway", "ring", "fastopen_key", "%s%n"};
    const char *values[] = {huge, "%s%s%n", "\xff\xfe", "=", ",,,,", "\n"};
    for (size_t n = 0; n < ARRAY_SIZE(names); n++)
        for (size_t v = 0; v < ARRAY_SIZE(values); v++)
            set(names[n], values[v]);
    char *name = malloc(100032), *one[2] = {name, NULL};
    sprintf(name, "SLUICE_%s=1", huge);
    cr_assert_eq(env(one), -EINVAL);
    cr_assert_lt(strlen(err), sizeof(err));
    free(name);
    free(huge);
}
