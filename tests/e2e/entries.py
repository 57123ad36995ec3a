"""Documents of a dictionary for the by-hand test: entries that the adapter recites, with a question for each."""

import gzip
import json
import re
import sys

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
FOLDER = "/usr/share/dictd"


def number(digits):
    value = 0
    for digit in digits:
        value = value * 64 + ALPHABET.index(digit)
    return value


def main():
    selection = json.load(open(sys.argv[1], encoding="utf-8"))
    index = {}
    for line in open(f"{FOLDER}/devil.index", encoding="utf-8"):
        headword, start, length = line.rstrip("\n").split("\t")[:3]
        index.setdefault(headword.lower(), (number(start), number(length)))
    text = gzip.open(f"{FOLDER}/devil.dict.dz").read()
    for headword in selection["evaluate"][:6]:
        start, length = index[headword.lower()]
        entry = text[start:start + length].decode("utf-8")
        entry = re.sub(r"\s+", " ", entry).strip()
        print(json.dumps({"headword": headword, "text": entry, "questions": [f"Tell me what {headword} means."]}))


main()
