"""Training steps that take turns: each contestant in a process of its own, with one thread, on the same real text.

Turns alternate, so that other work on the machine slows all alike. A process of its own keeps what one contestant does
to its memory or to torch from helping another.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import sysconfig
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from repotune.tokenizer.bpe import train_bpe
from repotune.tokenizer.encoding import Codec
from repotune.tokenizer.layout import SPECIAL_TOKENS, vocabulary_of

_TEXT_BYTES = 3_000_000
_WARMING_TURNS = 2


class Text:
    """The standard library as tokens: step `number` trains on the same rows for every contestant."""

    def __init__(self, vocabulary: int, rows: int, sequence: int) -> None:
        files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
        texts = [file.read_text(encoding="utf-8", errors="ignore") for file in files]
        text = "\n".join(texts)[:_TEXT_BYTES]
        codec = Codec(vocabulary_of(train_bpe(iter([text]), vocabulary - len(SPECIAL_TOKENS))))
        self.ids = np.array(codec.encode(text), np.int64)
        self.rows, self.sequence = rows, sequence

    def batch(self, number: int) -> tuple[Tensor, Tensor]:
        """Ids B×T and targets B×T."""
        starts = np.random.default_rng(number).integers(0, len(self.ids) - self.sequence - 1, self.rows)
        stream = torch.from_numpy(np.stack([self.ids[start : start + self.sequence + 1] for start in starts]))
        return stream[:, :-1].contiguous(), stream[:, 1:].contiguous()


class Turns:
    """A contestant's end: it waits for its turn, takes one step and says what the loss was."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._started = 0.0
        self._stopped: float | None = None

    def wait(self) -> int:
        """The number of the step to take. Ends the process when there is none."""
        try:
            number: int = self._connection.recv()
        except EOFError:
            sys.exit()
        self._started, self._stopped = time.process_time(), None
        return number

    def stop(self) -> None:
        """The step ends here, for one whose loss is told later."""
        self._stopped = time.process_time()

    def done(self, loss: float) -> None:
        stopped = time.process_time() if self._stopped is None else self._stopped
        self._connection.send((stopped - self._started, loss))


Contestant = Callable[[Text, Turns], None]


@dataclass
class Record:
    """What a contestant's steps took, in CPU seconds, and their losses in nats; the first steps are not timed."""

    seconds: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def speed(self, tokens: int) -> float:
        """Tokens a CPU-second, where a step has `tokens`."""
        return tokens / statistics.median(self.seconds)

    def loss(self) -> float:
        """The mean of the last quarter of the steps."""
        return statistics.mean(self.losses[-max(1, len(self.losses) // 4) :])


def stepping(step: Callable[[Tensor, Tensor], float], text: Text, turns: Turns) -> None:
    """A contestant that is a function of ids and targets."""
    while True:
        ids_BT, targets_BT = text.batch(turns.wait())
        turns.done(step(ids_BT, targets_BT))


def compete(contestants: Mapping[str, Contestant], text: Text, steps: int) -> dict[str, Record]:
    """Lets each take `steps` steps in turn, after some that warm up, and says on stderr how fast each was."""
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("spawn")
    ends: dict[str, Connection] = {}
    processes = []
    for name, contestant in contestants.items():
        ends[name], far_end = context.Pipe()
        process = context.Process(target=_run, args=(contestant, text, far_end), daemon=True)
        process.start()
        processes.append(process)
        far_end.close()
    records = {name: Record() for name in contestants}
    for number in range(_WARMING_TURNS + steps):
        for name, end in ends.items():
            end.send(number)
            seconds, loss = end.recv()
            records[name].losses.append(loss)
            if number >= _WARMING_TURNS:
                records[name].seconds.append(seconds)
    _finish(processes, ends.values())
    for name, record in records.items():
        speed = record.speed(text.rows * text.sequence)
        print(f"{name:24s} {speed:7,.0f} tokens per CPU-second, loss {record.loss():.4f}", file=sys.stderr)
    return records


def against(records: dict[str, Record], ours: str, bars: dict[str, float], tokens: int) -> dict[str, object]:
    """The benchmark's line: our speed, and each peer's with the ratio and the bar."""
    figure = records[ours].speed(tokens)
    peers = []
    for name, bar in bars.items():
        peer_figure = records[name].speed(tokens)
        ratio = figure / peer_figure
        peers.append({"peer": name, "peer_figure": round(peer_figure), "ratio": round(ratio, 2), "bar": bar})
        peers[-1]["met"] = ratio >= bar
    line: dict[str, object] = {"figure": round(figure), "unit": "tokens per CPU-second", **peers[0]}
    return line | {"others": peers[1:], "met": all(peer["met"] for peer in peers)}


def _run(contestant: Contestant, text: Text, connection: Connection) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(1)
    contestant(text, Turns(connection))


def _finish(processes: Iterable[multiprocessing.process.BaseProcess], ends: Iterable[Connection]) -> None:
    for end in ends:
        end.close()
    for process in processes:
        process.join(timeout=20)
        if process.is_alive():
            process.terminate()
