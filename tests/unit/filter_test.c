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
}

/* ---- what the packets meet ---------------------------------------------------------------------------------- */

TestSuite(filter_packets, .init = script_init, .fini = script_fini);

static void load(const char *text)
{
    char path[] = "/tmp/sluice-filter.XXXXXX", why[256] = "";
    int fd = mkstemp(path);

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    cr_assert_eq(filter_load(script_net, path, why, sizeof(why)), 0, "%s", why);
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

Test(filter_packets, a_file_with_a_mistake_names_the_line)
{
    char path[] = "/tmp/sluice-filter.XXXXXX", why[256] = "";
    int fd = mkstemp(path);

    cr_assert_eq(write(fd, "accept in\nnonsense\n", 19), 19);
    close(fd);
    cr_assert_eq(filter_load(script_net, path, why, sizeof(why)), -EINVAL);
    cr_assert(strstr(why, "line 2"), "%s", why);
    unlink(path);
    cr_assert_eq(filter_load(script_net, path, why, sizeof(why)), -ENOENT);
    nf_flush(script_net);
}
