/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_CORE_MIB_H
#define SLUICE_CORE_MIB_H
/* Counters, by the names that nstat(8) prints on Linux; ours carry the prefix Sluice.
 * One list, many expansions: add a line here and it is counted, printed and documented. */

#define MIB_LIST(X)                                                                                \
    X(IPSTATS_MIB_INPKTS, "IpInReceives")                                                          \
    X(IPSTATS_MIB_INHDRERRORS, "IpInHdrErrors")                                                    \
    X(IPSTATS_MIB_INADDRERRORS, "IpInAddrErrors")                                                  \
    X(IPSTATS_MIB_INUNKNOWNPROTOS, "IpInUnknownProtos")                                            \
    X(IPSTATS_MIB_INDISCARDS, "IpInDiscards")                                                      \
    X(IPSTATS_MIB_INDELIVERS, "IpInDelivers")                                                      \
    X(IPSTATS_MIB_OUTPKTS, "IpOutRequests")                                                        \
    X(IPSTATS_MIB_OUTDISCARDS, "IpOutDiscards")                                                    \
    X(IPSTATS_MIB_OUTNOROUTES, "IpOutNoRoutes")                                                    \
    X(IPSTATS_MIB_REASMTIMEOUT, "IpReasmTimeout")                                                  \
    X(IPSTATS_MIB_REASMREQDS, "IpReasmReqds")                                                      \
    X(IPSTATS_MIB_REASMOKS, "IpReasmOKs")                                                          \
    X(IPSTATS_MIB_REASMFAILS, "IpReasmFails")                                                      \
    X(IPSTATS_MIB_REASM_OVERLAPS, "IpExtReasmOverlaps")                                            \
    X(IPSTATS_MIB_FRAGOKS, "IpFragOKs")                                                            \
    X(IPSTATS_MIB_FRAGFAILS, "IpFragFails")                                                        \
    X(IPSTATS_MIB_FRAGCREATES, "IpFragCreates")                                                    \
    X(ICMP_MIB_INMSGS, "IcmpInMsgs")                                                               \
    X(ICMP_MIB_INERRORS, "IcmpInErrors")                                                           \
    X(ICMP_MIB_INCSUMERRORS, "IcmpInCsumErrors")                                                   \
    X(ICMP_MIB_OUTMSGS, "IcmpOutMsgs")                                                             \
    X(ICMP_MIB_OUTERRORS, "IcmpOutErrors")                                                         \
    X(ICMP_MIB_RATELIMIT, "IcmpOutRateLimitHost")                                                  \
    X(TCP_MIB_ACTIVEOPENS, "TcpActiveOpens")                                                       \
    X(TCP_MIB_PASSIVEOPENS, "TcpPassiveOpens")                                                     \
    X(TCP_MIB_ATTEMPTFAILS, "TcpAttemptFails")                                                     \
    X(TCP_MIB_ESTABRESETS, "TcpEstabResets")                                                       \
    X(TCP_MIB_CURRESTAB, "TcpCurrEstab")                                                           \
    X(TCP_MIB_INSEGS, "TcpInSegs")                                                                 \
    X(TCP_MIB_OUTSEGS, "TcpOutSegs")                                                               \
    X(TCP_MIB_RETRANSSEGS, "TcpRetransSegs")                                                       \
    X(TCP_MIB_INERRS, "TcpInErrs")                                                                 \
    X(TCP_MIB_OUTRSTS, "TcpOutRsts")                                                               \
    X(TCP_MIB_CSUMERRORS, "TcpInCsumErrors")                                                       \
    X(LINUX_MIB_SYNCOOKIESSENT, "TcpExtSyncookiesSent")                                            \
    X(LINUX_MIB_SYNCOOKIESRECV, "TcpExtSyncookiesRecv")                                            \
    X(LINUX_MIB_SYNCOOKIESFAILED, "TcpExtSyncookiesFailed")                                        \
    X(LINUX_MIB_EMBRYONICRSTS, "TcpExtEmbryonicRsts")                                              \
    X(LINUX_MIB_PRUNECALLED, "TcpExtPruneCalled")                                                  \
    X(LINUX_MIB_RCVPRUNED, "TcpExtRcvPruned")                                                      \
    X(LINUX_MIB_OFOPRUNED, "TcpExtOfoPruned")                                                      \
    X(LINUX_MIB_OUTOFWINDOWICMPS, "TcpExtOutOfWindowIcmps")                                        \
    X(LINUX_MIB_LOCKDROPPEDICMPS, "TcpExtLockDroppedIcmps")                                        \
    X(LINUX_MIB_TIMEWAITED, "TcpExtTW")                                                            \
    X(LINUX_MIB_TIMEWAITRECYCLED, "TcpExtTWRecycled")                                              \
    X(LINUX_MIB_TIMEWAITKILLED, "TcpExtTWKilled")                                                  \
    X(LINUX_MIB_PAWSACTIVEREJECTED, "TcpExtPAWSActive")                                            \
    X(LINUX_MIB_PAWSESTABREJECTED, "TcpExtPAWSEstab")                                              \
    X(LINUX_MIB_PAWS_TW_REJECTED, "TcpExtPAWSTimewait")                                            \
    X(LINUX_MIB_TSECRREJECTED, "TcpExtTSEcrRejected")                                              \
    X(LINUX_MIB_DELAYEDACKS, "TcpExtDelayedACKs")                                                  \
    X(LINUX_MIB_DELAYEDACKLOCKED, "TcpExtDelayedACKLocked")                                        \
    X(LINUX_MIB_DELAYEDACKLOST, "TcpExtDelayedACKLost")                                            \
    X(LINUX_MIB_LISTENOVERFLOWS, "TcpExtListenOverflows")                                          \
    X(LINUX_MIB_LISTENDROPS, "TcpExtListenDrops")                                                  \
    X(LINUX_MIB_TCPHPHITS, "TcpExtTCPHPHits")                                                      \
    X(LINUX_MIB_TCPPUREACKS, "TcpExtTCPPureAcks")                                                  \
    X(LINUX_MIB_TCPHPACKS, "TcpExtTCPHPAcks")                                                      \
    X(LINUX_MIB_TCPRENORECOVERY, "TcpExtTCPRenoRecovery")                                          \
    X(LINUX_MIB_TCPSACKRECOVERY, "TcpExtTCPSackRecovery")                                          \
    X(LINUX_MIB_TCPSACKRENEGING, "TcpExtTCPSACKReneging")                                          \
    X(LINUX_MIB_TCPSACKREORDER, "TcpExtTCPSACKReorder")                                            \
    X(LINUX_MIB_TCPRENOREORDER, "TcpExtTCPRenoReorder")                                            \
    X(LINUX_MIB_TCPTSREORDER, "TcpExtTCPTSReorder")                                                \
    X(LINUX_MIB_TCPFULLUNDO, "TcpExtTCPFullUndo")                                                  \
    X(LINUX_MIB_TCPPARTIALUNDO, "TcpExtTCPPartialUndo")                                            \
    X(LINUX_MIB_TCPDSACKUNDO, "TcpExtTCPDSACKUndo")                                                \
    X(LINUX_MIB_TCPLOSSUNDO, "TcpExtTCPLossUndo")                                                  \
    X(LINUX_MIB_TCPLOSTRETRANSMIT, "TcpExtTCPLostRetransmit")                                      \
    X(LINUX_MIB_TCPRENOFAILURES, "TcpExtTCPRenoFailures")                                          \
    X(LINUX_MIB_TCPSACKFAILURES, "TcpExtTCPSackFailures")                                          \
    X(LINUX_MIB_TCPLOSSFAILURES, "TcpExtTCPLossFailures")                                          \
    X(LINUX_MIB_TCPFASTRETRANS, "TcpExtTCPFastRetrans")                                            \
    X(LINUX_MIB_TCPSLOWSTARTRETRANS, "TcpExtTCPSlowStartRetrans")                                  \
    X(LINUX_MIB_TCPTIMEOUTS, "TcpExtTCPTimeouts")                                                  \
    X(LINUX_MIB_TCPLOSSPROBES, "TcpExtTCPLossProbes")                                              \
    X(LINUX_MIB_TCPLOSSPROBERECOVERY, "TcpExtTCPLossProbeRecovery")                                \
    X(LINUX_MIB_TCPRCVCOLLAPSED, "TcpExtTCPRcvCollapsed")                                          \
    X(LINUX_MIB_TCPDSACKOLDSENT, "TcpExtTCPDSACKOldSent")                                          \
    X(LINUX_MIB_TCPDSACKOFOSENT, "TcpExtTCPDSACKOfoSent")                                          \
    X(LINUX_MIB_TCPDSACKRECV, "TcpExtTCPDSACKRecv")                                                \
    X(LINUX_MIB_TCPDSACKOFORECV, "TcpExtTCPDSACKOfoRecv")                                          \
    X(LINUX_MIB_TCPABORTONDATA, "TcpExtTCPAbortOnData")                                            \
    X(LINUX_MIB_TCPABORTONCLOSE, "TcpExtTCPAbortOnClose")                                          \
    X(LINUX_MIB_TCPABORTONMEMORY, "TcpExtTCPAbortOnMemory")                                        \
    X(LINUX_MIB_TCPABORTONTIMEOUT, "TcpExtTCPAbortOnTimeout")                                      \
    X(LINUX_MIB_TCPABORTONLINGER, "TcpExtTCPAbortOnLinger")                                        \
    X(LINUX_MIB_TCPABORTFAILED, "TcpExtTCPAbortFailed")                                            \
    X(LINUX_MIB_TCPMEMORYPRESSURES, "TcpExtTCPMemoryPressures")                                    \
    X(LINUX_MIB_TCPBACKLOGDROP, "TcpExtTCPBacklogDrop")                                            \
    X(LINUX_MIB_TCPDEFERACCEPTDROP, "TcpExtTCPDeferAcceptDrop")                                    \
    X(LINUX_MIB_TCPTIMEWAITOVERFLOW, "TcpExtTCPTimeWaitOverflow")                                  \
    X(LINUX_MIB_TCPREQQFULLDOCOOKIES, "TcpExtTCPReqQFullDoCookies")                                \
    X(LINUX_MIB_TCPREQQFULLDROP, "TcpExtTCPReqQFullDrop")                                          \
    X(LINUX_MIB_TCPRETRANSFAIL, "TcpExtTCPRetransFail")                                            \
    X(LINUX_MIB_TCPMINTTLDROP, "TcpExtTCPMinTTLDrop")                                              \
    X(LINUX_MIB_TCPRCVCOALESCE, "TcpExtTCPRcvCoalesce")                                            \
    X(LINUX_MIB_TCPBACKLOGCOALESCE, "TcpExtTCPBacklogCoalesce")                                    \
    X(LINUX_MIB_TCPOFOQUEUE, "TcpExtTCPOFOQueue")                                                  \
    X(LINUX_MIB_TCPOFODROP, "TcpExtTCPOFODrop")                                                    \
    X(LINUX_MIB_TCPOFOMERGE, "TcpExtTCPOFOMerge")                                                  \
    X(LINUX_MIB_TCPCHALLENGEACK, "TcpExtTCPChallengeACK")                                          \
    X(LINUX_MIB_TCPSYNCHALLENGE, "TcpExtTCPSYNChallenge")                                          \
    X(LINUX_MIB_TCPSPURIOUSRTOS, "TcpExtTCPSpuriousRTOs")                                          \
    X(LINUX_MIB_TCPAUTOCORKING, "TcpExtTCPAutoCorking")                                            \
    X(LINUX_MIB_TCPFROMZEROWINDOWADV, "TcpExtTCPFromZeroWindowAdv")                                \
    X(LINUX_MIB_TCPTOZEROWINDOWADV, "TcpExtTCPToZeroWindowAdv")                                    \
    X(LINUX_MIB_TCPWANTZEROWINDOWADV, "TcpExtTCPWantZeroWindowAdv")                                \
    X(LINUX_MIB_TCPSYNRETRANS, "TcpExtTCPSynRetrans")                                              \
    X(LINUX_MIB_TCPORIGDATASENT, "TcpExtTCPOrigDataSent")                                          \
    X(LINUX_MIB_TCPHYSTARTTRAINDETECT, "TcpExtTCPHystartTrainDetect")                              \
    X(LINUX_MIB_TCPHYSTARTDELAYDETECT, "TcpExtTCPHystartDelayDetect")                              \
    X(LINUX_MIB_TCPACKSKIPPEDSYNRECV, "TcpExtTCPACKSkippedSynRecv")                                \
    X(LINUX_MIB_TCPACKSKIPPEDPAWS, "TcpExtTCPACKSkippedPAWS")                                      \
    X(LINUX_MIB_TCPACKSKIPPEDSEQ, "TcpExtTCPACKSkippedSeq")                                        \
    X(LINUX_MIB_TCPACKSKIPPEDFINWAIT2, "TcpExtTCPACKSkippedFinWait2")                              \
    X(LINUX_MIB_TCPACKSKIPPEDTIMEWAIT, "TcpExtTCPACKSkippedTimeWait")                              \
    X(LINUX_MIB_TCPACKSKIPPEDCHALLENGE, "TcpExtTCPACKSkippedChallenge")                            \
    X(LINUX_MIB_TCPWINPROBE, "TcpExtTCPWinProbe")                                                  \
    X(LINUX_MIB_TCPKEEPALIVE, "TcpExtTCPKeepAlive")                                                \
    X(LINUX_MIB_TCPFASTOPENACTIVE, "TcpExtTCPFastOpenActive")                                      \
    X(LINUX_MIB_TCPFASTOPENACTIVEFAIL, "TcpExtTCPFastOpenActiveFail")                              \
    X(LINUX_MIB_TCPFASTOPENPASSIVE, "TcpExtTCPFastOpenPassive")                                    \
    X(LINUX_MIB_TCPFASTOPENPASSIVEFAIL, "TcpExtTCPFastOpenPassiveFail")                            \
    X(LINUX_MIB_TCPFASTOPENLISTENOVERFLOW, "TcpExtTCPFastOpenListenOverflow")                      \
    X(LINUX_MIB_TCPFASTOPENCOOKIEREQD, "TcpExtTCPFastOpenCookieReqd")                              \
    X(LINUX_MIB_TCPFASTOPENBLACKHOLE, "TcpExtTCPFastOpenBlackhole")                                \
    X(LINUX_MIB_TCPFASTOPENPASSIVEALTKEY, "TcpExtTCPFastOpenPassiveAltKey")                        \
    X(LINUX_MIB_TCPDELIVERED, "TcpExtTCPDelivered")                                                \
    X(LINUX_MIB_TCPDELIVEREDCE, "TcpExtTCPDeliveredCE")                                            \
    X(LINUX_MIB_TCPACKCOMPRESSED, "TcpExtTCPAckCompressed")                                        \
    X(LINUX_MIB_TCPZEROWINDOWDROP, "TcpExtTCPZeroWindowDrop")                                      \
    X(LINUX_MIB_TCPRCVQDROP, "TcpExtTCPRcvQDrop")                                                  \
    X(LINUX_MIB_TCPTIMEOUTREHASH, "TcpExtTcpTimeoutRehash")                                        \
    X(LINUX_MIB_TCPDSACKRECVSEGS, "TcpExtTCPDSACKRecvSegs")                                        \
    X(LINUX_MIB_TCPWQUEUETOOBIG, "TcpExtTCPWqueueTooBig")                                          \
    X(LINUX_MIB_TCPMTUPFAIL, "TcpExtTCPMTUPFail")                                                  \
    X(LINUX_MIB_TCPMTUPSUCCESS, "TcpExtTCPMTUPSuccess")                                            \
    X(LINUX_MIB_SACKSHIFTED, "TcpExtTCPSackShifted")                                               \
    X(LINUX_MIB_SACKMERGED, "TcpExtTCPSackMerged")                                                 \
    X(LINUX_MIB_INMCASTPKTS, "IpExtInMcastPkts")                                                   \
    X(LINUX_MIB_INOCTETS, "IpExtInOctets")                                                         \
    X(LINUX_MIB_OUTOCTETS, "IpExtOutOctets")                                                       \
    X(LINUX_MIB_CSUMERRORS, "IpExtInCsumErrors")                                                   \
    X(SLUICE_MIB_GSO_LANE_PKTS, "SluiceGsoLanePkts")                                               \
    X(SLUICE_MIB_GSO_LANE_SEGS, "SluiceGsoLaneSegs")                                               \
    X(SLUICE_MIB_GSO_LANE_REFUSED, "SluiceGsoLaneRefused")                                         \
    X(SLUICE_MIB_GSO_SW_SEGS, "SluiceGsoSoftwareSegs")                                             \
    X(SLUICE_MIB_TX_COPIES, "SluiceTxPayloadCopies")                                               \
    X(SLUICE_MIB_TX_RING_FULL, "SluiceTxRingFull")                                                 \
    X(SLUICE_MIB_TX_KICKS, "SluiceTxKicks")                                                        \
    X(SLUICE_MIB_RX_COPYOUT, "SluiceRxCopyOut")                                                    \
    X(SLUICE_MIB_RX_MULTIBUF, "SluiceRxMultiBuffer")                                               \
    X(SLUICE_MIB_GRO_MERGED, "SluiceGroMerged")                                                    \
    X(SLUICE_MIB_POLL_SLEEPS, "SluicePollSleeps")                                                  \
    X(SLUICE_MIB_BACKSTOP_POLLS, "SluiceBackstopPolls")                                            \
    X(SLUICE_MIB_HANDOVERS, "SluiceHandOvers")                                                     \
    X(SLUICE_MIB_FALLBACKS, "SluiceKernelFallbacks")

