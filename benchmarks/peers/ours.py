"""Ours: python -m peers.ours FOLDER WEIGHTS THREADS"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from peers.worker import answer_requests
from repotune.core.errors import UserError
from repotune.infer.opening import open_engine


def main() -> None:
    folder, weights, threads = sys.argv[1:]
    try:
        engine = open_engine(Path(folder), weights, threads=int(threads))  # type: ignore[arg-type]
    except UserError as error:
        sys.exit(error.message)

    def complete(ids: Sequence[int], count: int) -> Iterator[int]:
        token = int(engine.prefill(ids).argmax())
        yield token
        for _ in range(count - 1):
            token = int(engine.step(token).argmax())
            yield token

    answer_requests(complete)


if __name__ == "__main__":
    main()
