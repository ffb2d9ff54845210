# SPDX-License-Identifier: MIT
"""stats.py KEY FILE...   What the JSON that SLUICE_STATS wrote says of KEY, wherever in it KEY stands.

Numbers are summed over all places and files (one file for each process of a run); texts are listed, each once.
Prints 0 when nothing was written: then no socket was the stack's.
"""
import json
import sys


def find(node, key):
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from find(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from find(value, key)


def documents(path):
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        return
    decoder, at = json.JSONDecoder(), 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        node, at = decoder.raw_decode(text, at)
        yield node


def main():
    total, texts = 0, []
    for path in sys.argv[2:]:
        for node in documents(path):
            for value in find(node, sys.argv[1]):
                if isinstance(value, str):
                    if value not in texts:
                        texts.append(value)
                elif isinstance(value, (int, float)):
                    total += value
    print(", ".join(texts) if texts else total)


main()
