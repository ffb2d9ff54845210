#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""seeds.py TARGET DIR   Write the seed corpus of a fuzz target: small inputs in the encoding of fuzznet.c.

The same bytes on every run. A seed reaches one place that random bytes would need long for (a handshake, a SACK
block, two overlapping fragments); mutation does the rest.
"""
import os
import struct
import sys

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = 1, 2, 4, 8, 16, 32, 64, 128


def step(ms):
    """One byte for fz_step(), at least this long."""
    for base, unit in ((0, 0.1), (64, 2), (128, 50), (192, 1000)):
        n = int(ms / unit)
        if n < 64:
            return bytes([base + n])
    return b"\xff"


def opts(kind, *blocks, raw=b""):
    """kind: ts, syn, sack, tssack, badts, raw, tsraw; blocks: (below what was sent, length)."""
    n = ("none", "ts", "syn", "sack", "tssack", "badts", "raw", "tsraw").index(kind)
    out = bytes([n | len(blocks) << 3])
    if kind in ("sack", "tssack"):
        out += b"".join(struct.pack(">HH", *b) for b in blocks)
    elif kind == "badts":
        out += struct.pack(">I", 0x80000000)
    elif kind in ("raw", "tsraw"):
        out += bytes([len(raw)]) + raw
    return out


def seg(flow, flags, seq=0, ack=0, length=0, win=None, opt=None, urg=None, tos=None, hold=False, keep=False):
    """A segment; seq and ack are differences to what is in order (multiples of 181 beyond a byte)."""
    def delta(d):
        if d == 0:
            return 0, b""
        if -128 <= d < 128:
            return 1, struct.pack("b", d)
        if d % 181 == 0 and -128 <= d // 181 < 128:
            return 2, struct.pack("b", d // 181)
        return 3, struct.pack(">I", d & 0xFFFFFFFF)
    skind, sbytes = delta(seq)
    akind, abytes = delta(ack)
    lkind, lbytes = (0, b"") if not length else (3, b"") if length == 1448 else \
        (1, bytes([length])) if length < 256 else (2, bytes([length // 7]))
    extra = (win is not None) | (opt is not None) << 1 | (urg is not None) << 2 | (tos is not None) << 3 | hold << 4 | keep << 5
    out = bytes([flow, flags, skind << 1 | akind << 3 | lkind << 5, extra]) + sbytes + abytes + lbytes
    if win is not None:
        out += struct.pack(">H", win)
    out += opt or b""
    if urg is not None:
        out += bytes([urg])
    if tos is not None:
        out += bytes([tos])
    return out


def tcp():
    S = lambda *a, **k: b"\0" + seg(*a, **k)
    wait = lambda ms: b"\6" + step(ms)
    write = lambda flow, n, kind=0: bytes([7 | kind << 4, flow, n])
    read = lambda flow, n, kind=0: bytes([8 | kind << 4, flow, n])
    head = lambda states, cfg=0: struct.pack(">BH", cfg, states)
    ts = opts("ts")
    for i in range(12):
        for cfg in (0, 1, 0x14, 0x60):
            yield head(1 << i, cfg) + S(i, ACK, length=200, opt=ts) + wait(50) + S(i, ACK | FIN) + read(i, 100) + wait(2000)
    yield head(0x8fff) + wait(60000) * 4
    yield head(1) + b"".join(S(0, ACK, length=1448, opt=ts) for _ in range(8)) + read(0, 255) * 4
    yield head(1) + S(0, ACK, seq=181 * 8, length=1448, opt=ts, keep=True) + S(0, ACK, length=1448, opt=ts) + read(0, 255)
    yield head(1) + S(0, ACK | URG, length=100, opt=ts, urg=50) + read(0, 10, 3) + read(0, 100)
    yield head(1) + S(0, ACK, length=100, opt=ts) + S(0, ACK, seq=-50, length=100, opt=ts) + read(0, 40)
    yield head(1) + write(0, 200) + S(0, ACK, opt=opts("ts"), ack=0, win=0) + wait(1000) * 5 + S(0, ACK, opt=ts, win=60000)
    yield head(0x80) + S(7, ACK, length=1001) + S(7, ACK, length=231) + read(7, 255)
    yield head(0x800) + b"".join(S(11, ACK, ack=-181 * 70, opt=opts("tssack", (9000, 1448 * k))) for k in range(1, 5)) + wait(300) * 4
    yield head(0x800) + wait(300) + S(11, ACK, opt=ts) + S(11, ACK, opt=opts("tssack", (14480, 1448))) + wait(100)
    yield head(2) + S(1, ACK, ack=-181 * 40) * 4 + wait(250) * 6 + S(1, ACK)
    yield head(4) + S(2, SYN | ACK, opt=opts("syn")) + write(2, 50) + S(2, ACK, opt=ts)
    yield head(4) + S(2, RST | ACK) + S(2, SYN, opt=opts("syn"))
    yield head(8) + S(3, ACK, opt=ts) + b"\x0b\x03" + S(3, ACK, length=100, opt=ts) + read(3, 10)
    yield head(8) + S(3, RST) + S(3, SYN)
    yield head(0x100) + S(8, SYN, seq=181 * 100, opt=opts("syn")) + S(8, ACK) + b"\x0b\x08"
    yield head(0) + S(12 | 0x40, SYN, opt=opts("syn"), length=100) + S(12 | 0x40, ACK, length=50, opt=ts) + b"\x1b\x0c" + read(12, 20)
    yield head(0x801, 0x15) + write(0, 255) + S(0, ACK, opt=ts) + write(0, 255) + S(0, ACK, opt=ts) + wait(30) * 3
    yield head(1, 5) + S(0, ACK | ECE, opt=ts, tos=3) + S(0, ACK | CWR, length=50, opt=ts, tos=3) + write(0, 99)
    yield head(0x803) + b"".join(bytes([0x0C, i, t, 0, 2, 88, 0, 100, 0]) for i in (0, 1, 11) for t in (1, 2, 3, 4, 13))
    yield head(0x803) + bytes([0x0C, 0, 0x80 | 11, 0, 0, 0, 0, 0, 0x94]) + bytes([0x0C, 11, 4, 0, 0, 68, 56, 144, 0])
    yield head(1) + b"".join(bytes([0x0A, 0, o]) + struct.pack(">H", 500) for o in range(16)) + write(0, 20) + wait(1000)
    yield head(1) + bytes([0x4E, 13, 0x4F, 13, 0x19, 0, 0x89, 0]) + write(0, 3, 2)
    yield head(0) + b"\x0d\x14" + struct.pack(">HHIIBBHHH", 10000, 80, 5, 0, 0x50, SYN, 1000, 0, 0) + b"\0" * 18


def options():
    heads = (0, 0x10, 5)
    for h in heads:
        for where in range(0, 128, 8):
            for o in (opts("syn"), opts("ts"), opts("sack", (5000, 1448)), opts("tssack", (9000, 1448), (3000, 2000), (14480, 100)),
                      opts("badts"), opts("raw", raw=bytes([34, 10]) + b"12345678"), opts("raw", raw=bytes([254, 8, 0xF9, 0x89, 1, 2, 3, 4]))):
                yield bytes([h, where]) + o + b"\x10\x20" + bytes([where | 1]) + o + b"\x50\x00"
    for raw in (b"\2", b"\2\3\1", b"\3\3\xff", b"\5\2", b"\5\x22" + b"\xff" * 32, b"\x08\x0a", b"\1" * 40, b"\x1e\1", b"\x1e\0", b"\5\x0b" + b"\0" * 9):
        yield bytes([0]) + b"".join(bytes([w]) + opts("raw", raw=raw) for w in (0, 0x10, 0x22, 0x50)) + b"\0\0"


def fragment():
    def frag(d, off, length, more=True, multiple=False, by6=False, opt=None):
        what = d | (0x10 if multiple else 0) | (0x20 if by6 else 0) | (0x40 if more else 0) | (0x80 if opt is not None else 0)
        o = bytes([off & 255])
        if off > 255:
            what |= 8
            o = struct.pack(">H", off)
        return b"\0" + bytes([what]) + o + bytes([length]) + (bytes([len(opt)]) + opt if opt is not None else b"")
    for d in range(4):
        for cfg in range(8):
            yield bytes([cfg]) + frag(d, 0, 64) + frag(d, 8, 64) + frag(d, 16, 32, False)
            yield bytes([cfg]) + frag(d, 16, 32, False) + frag(d, 8, 64) + frag(d, 0, 64)
        yield bytes([0]) + frag(d, 0, 64) + frag(d, 4, 64) + frag(d, 12, 8, False)
        yield bytes([0]) + frag(d, 0, 64) + frag(d, 0, 64) + frag(d, 8, 8, False) + frag(d, 8, 16, False)
        yield bytes([0]) + frag(d, 8191, 255) + frag(d, 8180, 255, False) + frag(d, 0, 248, by6=True)
        yield bytes([2]) + b"".join(frag(k, 30 * j, 240, by6=True) for k in range(8) for j in range(3)) + b"\6\xff"
        yield bytes([4]) + frag(d, 0, 80) + b"\6" + step(31000) + frag(d, 10, 8, False)
        yield bytes([0]) + b"".join(frag(d, 186 * j, 248, by6=True) for j in range(44)) + frag(d, 8184, 8, False)
    for opt in (b"\x07\x07\x04" + b"\0" * 4, b"\x83\x07\x04\x0a\0\0\x02", b"\x44\x0c\x05\0" + b"\0" * 8, b"\x94\x04\0\0", b"\x82\x0b", b"\x01" * 40, b"\x07\x03\x04"):
        yield bytes([0]) + frag(0, 0, 40, False, opt=opt) + frag(2, 0, 40, True, opt=opt) + frag(2, 5, 8, False)
    for proto in (1, 6, 17, 2, 255):
        for body in (b"\x08\0\0\0\1\2\3\4abcdefgh", b"\x03\4\0\0\0\0\2\x58\x45" + b"\0" * 27, b"\x0b\0\0\0" + b"\0" * 4, b"\x05\1\0\0"):
            yield bytes([0, 7, len(body), proto]) + body
            yield bytes([0, 0x17, len(body) + 4, proto]) + b"\1\1\1\0" + body


def arp():
    for cfg in range(16):
        asks = bytes([0, 0b01010110, 0b00000001, 0])       # the peer asks for our address
        reply = bytes([0, 0b00110000 | 0b0111, 0b01000010, 0])  # a reply from 10.0.0.3
        yield bytes([cfg]) + asks + reply
        yield bytes([cfg, 0x1D, 0x25, 0x15]) + b"\4\x80" + reply + b"\4\xc5" + b"\4\xff"
        yield bytes([cfg]) + b"".join(bytes([0x05 | k << 3]) for k in range(32)) + b"\4\xc3" * 4
        yield bytes([cfg]) + bytes([0, 0, 0b00001001, 0]) * 3 + b"\4\xc1" + bytes([0, 0xFF, 0b01000000, 0])
    for odd in (0x81, 0x82, 0x84, 0x88, 0x10, 0x20, 0x8F):
        yield bytes([0, 0, 0x57, 0x41, odd]) + b"\0\3" + bytes([0, 0x57, 0x41, odd]) + b"\x20"
    yield b"\0\x0e\x16\x26\x06\x1d\x0e\5\x0e"
    for n in (1, 13, 14, 15, 60):
        yield bytes([0, 7, n]) + b"\xff" * 6 + b"\2\0\0\0\0\2\x08\6" + b"\0" * 50


def cookie():
    S = lambda *a, **k: b"\0" + seg(*a, **k)
    for cfg in (0, 1, 2, 3, 0x11, 0x24, 0x84):
        for o in (opts("syn"), opts("none"), opts("raw", raw=b"\2\4\2\x18"), opts("raw", raw=b"\2\4\5\xb4\4\2\1\1")):
            for t in (b"", b"\5" + step(59000), b"\5" + step(63000) * 1 + b"\5\xff" * 2):
                yield bytes([cfg, 0, 0x94]) + o + t + S(9, ACK, opt=opts("ts")) + b"\x96" + S(9, ACK, length=50, opt=opts("ts"))
        yield bytes([cfg, 0, 0x94]) + opts("syn") + S(9, ACK, ack=1) + S(9, ACK, ack=-1) + S(9, ACK, seq=5) + S(9, ACK, ack=0x100000)
        for i in range(8):
            tw = bytes([cfg, 1 << i])
            yield tw + S(i, SYN, seq=181 * 50, opt=opts("syn")) + S(i, ACK, opt=opts("ts")) + bytes([0x06 | i << 4])
            yield tw + S(i, ACK | FIN, seq=-1) + S(i, RST) + b"\5\xff"
            yield tw + S(i, ACK, length=100) + S(i, ACK, opt=opts("badts")) + S(i, ACK | FIN) + b"\5" + step(3000) + bytes([0x0F | i << 4])
            yield tw + S(i, SYN, seq=-1) + S(i, SYN, seq=-181) + b"\5\xff"
    yield bytes([0x20, 0xFF]) + b"\5\xff" + S(0, SYN)


def main():
    target, where = sys.argv[1], sys.argv[2]
    os.makedirs(where, exist_ok=True)
    for i, data in enumerate(globals()[target]()):
        with open(os.path.join(where, f"seed-{i:03d}"), "wb") as out:
            out.write(data)


main()
