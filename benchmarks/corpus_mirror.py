"""A git repository from elsewhere: our mirror against `git clone --bare`, as bytes fetched and as seconds.

Both fetch, by git's own protocol over a pipe, a history of small changes to this Python's standard library, with what
listing needs: the text of one commit and the dates of all. Only the mirror leaves the text of older commits where it
is. In turns, medians over rounds. A pipe costs nothing, so on a network the bytes weigh more than these seconds.

    python benchmarks/corpus_mirror.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from repotune.corpus.sources import git
from repotune.corpus.sources.mirror import update_mirror

_BAR = 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a quarter of the commits")
    commits = 2000 if parser.parse_args().quick else 8000
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = make_history(folder / "origin.git", commits)
        for number in range(3):
            theirs.append(timed(lambda: clone(url, folder / "clone"), folder / "clone"))
            ours.append(timed(lambda: update_mirror(url, "", folder / "mirror"), folder / "mirror"))
            print(f"round {number}: ours {ours[-1]}, git clone {theirs[-1]} (seconds, bytes)", file=sys.stderr)
        place, commit = update_mirror(url, "", folder / "mirror")
        paths = {entry.path for entry in git.tree(place, commit)}
        clone(url, folder / "clone")
        same = git.changes(git.Place(folder / "clone", ""), commit, paths) == git.changes(place, commit, paths)
        version = git.run(None, "version").decode().split()[2]
    seconds, peer_seconds = (statistics.median(taken for taken, _ in each) for each in (ours, theirs))
    figure, peer = ours[-1][1] / 1e6, theirs[-1][1] / 1e6
    result = {
        "name": f"fetching a repository of {commits:,} commits",
        "figure": round(figure, 1),
        "unit": "MB",
        "peer": f"git {version} clone --bare",
        "peer_figure": round(peer, 1),
        "ratio": round(peer / figure, 2),
        "bar": _BAR,
        "seconds": seconds,
        "peer_seconds": peer_seconds,
        "same_dates": same,
        "met": peer / figure >= _BAR and same,
    }
    print(json.dumps(result))


def make_history(folder: Path, commits: int) -> str:
    """A repository whose first commit is the library, each later one a line more in one to four of its files."""
    git.run(None, "init", "--quiet", "--bare", "--initial-branch=main", "--", str(folder))
    with subprocess.Popen(["git", "-C", str(folder), "fast-import", "--quiet"], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        for piece in history(commits):
            process.stdin.write(piece)
    git.run(folder, "config", "uploadpack.allowFilter", "true")
    git.run(folder, "repack", "-adq")
    return f"file://{folder}"


def history(commits: int) -> Iterator[bytes]:
    draw = random.Random(1)
    top = Path(sysconfig.get_paths()["stdlib"])
    found = sorted(path for path in top.rglob("*.py") if not {"test", "site-packages"} & set(path.parts))
    files = {path.relative_to(top).as_posix().encode(): path.read_bytes() for path in found}
    changed = list(files)
    for number in range(commits):
        when = b"t <t@example.org> %d +0000\n" % (1_000_000_000 + 3600 * number)
        yield b"commit refs/heads/main\nauthor " + when + b"committer " + when + b"data 0\n"
        for path in changed:
            yield b"M 100644 inline %s\ndata %d\n%s\n" % (path, len(files[path]), files[path])
        changed = draw.sample(list(files), draw.randint(1, 4))
        for path in changed:
            lines = files[path].split(b"\n")
            lines.insert(draw.randrange(len(lines) + 1), b"# change %d" % draw.randrange(10**9))
            files[path] = b"\n".join(lines)


def clone(url: str, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    git.run(None, "clone", "--quiet", "--bare", "--single-branch", "--no-tags", "--", url, str(folder))


def timed(work: Callable[[], object], folder: Path) -> tuple[float, int]:
    """(seconds of `work`, bytes that it leaves in `folder`, which it finds empty)."""
    shutil.rmtree(folder, ignore_errors=True)
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    return round(seconds, 2), sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
