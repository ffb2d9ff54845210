/* SPDX-License-Identifier: MIT */
/* The filter file's rules, from text to what a packet meets. */

#include "../lib/tcpscript.h"
#include "../../shim/filter.h"

static struct nf_rule parsed(const char *line)
{
    const char *wrong = NULL;
    struct nf_rule r;

    cr_assert_eq(filter_parse_line(line, &r, &wrong), 1, "%s: %s", line, wrong ? wrong : "not a rule");
    return r;
}

static const char *refused(const char *line)
{
    const char *wrong = NULL;
    struct nf_rule r;

    cr_assert_eq(filter_parse_line(line, &r, &wrong), -1, "%s", line);
    return wrong;
}

Test(filter, a_whole_rule)
{
    struct nf_rule r = parsed("  reject in tcp from 192.0.2.77/24 port 1000 to any port 80 # web\n");

    cr_assert_eq(r.verdict, NF_VERDICT_REJECT);
    cr_assert_eq(r.hook, NF_LOCAL_IN);
    cr_assert_eq(r.proto, IPPROTO_TCP);
    cr_assert_eq(r.saddr, htobe32(0xc0000200));
    cr_assert_eq(r.smask, htobe32(0xffffff00));
    cr_assert_eq(r.sport, 1000);
    cr_assert_eq(r.daddr | r.dmask, 0);
    cr_assert_eq(r.dport, 80);
}

Test(filter, the_shortest_rule)
{
    struct nf_rule r = parsed("drop out");

    cr_assert_eq(r.verdict, NF_VERDICT_DROP);
    cr_assert_eq(r.hook, NF_LOCAL_OUT);
    cr_assert_eq(parsed("accept in icmp").proto, IPPROTO_ICMP);
}

Test(filter, a_rule_is_told_as_it_is_written)
{
    static const char *const rules[] = {
        "drop in", "accept out tcp", "accept in icmp from 10.0.0.0/8", "reject in tcp from any port 1000 to 192.0.2.7 port 80 with reset",
        "reject out with admin-prohibited", "reject out udp to 10.1.0.0/16 port 53 with net-unreachable"};
    char buf[FILTER_TEXT_MAX];

    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        struct nf_rule r = parsed(rules[i]);

        cr_assert_str_eq(filter_print(&r, buf, sizeof(buf)), rules[i]);
    }
}

Test(filter, comments_and_empty_lines_are_no_rules)
{
    struct nf_rule r;
    const char *wrong;

    cr_assert_eq(filter_parse_line("\n", &r, &wrong), 0);
    cr_assert_eq(filter_parse_line("   # drop in", &r, &wrong), 0);
}

Test(filter, mistakes_are_told)
{
    cr_assert(strstr(refused("allow in"), "begins with"));
    cr_assert(strstr(refused("drop"), "in or out"));
    cr_assert(strstr(refused("drop in from 300.1.1.1"), "address"));
    cr_assert(strstr(refused("drop in from 10.0.0.0/33"), "address"));
    cr_assert(strstr(refused("drop in tcp port 80"), "follows"));
    cr_assert(strstr(refused("drop in from any port 80"), "tcp or udp"));
    cr_assert(strstr(refused("drop in tcp from any port 0"), "65535"));
    cr_assert(strstr(refused("drop in tcp to"), "need"));
    cr_assert(strstr(refused("drop in sctp"), "only"));
    cr_assert(strstr(refused("drop in tcp with reset"), "belongs to reject"));
    cr_assert(strstr(refused("reject in tcp with"), "with a word"));
    cr_assert(strstr(refused("reject in tcp with nonsense"), "port-unreachable"));
    cr_assert(strstr(refused("reject in with reset"), "belongs to tcp"));
}

/* ---- what the packets meet ---------------------------------------------------------------------------------- */

TestSuite(filter_packets, .init = script_init, .fini = script_fini);

