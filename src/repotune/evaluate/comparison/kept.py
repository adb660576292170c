"""What a model has already done, a line each as soon as it is there: a comparison that was killed goes on, and the next
one of the same model on the same items asks it nothing again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from repotune.core.errors import UserError

Done = Literal["read", "hole", "answer"]


class Kept:
    """The bits of passages (`read`) and of holes (`hole`), and the answers (`answer`), by place.

    A last line that a kill cut short is taken off the file. Raises UserError where another line is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[tuple[str, int], float | str] = {}
        for line in _whole_lines(path):
            try:
                done, place, value = json.loads(line)
            except ValueError as error:
                raise UserError(f"{path} is damaged: {error}.", "remove it; what it held is asked again") from error
            self._found[done, place] = value

    def bits(self, done: Done, count: int) -> list[float]:
        """The bits at places 0 to `count` − 1."""
        return [float(self._found[done, place]) for place in range(count)]

    def answers(self, count: int) -> list[str]:
        """The answers at places 0 to `count` − 1."""
        return [str(self._found["answer", place]) for place in range(count)]

    def missing(self, done: Done, places: Sequence[int]) -> list[int]:
        """Those of `places` where nothing is kept."""
        return [place for place in places if (done, place) not in self._found]

    def add(self, done: Done, values: Mapping[int, float | str]) -> None:
        """Keeps values by place."""
        lines = "".join(json.dumps([done, place, value]) + "\n" for place, value in values.items())
        with self._path.open("a", encoding="utf-8") as file:
            file.write(lines)
        self._found |= {(done, place): value for place, value in values.items()}


def _whole_lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        with path.open("r+b") as file:
            file.truncate(len(whole))
    return whole.decode(errors="replace").splitlines()
