#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""coverage.py BUILD [--lines] [--least=PERCENT] [PREFIX...]   Line coverage of what was built with --coverage and has run.

For each source file below the prefixes (default: stack/), lines run and lines there are; then the total of each
folder. With --lines: which lines never ran. With --least: status 1 when one prefix has less in total. Uses gcov's JSON (gcov comes with gcc)."""
import collections
import concurrent.futures
import gzip
import json
import os
import subprocess
import sys
import tempfile


def gcov(gcda):
    """{file: {line: count}} of one object."""
    found = collections.defaultdict(dict)
    with tempfile.TemporaryDirectory() as where:
        run = subprocess.run(["gcov", "--json-format", "--stdout", os.path.abspath(gcda)], cwd=where, capture_output=True)
        if run.returncode:
            sys.exit(f"coverage.py: gcov failed on {gcda}: {run.stderr.decode(errors='replace').strip()}")
        for text in run.stdout.splitlines():
            if not text.startswith(b"{"):
                text = gzip.decompress(text)
            for f in json.loads(text)["files"]:
                lines = found[os.path.normpath(f["file"])]
                for line in f["lines"]:
                    lines[line["line_number"]] = lines.get(line["line_number"], 0) + line["count"]
    return found


def ranges(lines):
    out, start = [], None
    for a, b in zip(lines, lines[1:] + [None]):
        start = a if start is None else start
        if b is None or b > a + 1:
            out.append(str(start) if start == a else f"{start}-{a}")
            start = None
    return " ".join(out)


def main():
    args = [a for a in sys.argv[1:] if not a.startswith("--")]
    least = max([float(a[8:]) for a in sys.argv if a.startswith("--least=")], default=0)
    if not args:
        sys.exit(__doc__)
    build, prefixes = args[0], tuple(args[1:] or ["stack/"])
    objects = [os.path.join(d, f) for d, _, files in os.walk(build) for f in files if f.endswith(".gcda")]
    if not objects:
        sys.exit(f"coverage.py: nothing below {build} has run: make coverage builds and runs it")
    total = collections.defaultdict(dict)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(gcov, objects):
            for name, lines in found.items():
                name = os.path.relpath(name) if os.path.isabs(name) else name
                if name.startswith(prefixes):
                    for n, count in lines.items():
                        total[name][n] = total[name].get(n, 0) + count
    sums = collections.defaultdict(lambda: [0, 0])
    for name in sorted(total):
        lines = total[name]
        run = sum(1 for c in lines.values() if c)
        print(f"{100 * run / len(lines):6.1f} %  {run:5} of {len(lines):5}  {name}")
        if "--lines" in sys.argv:
            missed = sorted(n for n, c in lines.items() if not c)
            if missed:
                print("                          ", ranges(missed))
        for folder in {os.path.dirname(name), name.split("/")[0]}:
            sums[folder][0] += run
            sums[folder][1] += len(lines)
    print()
    for folder in sorted(sums, key=lambda f: (f.count("/"), f), reverse=True):
        run, there = sums[folder]
        print(f"{100 * run / there:6.1f} %  {run:5} of {there:5}  {folder}/ in total")
    poor = [p for p in prefixes if 100 * sums[p.rstrip("/")][0] < least * sums[p.rstrip("/")][1]]
    if poor:
        sys.exit(f"coverage.py: less than {least:g} % of {' '.join(poor)} has run")


main()
