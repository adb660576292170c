"""Licence files recognised per second and core, and how many rightly: ours against ScanCode's licence index.

The files are those of the packages installed here (Python's and npm's) and Debian's common licences; what is right is
what each package states of itself in its metadata, compared by the set of its SPDX ids. A file that holds more than the
package states, as a collection of notices, counts as wrong for both. ScanCode runs in its own environment and process,
its index loaded beforehand and called directly. CPU time, in turns on the same slice of files; medians over rounds.
Files that repeat are answered from memory by ours, as in a corpus; the rate without that is printed too.

    python -m venv peers/scancode && peers/scancode/bin/pip install scancode-toolkit 'pluggy<1.6'
    python benchmarks/corpus_licences.py --peer peers/scancode/bin/python [--quick]
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from repotune.corpus.licences.detection import licences_of_text
from repotune.corpus.licences.expressions import conjunction, ids
from repotune.corpus.licences.metadata import stated
from repotune.corpus.licences.texts import identify

_BAR = 1_000.0
_ROUNDS = 5
_COMMON = Path("/usr/share/common-licenses")
_NODE = (Path("/usr/lib/node_modules"), Path("/usr/local/lib/node_modules"), Path("node_modules"))
_NAME = re.compile(r"(?:licen[cs]e|copying|unlicense)(?:\.(?:md|txt|rst))?", re.IGNORECASE)

# Answers each line, a JSON list of texts, with the CPU seconds and the SPDX expressions found, one list a text.
_SCANCODE = """
import json, sys, time
from licensedcode.cache import build_spdx_license_expression, get_index
index = get_index()
def found(text):
    matches = index.match(query_string=text)
    return sorted({build_spdx_license_expression(str(match.rule.license_expression)) for match in matches})
found("MIT License")
print(json.dumps("ready"), flush=True)
for line in sys.stdin:
    texts = json.loads(line)
    started = time.process_time()
    answers = [found(text) for text in texts]
    print(json.dumps([time.process_time() - started, answers]), flush=True)
"""


class ScanCode:
    """The peer in a process of its own."""

    def __init__(self, python: Path) -> None:
        command = [str(python), "-c", _SCANCODE]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._read()

    def find(self, texts: list[str]) -> tuple[float, list[set[str]]]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(texts) + "\n")
        self._process.stdin.flush()
        seconds, answers = self._read()
        return seconds, [set(ids(conjunction(each))) for each in answers]

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _read(self):
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit("ScanCode did not start: is it installed in the environment of --peer?")
        return json.loads(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="an eighth of the files for the peer")
    parser.add_argument("--peer", type=Path, required=True, help="the Python of an environment with ScanCode")
    arguments = parser.parse_args()
    cases = list(labelled())
    rounds = [cases[start::_ROUNDS] for start in range(_ROUNDS)]
    peer = ScanCode(arguments.peer)
    with_ours([cases[0][0]])
    ours, alone, theirs, right, checked = [], [], [], [0, 0], 0
    for number, part in enumerate(rounds):
        sample = part[::8] if arguments.quick else part[::2]
        texts = [text for text, _ in part]
        seconds, found = with_ours(texts)
        ours.append(len(part) / seconds)
        alone.append(len(part) / without_memory(texts))
        seconds, peers = peer.find([text for text, _ in sample])
        theirs.append(len(sample) / seconds)
        answers = dict(zip(texts, found, strict=True))
        right[0] += sum(answers[text] == truth for text, truth in sample)
        right[1] += sum(answer == truth for answer, (_, truth) in zip(peers, sample, strict=True))
        checked += len(sample)
        print(f"round {number}: ours {ours[-1]:.0f} files/s, scancode {theirs[-1]:.1f} files/s", file=sys.stderr)
    peer.close()
    every = sum(with_ours([text])[1][0] == truth for text, truth in cases) / len(cases)
    print(f"no file twice: {statistics.median(alone):.0f} files/s; of all {len(cases)} files ours names "
          f"{100 * every:.1f} % as stated; of the {checked} that both read, ours {100 * right[0] / checked:.1f} %, "
          f"scancode {100 * right[1] / checked:.1f} %", file=sys.stderr)  # fmt: skip
    figure, rate = statistics.median(ours), statistics.median(theirs)
    print(json.dumps({
        "name": "licence files recognised per core", "figure": round(figure), "unit": "files/s",
        "peer": "scancode-toolkit, its licence index", "peer_figure": round(rate, 1), "ratio": round(figure / rate, 1),
        "right": round(right[0] / checked, 3), "peer_right": round(right[1] / checked, 3),
        "bar": _BAR, "met": figure >= _BAR and right[0] >= right[1],
    }))  # fmt: skip


def labelled() -> Iterator[tuple[str, set[str]]]:
    """Licence texts with the SPDX ids that their packages state, and Debian's with their names."""
    for distribution in importlib.metadata.distributions():
        found = [file for file in distribution.files or () if ".dist-info" in str(file) and _NAME.fullmatch(file.name)]
        if len(found) == 1 and found[0].locate().is_file():
            metadata = distribution.read_text("METADATA") or ""
            yield from _labelled(found[0].locate().read_text(errors="replace"), "METADATA", metadata)
    for top in _NODE:
        for path in sorted(top.rglob("package.json")):
            beside = [each for each in sorted(path.parent.iterdir()) if _NAME.fullmatch(each.name)]
            if len(beside) == 1 and beside[0].is_file():
                text = beside[0].read_text(errors="replace")
                yield from _labelled(text, "package.json", path.read_text(errors="replace"))
    for name in ("Apache-2.0", "CC0-1.0", "GPL-2", "GPL-3", "LGPL-2.1", "LGPL-3", "MPL-1.1", "MPL-2.0"):
        if (_COMMON / name).is_file():
            truth = name if name.count(".") else name + ".0"
            yield (_COMMON / name).read_text(errors="replace"), {truth + "-only" if "GPL" in truth else truth}


def _labelled(text: str, name: str, metadata: str) -> Iterator[tuple[str, set[str]]]:
    truth = {licence for expression in stated(name, metadata).licences for licence in ids(expression)}
    if truth and "unknown" not in truth:
        yield text, truth


def with_ours(texts: list[str]) -> tuple[float, list[set[str]]]:
    started = time.process_time()
    found = [licences_of_text(text) for text in texts]
    seconds = time.process_time() - started
    return seconds, [set(ids(conjunction(each))) for each in found]


def without_memory(texts: list[str]) -> float:
    started = time.process_time()
    for text in texts:
        identify(text)
    return time.process_time() - started


if __name__ == "__main__":
    main()