/* Why an sk_buff ended before its time: the only silent exit is kfree_skb_reason(). */
#define DROP_REASON_LIST(X)                                                                        \
    X(NOT_SPECIFIED, "no reason was given")                                                        \
    X(NO_SOCKET, "no socket for it")                                                               \
    X(PKT_TOO_SMALL, "shorter than its headers")                                                   \
    X(DEV_HDR, "link-layer header is bad")                                                         \
    X(OTHERHOST, "not addressed to us")                                                            \
    X(UNHANDLED_PROTO, "no handler for its protocol")                                              \
    X(IP_INHDR, "IP header is bad")                                                                \
    X(IP_CSUM, "IP header checksum is wrong")                                                      \
    X(IP_INADDRERRORS, "IP address makes no sense")                                                \
    X(IP_RPFILTER, "source address is one of ours or not unicast")                                 \
    X(IP_OPTIONS, "IP options are bad or not accepted")                                            \
    X(IP_NOPROTO, "no handler for its IP protocol")                                                \
    X(IP_OUTNOROUTES, "no route")                                                                  \
    X(FRAG_REASM_TIMEOUT, "reassembly timed out")                                                  \
    X(FRAG_REASM_LIMIT, "reassembly memory limit")                                                 \
    X(FRAG_REASM_PEER_LIMIT, "reassembly memory limit of one sender")                              \
    X(FRAG_OVERLAP, "overlapping fragment")                                                        \
    X(DUP_FRAG, "fragment that was here already")                                                  \
    X(FRAG_TOO_FAR, "its sender sent too many other fragments meanwhile")                          \
    X(FRAG_BAD, "fragment is empty, too long or contradicts another")                              \
    X(FRAG_TOO_BIG, "needs fragmentation but DF is set")                                           \
    X(NETFILTER_DROP, "a filter rule")                                                             \
    X(NEIGH_CREATEFAIL, "no room for a neighbour entry")                                           \
    X(NEIGH_FAILED, "the neighbour does not answer")                                               \
    X(NEIGH_QUEUEFULL, "too much waits for this neighbour's address")                              \
    X(NEIGH_DEAD, "neighbour entry was removed")                                                   \
    X(ARP_BAD, "ARP packet is bad or claims an address it may not")                                \
    X(QDISC_DROP, "the queueing discipline is full")                                               \
    X(DEV_READY, "the device is down")                                                             \
    X(FULL_RING, "the device's ring is full")                                                      \
    X(NOMEM, "no memory")                                                                          \
    X(ICMP_CSUM, "ICMP checksum is wrong")                                                         \
    X(ICMP_BAD, "ICMP message is bad or its inner header is not ours")                             \
    X(TCP_CSUM, "TCP checksum is wrong")                                                           \
    X(TCP_MINTTL, "its TTL is below IP_MINTTL")                                                    \
    X(TCP_FLAGS, "impossible TCP flags")                                                           \
    X(TCP_BADOPT, "TCP header length or options are bad")                                          \
    X(TCP_ZEROWINDOW, "data beyond a window that is closed")                                       \
    X(TCP_OLD_DATA, "data that was received before")                                               \
    X(TCP_OVERWINDOW, "beyond the window that was offered")                                        \
    X(TCP_OFOMERGE, "covered by data already queued")                                              \
    X(TCP_OFO_QUEUE_PRUNE, "out-of-order queue pruned for memory")                                 \
    X(TCP_RFC7323_PAWS, "old duplicate by timestamp (PAWS)")                                       \
    X(TCP_INVALID_SEQUENCE, "sequence number outside the window")                                  \
    X(TCP_INVALID_ACK_SEQUENCE, "acknowledges what was never sent, or too old")                    \
    X(TCP_INVALID_SYN, "SYN inside a connection")                                                  \
    X(TCP_RESET, "reset")                                                                          \
    X(TCP_CLOSE, "the socket is closing")                                                          \
    X(TCP_LISTEN_OVERFLOW, "the accept or SYN queue is full")                                      \
    X(TCP_LINGER, "data after close with linger 0")                                                \
    X(TCP_FASTOPEN, "fast open refused")                                                           \
    X(TCP_TIMEWAIT, "segment for a connection in TIME-WAIT")                                       \
    X(SOCKET_RCVBUFF, "the receive buffer is full")                                                \
    X(SOCKET_BACKLOG, "the socket's backlog is full")                                              \
    X(SOCKET_CLOSED, "discarded with its socket")                                                  \
    X(PROTO_MEM, "protocol memory limit")                                                          \
    X(FAULT_INJECTED, "lost by the fault device or the link model")

enum linux_mib {
#define X(name, text) name,
    MIB_LIST(X)
#undef X
        __MIB_MAX
};

enum skb_drop_reason {
#define X(name, text) SKB_DROP_REASON_##name,
    DROP_REASON_LIST(X)
#undef X
        __SKB_DROP_REASON_MAX,
    SKB_CONSUMED = -1 /* not a drop */
};

/* The counter's name as nstat prints it. */
const char *mib_name(enum linux_mib f);
/* The reason's identifier ("TCP_CSUM") and its sentence ("TCP checksum is wrong"). */
const char *drop_reason_name(enum skb_drop_reason r);
const char *drop_reason_text(enum skb_drop_reason r);

#endif