static int add(void *net, const struct nf_rule *r) { return nf_add_rule(net, r); }

static void load(const char *text)
{
    char path[] = "/tmp/sluice-filter.XXXXXX", why[256] = "";
    int fd = mkstemp(path);

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    cr_assert_eq(filter_load(path, add, script_net, why, sizeof(why)), 0, "%s", why);
    unlink(path);
}

Test(filter_packets, rejected_syn_gets_a_reset)
{
    sys_listen(80, 10);
    load("reject in tcp from 10.0.0.0/24 to any port 80\n");
    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "RA", .seq = 0, .ack = 1);
    cr_assert_eq(drops(SKB_DROP_REASON_NETFILTER_DROP), 1);
}

Test(filter_packets, dropped_syn_gets_nothing)
{
    sys_listen(80, 10);
    load("drop in tcp to any port 80\n");
    rx(.flags = "S", .opt = "mss 1460");
    tx_nothing();
}

Test(filter_packets, first_match_decides_and_is_counted)
{
    struct nf_rule r;

    sys_listen(80, 10);
    load("accept in tcp from 10.0.0.2\ndrop in\n");
    rx(.flags = "S", .opt = "mss 1460");
    tx(.flags = "SA");
    rx(.flags = "R");
    cr_assert(nf_get_rule(script_net, NF_LOCAL_IN, 0, &r));
    cr_assert_eq(r.packets, 2);
    cr_assert_eq(r.bytes, 44 + 40, "IP headers included");
    cr_assert_eq(r.line, 1);
    cr_assert(nf_get_rule(script_net, NF_LOCAL_IN, 1, &r));
    cr_assert_eq(r.packets, 0);
    cr_assert_not(nf_get_rule(script_net, NF_LOCAL_IN, 2, &r));
}

Test(filter_packets, dropped_output_never_leaves)
{
    struct socket *s = sys_socket_bound();

    load("drop out tcp to 10.0.0.2 port 12345\n");
    sys_connect(s, SCRIPT_PEER_PORT);
    advance_ms(3000);
    tx_nothing();
    nf_flush(script_net);
}

Test(filter_packets, rejected_syn_gets_the_unreachable_that_the_rule_names)
{
    struct nf_rule r;

    script_dev->own_address = false; /* a shared address: the kernel never sees the SYN, so the answer is ours */
    sys_listen(80, 10);
    load("reject in tcp to any port 80 with host-unreachable\n");
    rx(.flags = "S", .opt = "mss 1460");
    cr_assert_eq(tx_ignore(), 1);
    cr_assert_eq(mib(ICMP_MIB_OUTMSGS), 1);
    cr_assert(nf_get_rule(script_net, NF_LOCAL_IN, 0, &r));
    cr_assert_eq(r.packets, 1);
    script_dev->own_address = true;
}

/* connect() against a rule at output: its error after 10 ms, and how many packets the rule took. */
static int connect_against(const char *rule, u64 *packets)
{
    struct socket *s = sys_socket_bound();
    struct nf_rule r;
    int err;

    load(rule);
    cr_assert_eq(sys_connect(s, SCRIPT_PEER_PORT), -EINPROGRESS);
    advance_ms(10);
    tx_nothing();
    err = sys_error(s);
    cr_assert(nf_get_rule(script_net, NF_LOCAL_OUT, 0, &r));
    *packets = r.packets;
    nf_flush(script_net);
    cr_assert_eq(sys_state(s), err ? TCP_CLOSE : TCP_SYN_SENT);
    sys_close(s);
    return err;
}

