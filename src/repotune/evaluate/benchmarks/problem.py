"""A problem of a benchmark: what the model sees, and the tests that judge what it writes."""

from __future__ import annotations

from dataclasses import dataclass

PYTHON = "py"


@dataclass(frozen=True)
class Problem:
    """`prompt` + answer + `suffix` is the candidate's program, which `tests` call. `language` is a key of
    `load_languages()`.

    `suffix` is None where the answer ends the program: then a model continues, else it fills a hole. `reference` is
    what the benchmark gives as an answer; `reference_is_checked` is False where that is a model's, not always right.
    `lines` is how many lines the answer is cut to, where the kind of task says so. `entry_point` is the function that
    tests call, where it has one. `origin` is the problem that this one was made from, where holes are cut into one:
    they are alike, so intervals are clustered by it.
    """

    id: str
    language: str
    prompt: str
    suffix: str | None
    tests: str
    reference: str | None
    stop: tuple[str, ...] = ()
    entry_point: str | None = None
    reference_is_checked: bool = True
    lines: int | None = None
    kind: str = ""
    origin: str = ""

    @property
    def cluster(self) -> str:
        """The problem as it was drawn."""
        return self.origin or self.id

    def candidate(self, answer: str) -> str:
        """The program that `answer` makes."""
        return self.prompt + answer + (self.suffix or "")
