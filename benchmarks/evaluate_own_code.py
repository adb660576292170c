"""Infilling items of seven kinds, derived from files and scored, per second: ours against the standard library's way.

    python benchmarks/evaluate_own_code.py [--quick]

Both draw as many items of each kind from the same files of Python's own library, by a seed, each with prefix, suffix
and what stood in the hole, and score the same sort of answers: what was expected, nothing, and its first half. No model
takes part. The peer is the obvious way without our parts: `ast` for bodies, arguments and imports, `tokenize` for where
a line is code, `difflib.SequenceMatcher` for edit similarity, `keyword` for which words are identifiers. The two draw
different holes and score alike; what the peer's edit similarity measures is SequenceMatcher's ratio and no Levenshtein
distance. CPU time, interleaved, medians.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import keyword
import random
import re
import statistics
import sys
import sysconfig
import time
import tokenize
from collections import Counter
from collections.abc import Callable
from difflib import SequenceMatcher
from itertools import cycle, islice
from pathlib import Path

from repotune.evaluate.own_code.held_out import HeldOut
from repotune.evaluate.own_code.items import CONTEXT_CHARACTERS, KINDS, draw_items
from repotune.evaluate.own_code.syntax import BODY_LINES
from repotune.evaluate.scores import edit_similarity, exact_match, identifier_f1

BAR = 2000
_LAYOUT = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.COMMENT, tokenize.ENDMARKER}

Hole = tuple[str, str, str]
"""Prefix, what stood in the hole, suffix."""


def files_of_the_library(count: int) -> list[HeldOut]:
    paths = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[:count]
    return [HeldOut(path.read_text("utf-8"), path.name, "Python", "library") for path in paths]


def ours(files: list[HeldOut], count: int) -> int:
    """Derives and scores; returns how many items there were."""
    items = draw_items(files, KINDS, count, seed=1)
    for item in items:
        for answer in answers_to(item.expected):
            exact_match(answer, item.expected)
            edit_similarity(answer, item.expected)
            identifier_f1(answer, item.expected, item.file.language)
    return len(items)


def library(files: list[HeldOut], count: int) -> int:
    """The same with the standard library alone."""
    holes = draw_by_library(files, count)
    for _, expected, _ in holes:
        for answer in answers_to(expected):
            _ = answer.rstrip() == expected.rstrip()
            SequenceMatcher(None, answer.rstrip(), expected.rstrip(), autojunk=False).ratio()
            given, wanted = names_in(answer), names_in(expected)
            _ = 2 * (given & wanted).total() / max(1, given.total() + wanted.total())
    return len(holes)


def answers_to(expected: str) -> tuple[str, str, str]:
    return expected, "", expected[: len(expected) // 2]


def names_in(text: str) -> Counter[str]:
    return Counter(word for word in re.findall(r"[^\W\d]\w*", text) if not keyword.iskeyword(word))


def draw_by_library(files: list[HeldOut], count: int) -> list[Hole]:
    """As many holes of each kind, the files taking turns."""
    places = [places_by_library(file.text) for file in files]
    holes = []
    for kind in KINDS:
        shuffled = [random.Random(1).sample(found[kind], len(found[kind])) for found in places]
        turns = ((file, spans.pop()) for file, spans in cycle(list(zip(files, shuffled, strict=True))) if spans)
        wanted = min(count, sum(map(len, shuffled)))
        for file, (start, stop) in islice(turns, wanted):
            prefix, suffix = file.text[max(0, start - CONTEXT_CHARACTERS) : start], file.text[stop:]
            holes.append((prefix, file.text[start:stop], suffix[:CONTEXT_CHARACTERS]))
    return holes


def places_by_library(text: str) -> dict[str, list[tuple[int, int]]]:
    """Where holes of each kind can be made in a file."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found: dict[str, list[tuple[int, int]]] = {kind: [] for kind in KINDS}
    for line in code_lines(text):
        start, stop = starts[line - 1], starts[line] - 1
        words = [match.start() for match in re.finditer(r"\s*(?:\w+|[^\w\s]+)", text[start:stop])][1:]
        if words:
            found["rest"].append((start + words[len(words) // 2], stop))
        found["line"].append((start, stop))
        found["block"].append((start, starts[min(line + 2, len(starts) - 1)] - 1))
        found["nothing"].append((stop, stop))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and node.body[-1].end_lineno is not None:
            if node.body[-1].end_lineno - node.body[0].lineno < BODY_LINES:
                found["body"].append((starts[node.body[0].lineno - 1], starts[node.body[-1].end_lineno] - 1))
        elif isinstance(node, ast.Call) and node.args:
            first = offset(text, starts, node.args[0].lineno, node.args[0].col_offset)
            found["arguments"].append((first, offset(text, starts, node.end_lineno or 0, node.end_col_offset or 0) - 1))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found["imports"].append((starts[node.lineno - 1], starts[node.end_lineno or node.lineno] - 1))
    return found


def code_lines(text: str) -> list[int]:
    """The lines, from 1, on which a token stands that is neither layout nor a comment nor text over several lines."""
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _LAYOUT and token.start[0] == token.end[0]:
            lines.add(token.start[0])
    return sorted(lines)


def offset(text: str, starts: list[int], line: int, column: int) -> int:
    """In characters, of the column in UTF-8 that `ast` gives."""
    start = starts[line - 1]
    return start + len(text[start : starts[line]].encode()[:column].decode())


def rate(work: Callable[[], int]) -> float:
    started = time.process_time()
    items = work()
    return items / (time.process_time() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="fewer files and rounds")
    quick = parser.parse_args().quick
    files = files_of_the_library(60 if quick else 160)
    count = 300 if quick else 1000
    ours(files[:2], 5)  # grammar and tables are loaded
    figures, peers = [], []
    for _ in range(3 if quick else 5):
        peers.append(rate(lambda: library(files, count)))
        figures.append(rate(lambda: ours(files, count)))
    figure, peer = statistics.median(figures), statistics.median(peers)
    sys.stderr.write(f"{len(files)} files, {len(draw_items(files, KINDS, count, seed=1)):,} items\n")
    result = {
        "name": "own-code items derived and scored",
        "figure": round(figure),
        "unit": "items per CPU second",
        "peer": "ast, tokenize and difflib",
        "peer_figure": round(peer),
        "ratio": round(figure / peer, 2),
        "bar": BAR,
        "met": figure >= BAR,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
