# SPDX-License-Identifier: MIT
"""report.py RESULTS JSON KEY=VALUE...   From one line for each run (test, stack, unit, numbers) the table and the file.

A cell is the median over the rounds, with the least and the most. A ratio is of the medians, sluice to the kernel:
above 1 is better for rates, below 1 for times.
"""
import json
import statistics
import sys

STACKS = ["kernel", "kernel, no TSO/GSO", "sluice", "sluice -p latency"]


def main():
    runs = {}
    with open(sys.argv[1], encoding="utf-8") as file:
        for line in file:
            test, stack, unit, numbers = line.rstrip("\n").split("\t")
            runs.setdefault((test, unit), {}).setdefault(stack, []).append([float(n) for n in numbers.split()])
    facts = dict(arg.split("=", 1) for arg in sys.argv[3:])
    tests = []
    for (test, unit), by_stack in runs.items():
        entry = {"test": test, "unit": unit, "better": "lower" if unit == "us" else "higher", "stacks": {}}
        for stack, values in by_stack.items():
            first = [v[0] for v in values]
            cell = {"median": statistics.median(first), "min": min(first), "max": max(first), "rounds": len(first)}
            if len(values[0]) > 1:
                cell["p99"] = statistics.median(v[1] for v in values)
            entry["stacks"][stack] = cell
        base = entry["stacks"].get("kernel")
        for stack, cell in entry["stacks"].items():
            if base and stack != "kernel" and base["median"]:
                cell["ratio"] = cell["median"] / base["median"]
        without, ours = entry["stacks"].get("kernel, no TSO/GSO"), entry["stacks"].get("sluice")
        if without and ours and without["median"]:
            ours["ratio_no_tso"] = ours["median"] / without["median"]
        tests.append(entry)
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump({"facts": facts, "tests": tests}, file, indent=1)
        file.write("\n")

    print(f"\n{'':<28}{'':<20}{'median':>10}{'least':>10}{'most':>10}  {'':<5}{'to kernel':>10}{'to no TSO':>11}")
    for entry in tests:
        for i, stack in enumerate(s for s in STACKS if s in entry["stacks"]):
            cell = entry["stacks"][stack]
            name = entry["test"] if i == 0 else ""
            ratio = f"{cell['ratio']:.2f}x" if "ratio" in cell else ""
            bare = f"{cell['ratio_no_tso']:.2f}x" if "ratio_no_tso" in cell else ""
            print(f"{name:<28}{stack:<20}{cell['median']:>10.3f}{cell['min']:>10.3f}{cell['max']:>10.3f}  "
                  f"{entry['unit']:<5}{ratio:>10}{bare:>11}")
    print(f"\n{facts.get('rounds')} rounds of {facts.get('seconds')} s; {facts.get('placement')}; veth, MTU {facts.get('MTU')}; "
          f"Linux {facts.get('kernel')}; interface bound as: {facts.get('mode')}.\nWritten to {sys.argv[2]}.")


main()
