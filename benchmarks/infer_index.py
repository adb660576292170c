"""The index of one's own code: building it, its memory and its look-ups, against infini-gram over the same ids.

    python benchmarks/infer_index.py [--quick]

Both index 100 MB of Python from this interpreter's library and packages (--quick: 10 MB). The peer's index
(pip install infini-gram) is built by its own program with the same two threads. Each builds in a process of its own,
whose peak memory is the operating system's account of it. A look-up is what a written token costs, in CPU time: ours
is told of it and says what follows the longest context that occurs; the peer is asked by the last 32 ids. The lengths
of these contexts are checked to be the same.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from repotune.core.console import Console
from repotune.core.flow import Work
from repotune.infer.index.building import build
from repotune.infer.index.cursor import Cursor
from repotune.infer.index.drafting import IndexDrafter
from repotune.infer.index.folder import open_index
from repotune.infer.index.sorting import DEPTH
from repotune.tokenizer.encoding import load_codec
from repotune.tokenizer.layout import SPECIAL_TOKENS, vocabulary_of, write_vocabulary
from repotune.tokenizer.packing import TokenStore, build_tokens
from repotune.tokenizer.vocabulary import train_bpe

VOCABULARY = 32_000
THREADS = 2
SECONDS, TIMES_THE_TEXT, MICROSECONDS = 60.0, 6.0, 100.0  # the bars
PEER_OVERLAP = 100_000  # bytes that the parts of the peer's text share, as its own script has it


def texts(size: int) -> Iterator[str]:
    """Different Python files, `size` bytes together."""
    paths, seen = sysconfig.get_paths(), set()
    for root in (paths["stdlib"], paths["purelib"]):
        for path in sorted(Path(root).rglob("*.py")):
            data = path.read_bytes()
            digest = hashlib.sha256(data).digest()
            if 0 < len(data) < 300_000 and digest not in seen:
                seen.add(digest)
                text = data.decode("utf-8", "ignore")
                size -= len(text.encode())
                if size < 0:
                    return
                yield text


def write_workspace(folder: Path, size: int) -> int:
    """corpus/, tokenizer/ and tokens/. Returns the bytes of the training split: what is left for it is indexed."""
    found = list(texts(size))
    folders = {name: folder / name for name in ("corpus", "tokenizer", "tokens")}
    for path in folders.values():
        path.mkdir()
    write_vocabulary(folders["tokenizer"], vocabulary_of(train_bpe(iter(found[::8]), VOCABULARY - len(SPECIAL_TOKENS))))
    held_out = found[5::400]
    indexed = [text for number, text in enumerate(found) if number % 400 != 5]
    for split, of in (("train", indexed), ("validation", held_out[:1]), ("test", held_out)):
        names = [f"{split}/{number}.py" for number in range(len(of))]
        same = {name: ["python"] * len(of) for name in ("repository", "commit", "language", "licence")}
        columns = {"text": of, "path": names, **same, "weight": [1.0] * len(of), "size": [len(text) for text in of]}
        pq.write_table(pa.table(columns), folders["corpus"] / f"{split}-00000.parquet")
    build_tokens(Work(folders["tokens"], folders, Console(quiet=True), seed=1))
    return sum(len(text.encode()) for text in indexed)


def build_peer(tokens: Path, folder: Path) -> None:
    """infini-gram's index, by the commands of its `indexing.py`."""
    import infini_gram

    store, data = TokenStore(tokens, "train"), folder / "tokenized.0"
    starts = store.offsets[:-1] * 2 + 2 * np.arange(len(store))
    starts.astype("<u8").tofile(folder / "offset.0")
    with data.open("wb") as file:
        for number in range(len(store)):
            file.write(b"\xff\xff" + store.document(number).tobytes())
    size, ratio = data.stat().st_size, int(np.ceil(np.log2(data.stat().st_size) / 8))
    program = Path(infini_gram.__file__).parent / "rust_indexing"
    parts, merged, each = folder / "parts", folder / "merged", size // THREADS // 2 * 2
    for path in (parts, merged):
        path.mkdir()
    common = ["--data-file", str(data), "--ratio", str(ratio), "--token-width", "2"]

    def command(name: str, *options: object) -> subprocess.Popen[bytes]:
        arguments = [str(program), name, *common, *map(str, options)]
        return subprocess.Popen(arguments, stdout=subprocess.DEVNULL)

    ends = [min((n + 1) * each + PEER_OVERLAP, size) for n in range(THREADS - 1)] + [size]
    running = [
        command("make-part", "--parts-dir", parts, "--start-byte", n * each, "--end-byte", end)
        for n, end in enumerate(ends)
    ]
    finished = [process.wait() for process in running]
    options = ("--merged-dir", merged, "--num-threads", THREADS)
    finished.append(command("merge", "--parts-dir", parts, "--hacksize", PEER_OVERLAP, *options).wait())
    finished.append(command("concat", "--merged-file", folder / "table.0", *options).wait())
    if any(finished):
        sys.exit(f"infini-gram's index could not be built: {finished}")


