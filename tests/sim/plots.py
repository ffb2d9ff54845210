#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""plots.py SIMTOOL DIRECTORY: what congestion control did, as SVG.

Runs `SIMTOOL sample NAME` for each setting and draws congestion window and in-flight, throughput, and the wait in
the bottleneck's queue over time. No library needed."""
import csv
import io
import os
import subprocess
import sys

ALGORITHMS = ("reno", "cubic", "bbr")
SETTINGS = {
    "bottleneck": "10 Mbit/s, 40 ms round trip, a queue of 35 packets (one round trip)",
    "loss": "50 Mbit/s, 40 ms round trip, 0.1 % of the packets lost at random",
    "two-flows": "two flows, the second from 10 s on; 10 Mbit/s, 40 ms, a queue of 35 packets",
}
COLORS = ("#1f5fa8", "#c2571a")
LIGHT = ("#8fb8e0", "#eeb48f")
WIDTH, PANEL, GAP, LEFT, RIGHT, TOP = 900, 170, 66, 74, 20, 64


def ticks(high):
    """About four round numbers from 0 to high."""
    if high <= 0:
        return [0, 1]
    step = 10 ** len(str(int(high)))
    while high / step < 3.5:
        for part in (2, 2.5, 2):
            step /= part
            if high / step >= 3.5:
                break
    return [i * step for i in range(int(high / step) + 1)]


def number(v):
    return f"{v:g}"


class Svg:
    def __init__(self, height):
        self.out = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
            'font-family="sans-serif" font-size="12">',
            f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        ]

    def text(self, x, y, s, anchor="start", size=12, color="#333", extra=""):
        s = s.replace("&", "&amp;").replace("<", "&lt;")
        self.out.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{color}"{extra}>{s}</text>')

    def line(self, x1, y1, x2, y2, color="#ddd"):
        self.out.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}"/>')

    def curve(self, points, color, width):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.out.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="{width}" stroke-linejoin="round"/>')

    def write(self, path):
        with open(path, "w", encoding="utf-8") as f:
            f.write("\n".join(self.out) + "\n</svg>\n")


def panel(svg, top, title, unit, seconds, curves):
    """curves: (label, color, width, [(t, value)])"""
    high = max((v for _, _, _, c in curves for _, v in c), default=1) * 1.05 or 1
    def px(t): return LEFT + t / seconds * (WIDTH - LEFT - RIGHT)
    def py(v): return top + PANEL - v / high * PANEL
    svg.text(LEFT, top - 8, title, size=13, color="#111")
    def width(label): return 22 + 6.4 * len(label) + 16 # swatch, text, gap
    x = WIDTH - RIGHT - sum(width(label) for label, _, _, _ in curves)
    for label, color, stroke, _ in curves:
        svg.curve([(x, top - 12), (x + 16, top - 12)], color, stroke)
        svg.text(x + 22, top - 8, label)
        x += width(label)
    for v in ticks(high):
        svg.line(LEFT, py(v), WIDTH - RIGHT, py(v))
        svg.text(LEFT - 6, py(v) + 4, number(v), "end")
    for t in ticks(seconds):
        svg.line(px(t), top + PANEL, px(t), top + PANEL + 4, "#999")
        svg.text(px(t), top + PANEL + 17, number(t), "middle")
    svg.text(WIDTH - RIGHT, top + PANEL + 32, "time, s", "end", color="#666")
    svg.text(16, top + PANEL / 2, unit, "middle", extra=f' transform="rotate(-90 16 {top + PANEL / 2:.1f})"')
    for _, color, width, c in curves:
        svg.curve([(px(t), py(v)) for t, v in c], color, width)
    svg.line(LEFT, top + PANEL, WIDTH - RIGHT, top + PANEL, "#999")


def smooth(points, n):
    """Mean of n samples: single packets are not throughput."""
    return [(points[min(i + n - 1, len(points) - 1)][0], sum(v for _, v in points[i:i + n]) / len(points[i:i + n]))
            for i in range(0, len(points), n)]


def draw(name, title, rows, path):
    flows = sorted({r["flow"] for r in rows})
    seconds = max(r["seconds"] for r in rows)
    svg = Svg(TOP + 3 * (PANEL + GAP))
    svg.text(LEFT, 22, name, size=17, color="#111")
    svg.text(LEFT, 40, title, color="#666")
    def column(flow, key, scale=1.0): return [(r["seconds"], r[key] * scale) for r in rows if r["flow"] == flow]
    def of(flow, what): return what if len(flows) == 1 else f"{what}, flow {int(flow) + 1}"
    windows, rates = [], []
    for f in flows:
        i = int(f)
        windows.append((of(f, "in flight"), LIGHT[i], 3, column(f, "inflight")))
        rates.append((of(f, "received"), COLORS[i], 1.5, smooth(column(f, "bytes_per_s", 8e-6), 4)))
    for f in flows:
        windows.append((of(f, "cwnd"), COLORS[int(f)], 1, column(f, "cwnd")))
    top = TOP + 12
    panel(svg, top, "Congestion window and in flight", "packets", seconds, windows)
    panel(svg, top + PANEL + GAP, "Throughput", "Mbit/s", seconds, rates)
    panel(svg, top + 2 * (PANEL + GAP), "Wait in the bottleneck's queue", "ms", seconds,
          [("queue", "#5b7f3a", 1, column(flows[0], "queue_ms"))])
    svg.write(path)


def main():
    tool, directory = sys.argv[1:3]
    os.makedirs(directory, exist_ok=True)
    for setting, title in SETTINGS.items():
        for ca in ALGORITHMS:
            name = f"{ca}-{setting}"
            out = subprocess.run([tool, "sample", name], check=True, capture_output=True, text=True).stdout
            rows = [{k: float(v) for k, v in r.items()} for r in csv.DictReader(io.StringIO(out))]
            path = os.path.join(directory, name + ".svg")
            draw(name, title, rows, path)
            print(path)


if __name__ == "__main__":
    main()