Test(filter_packets, connect_hears_at_once_what_a_rule_at_output_says)
{
    static const struct {
        const char *rule;
        int err;
    } table[] = {
        {"reject out tcp\n", ECONNREFUSED},
        {"reject out tcp with reset\n", ECONNREFUSED},
        {"reject out with port-unreachable\n", ECONNREFUSED},
        {"reject out with host-unreachable\n", EHOSTUNREACH},
        {"reject out with net-unreachable\n", ENETUNREACH},
        {"reject out with admin-prohibited\n", EHOSTUNREACH},
        {"drop out\n", 0}, /* and goes on trying */
    };
    u64 packets;

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        cr_assert_eq(connect_against(table[i].rule, &packets), table[i].err, "%s", table[i].rule);
        cr_assert_eq(packets, 1);
    }
}

Test(filter_packets, blocking_connect_against_a_reject_returns_its_error)
{
    struct socket *s = sys_socket_bound();

    load("reject out tcp with host-unreachable\n");
    cr_assert_eq(sys_connect_wait(s, SCRIPT_PEER_PORT), -EHOSTUNREACH);
    cr_assert_eq(mib(TCP_MIB_RETRANSSEGS), 0, "at once, not with the next try");
    nf_flush(script_net);
}

Test(filter_packets, established_reset_at_output_ends_the_connection)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    load("reject out tcp with reset\n");
    cr_assert_eq(sys_write(s, 100), 100);
    tx_nothing();
    advance_ms(1);
    cr_assert_eq(sys_error(s), ECONNRESET);
    cr_assert_eq(sys_state(s), TCP_CLOSE);
    nf_flush(script_net);
}

Test(filter_packets, established_unreachable_at_output_is_not_fatal)
{
    struct socket *s = script_accepted("mss 1460", 65535);

    load("reject out with host-unreachable\n");
    cr_assert_eq(sys_write(s, 100), 100);
    advance_ms(100);
    nf_flush(script_net);
    cr_assert_eq(sys_state(s), TCP_ESTABLISHED);
    cr_assert_eq(sys_error(s), EHOSTUNREACH, "a soft error, which SO_ERROR tells and clears");
    cr_assert_eq(sys_write(s, 1), 1);
    advance_ms(2000);
    tx(.flags = "PA", .seq = 1, .len = 101);
    tx_ignore();
    rx();
}

Test(filter_packets, rules_come_and_go_with_rejects_waiting)
{
    struct socket *s = sys_socket_bound();

    load("reject out tcp with reset\n");
    sys_connect(s, SCRIPT_PEER_PORT);
    nf_flush(script_net); /* the answer still comes, and script_fini() finds nothing left */
    sys_close(s);
}

Test(filter_packets, a_line_too_long_is_a_mistake)
{
    char path[] = "/tmp/sluice-filter.XXXXXX", why[256] = "";
    FILE *f = fdopen(mkstemp(path), "w");

    fprintf(f, "# short\ndrop in %600s\n", "#");
    fclose(f);
    cr_assert_eq(filter_load(path, NULL, NULL, why, sizeof(why)), -EINVAL);
    cr_assert(strstr(why, "line 2") && strstr(why, "long"), "%s", why);
    unlink(path);
}

/* Else what cannot be read would be an empty list of rules, and everything would pass. */
Test(filter_packets, a_file_that_fails_to_be_read_is_no_empty_one)
{
    char why[256] = "";

    cr_assert_eq(filter_load("/tmp", NULL, NULL, why, sizeof(why)), -EISDIR);
    cr_assert(strstr(why, "/tmp") && strstr(why, "cannot be read"), "%s", why);
}

Test(filter_packets, a_file_with_a_mistake_names_the_line)
{
    char path[] = "/tmp/sluice-filter.XXXXXX", why[256] = "";
    int fd = mkstemp(path);

    cr_assert_eq(write(fd, "accept in\nnonsense\n", 19), 19);
    close(fd);
    cr_assert_eq(filter_load(path, add, script_net, why, sizeof(why)), -EINVAL);
    cr_assert(strstr(why, "line 2"), "%s", why);
    unlink(path);
    cr_assert_eq(filter_load(path, add, script_net, why, sizeof(why)), -ENOENT);
    nf_flush(script_net);
}