def build_one(who: str, workspace: Path, folder: Path) -> None:
    """What the process that builds does. Prints seconds, seconds of CPU time and peak bytes."""
    started = time.perf_counter()
    if who == "ours":
        build(workspace / "tokens", workspace / "corpus", folder)
    else:
        build_peer(workspace / "tokens", folder)
    seconds = time.perf_counter() - started
    own, children = (resource.getrusage(of) for of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    cpu = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    # Not ru_maxrss of this process: it begins with what the process had that started it.
    status = Path("/proc/self/status").read_text("utf-8")
    peak = int(status.partition("VmHWM:")[2].split()[0]) if who == "ours" else children.ru_maxrss
    print(json.dumps([seconds, cpu, 1024 * peak]))


def measure_build(who: str, workspace: Path, folder: Path) -> list[float]:
    folder.mkdir()
    arguments = [sys.executable, __file__, "--build", who, str(workspace), str(folder)]
    found: list[float] = json.loads(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout)
    return found


def look_up(workspace: Path, ours: Path, peer: Path, count: int) -> dict[str, list[float]]:
    """Microseconds of each look-up, interleaved, in files of the test split."""
    from infini_gram.engine import InfiniGramEngine

    codec, store = load_codec(workspace / "tokenizer"), TokenStore(workspace / "tokens", "test")
    engine = InfiniGramEngine(index_dir=[str(peer)], eos_token_id=codec.end, vocab_size=codec.size, token_dtype="u16")
    index = open_index(ours)
    cursor, drafter = Cursor(index, codec.special), IndexDrafter(Cursor(index, codec.special))
    taken: dict[str, list[float]] = {"ours": [], "peer": [], "drafts": []}
    differ = 0
    for number in range(len(store)):
        ids = store.document(number).tolist()[: 64 + count // len(store)]
        cursor.move_to(ids[:63])
        drafter.begin(ids[:63])
        for place in range(63, len(ids) - 1):
            began = time.process_time_ns()
            cursor.push(ids[place])
            said = cursor.indexed()
            ended = time.process_time_ns()
            found: Any = engine.infgram_ntd(ids[place - DEPTH + 1 : place + 1])
            peer_ended = time.process_time_ns()
            drafter.push(ids[place])
            drafter.propose(8)
            drafted = time.process_time_ns()
            # Where a file ends after the longest context, the peer says so, and ours what follows a shorter one.
            differ += found["suffix_len"] != said.length and 65535 not in found["result_by_token_id"]
            for name, first, last in (
                ("ours", began, ended),
                ("peer", ended, peer_ended),
                ("drafts", peer_ended, drafted),
            ):
                taken[name].append((last - first) / 1000)
    if differ:
        print(f"{differ} of {len(taken['ours'])} contexts are of another length than the peer's", file=sys.stderr)
    return taken


def compare_indexes(quick: bool) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as name:
        workspace = Path(name)
        size = write_workspace(workspace, 10_000_000 if quick else 100_000_000)
        built: dict[str, list[list[float]]] = {"ours": [], "peer": []}
        for turn in range(1 if quick else 2):
            for who, of in built.items():
                of.append(measure_build(who, workspace, workspace / f"{who}-{turn}"))
        taken = look_up(workspace, workspace / "ours-0", workspace / "peer-0", 2_000 if quick else 10_000)
        disk = {who: sum(p.stat().st_size for p in (workspace / f"{who}-0").rglob("*") if p.is_file()) for who in built}
    for who, of in built.items():
        seconds, cpu, memory = (statistics.median(column) for column in zip(*of, strict=True))
        held = f"peak {memory / size:.1f}×, on disk {disk[who] / size:.1f}× the text"
        print(f"{who}: {seconds:.1f} s, {cpu:.1f} s of CPU time, {held}")
    for who, each in taken.items():
        print(f"{who}: a look-up {np.percentile(each, 50):.0f} µs, 95 of 100 below {np.percentile(each, 95):.0f} µs")
    seconds, peer = (statistics.median(of[0] for of in built[who]) for who in ("ours", "peer"))
    memory, micro = max(of[2] for of in built["ours"]) / size, float(np.percentile(taken["ours"], 50))
    return {
        "name": f"index of {size / 1e6:.0f} MB of code (peak {memory:.1f}× the text, a look-up {micro:.0f} µs)",
        "figure": round(seconds, 1),
        "unit": "seconds",
        "peer": "infini-gram",
        "peer_figure": round(peer, 1),
        "ratio": round(peer / seconds, 2),
        "bar": SECONDS,
        # 10 MB are less than an interpreter with its libraries.
        "met": seconds < SECONDS and (quick or memory < TIMES_THE_TEXT) and micro < MICROSECONDS,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="less text, fewer rounds")
    parser.add_argument("--build", nargs=3, help=argparse.SUPPRESS)  # this program's own processes
    options = parser.parse_args()
    if options.build:
        build_one(options.build[0], *map(Path, options.build[1:]))
    else:
        print(json.dumps(compare_indexes(options.quick)))


if __name__ == "__main__":
    main()
