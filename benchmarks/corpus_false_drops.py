"""Good files that the default profile drops: the standard library of every Python from 3.8 on that pyenv has.

The ground truth is that its code is written by hand and read by many; what its authors call generated is not. Tests and
what pip brings are left out. Each version is taken by itself, through languages, signals and rules as a corpus is. The
peer is OpenCoder's profile, in the same run.

    python benchmarks/corpus_false_drops.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import sys
import sysconfig
from collections import Counter
from pathlib import Path

import pyarrow as pa

from repotune.corpus.profiles import MAX_BYTES, Decide, load_profile
from repotune.corpus.reading import text_of
from repotune.corpus.signals.annotate import Annotate

_BAR = 1.0
_LEFT_OUT = {"__pycache__", "idle_test", "site-packages", "test", "tests", "_vendor"}
_BATCH_FILES = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only the Python that runs this")
    folders = [Path(sysconfig.get_paths()["stdlib"])] if parser.parse_args().quick else libraries()
    files = dropped = by_peer = 0
    for folder in folders:
        texts = read_library(folder)
        reasons = [drops(texts, profile) for profile in ("starcoder2", "opencoder")]
        files, dropped, by_peer = files + len(texts), dropped + len(reasons[0]), by_peer + len(reasons[1])
        told = ", ".join(f"{rule} {count}" for rule, count in Counter(reasons[0].values()).most_common())
        print(f"{folder.name}: {len(reasons[0])} of {len(texts)} ({told})", file=sys.stderr)
        for path, rule in sorted(reasons[0].items()):
            print(f"  {path}: {rule}", file=sys.stderr)
    figure, peer = 100 * dropped / files, 100 * by_peer / files
    result = {
        "name": f"false drops of starcoder2 on {files} files of {len(folders)} standard libraries",
        "figure": round(figure, 3),
        "unit": "%",
        "peer": "the profile opencoder",
        "peer_figure": round(peer, 3),
        "ratio": round(peer / figure, 2) if figure else None,
        "bar": _BAR,
        "met": figure <= _BAR,
    }
    print(json.dumps(result))


def libraries() -> list[Path]:
    """The standard library of each Python ≥ 3.8 under pyenv, and of the one that runs this."""
    found = {Path(sysconfig.get_paths()["stdlib"])}
    for folder in (Path.home() / ".pyenv" / "versions").glob("3.*/lib/python3.*"):
        if int(folder.name.partition(".")[2]) >= 8:
            found.add(folder)
    return sorted(found)


def read_library(folder: Path) -> dict[str, str]:
    texts = {}
    for path in folder.rglob("*.py"):
        name = path.relative_to(folder)
        if _LEFT_OUT.isdisjoint(name.parts) and path.stat().st_size <= MAX_BYTES:
            text, _ = text_of(path.read_bytes())
            if text:
                texts[name.as_posix()] = text
    return texts


def drops(texts: dict[str, str], name: str) -> dict[str, str]:
    """The rule by which each dropped file is dropped."""
    profile, paths = load_profile(name, Path()), sorted(texts)
    annotate, decide = Annotate(profile.parsed), Decide(profile)
    found = {}
    for begin in range(0, len(paths), _BATCH_FILES):
        part = paths[begin : begin + _BATCH_FILES]
        columns = {"text": [texts[path] for path in part], "path": part, "language": ["Python"] * len(part)}
        decided = decide(annotate(pa.RecordBatch.from_pydict(columns)))
        rows = zip(part, *(decided.column(key).to_pylist() for key in ("rule", "value")), strict=True)
        found |= {path: f"{rule} ({value})" for path, rule, value in rows if rule}
    return found


if __name__ == "__main__":
    main()
