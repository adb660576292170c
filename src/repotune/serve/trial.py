"""The trial: a real server, started as a user would, is asked for completions in held-out files.

Each question stands in a line of a file that the model never saw and is asked twice over HTTP: when the cursor comes to
that place (cold), and again after one more typed character, when all but the end of the prompt is in the engine still.
"""

from __future__ import annotations

import json
import platform
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow.parquet as pq

from repotune.core.artefact import write_atomically
from repotune.core.errors import UserError
from repotune.core.flow import Work
from repotune.core.settings import ServeSettings
from repotune.corpus.split import split_files
from repotune.serve.process import running_server

QUESTIONS = 30
EXAMPLES = 3
MAX_TOKENS = 32  # a line or three: what an editor shows
_AROUND = 12_000  # characters on either side that are sent, as editors do
_SHOWN = 160  # characters on either side that an example keeps
_SHORTEST = 12  # characters of a line that are worth a question


@dataclass(frozen=True)
class Question:
    """A gap in a file's line: `expected` is what stands between prefix and the line's end."""

    path: str
    language: str
    prefix: str
    suffix: str
    expected: str

    def after_keystroke(self) -> Question:
        """The same, one typed character later."""
        typed, rest = self.expected[0], self.expected[1:]
        return Question(self.path, self.language, self.prefix + typed, self.suffix, rest)


@dataclass(frozen=True)
class Answer:
    """What the server said, and when its first text and its end came, in milliseconds."""

    text: str
    first_ms: float | None
    total_ms: float
    prompt_tokens: int
    cached_tokens: int
    tokens: int


def build_trial(work: Work, settings: ServeSettings) -> None:
    """Asks a server of inputs["release"] about inputs["corpus"]'s test files; writes trial.json and log.txt."""
    questions = list(choose_questions(split_files(work.inputs["corpus"], "test"), work.seed))
    if not questions:
        raise UserError(
            "No held-out file has a line to ask about.", "give more repositories, or a larger corpus.test_share"
        )
    started = time.perf_counter()
    index = work.inputs.get("index")
    with running_server(work.inputs["release"], settings, work.folder / "log.txt", index) as url:
        ready_seconds = time.perf_counter() - started
        with (
            httpx.Client(base_url=url, timeout=60, trust_env=False) as client,
            work.console.progress("asking the server", len(questions), "questions") as progress,
        ):
            ask(client, questions[0])  # the first question of a process pays for what is loaded when first used
            pairs = []
            for question in questions:
                pairs.append((ask(client, question), ask(client, question.after_keystroke())))
                progress.advance()
            counters = read_counters(client.get("/metrics").text)
    trial = _summary(questions, pairs) | {"ready_seconds": round(ready_seconds, 2), "server": counters}
    write_atomically(work.folder / "trial.json", json.dumps(trial, indent=2, ensure_ascii=False) + "\n")


def choose_questions(test_files: Sequence[Path], seed: int) -> Iterator[Question]:
    """Up to QUESTIONS questions, one a file until there are no more files; the same for the same corpus and seed."""
    rows = [row for file in test_files for row in pq.read_table(file, columns=["text", "path", "language"]).to_pylist()]
    chance = random.Random(seed)
    chance.shuffle(rows)
    rounds = [row for _ in range(QUESTIONS) for row in rows] if rows else []
    asked = 0
    for row in rounds:
        question = _question(row, chance)
        if question:
            yield question
            asked += 1
        if asked == QUESTIONS:
            return


def _question(row: dict[str, str], chance: random.Random) -> Question | None:
    """A gap from within a line to its end, behind its first word at the earliest; None where no line is long enough."""
    lines = row["text"].split("\n")
    long_enough = [number for number, line in enumerate(lines) if len(line.strip()) >= _SHORTEST]
    if not long_enough:
        return None
    number = chance.choice(long_enough)
    line = lines[number].rstrip()
    indentation = len(line) - len(line.lstrip())
    cut = chance.randint(indentation + 1, len(line) - 4)
    before = "\n".join([*lines[:number], line[:cut]])
    after = "\n".join(["", *lines[number + 1 :]])
    return Question(row["path"], row["language"], before[-_AROUND:], after[:_AROUND], line[cut:])


def ask(client: httpx.Client, question: Question) -> Answer:
    """Asks as an editor does, streaming."""
    body = {
        "prompt": question.prefix,
        "suffix": question.suffix,
        "path": question.path,
        "max_tokens": MAX_TOKENS,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    text, first_ms = "", None
    usage: dict[str, Any] = {}
    started = time.perf_counter()
    with client.stream("POST", "/v1/completions", json=body) as response:
        if response.is_error:
            raise UserError(f"The server refused a question with {response.status_code}: {response.read().decode()}.")
        for line in response.iter_lines():
            if not line.startswith("data: {"):
                continue
            data = json.loads(line.removeprefix("data: "))
            if "error" in data:
                raise UserError(f"The server failed at a question: {data['error']['message']}", "its log is log.txt")
            text += "".join(choice["text"] for choice in data["choices"])
            usage = data.get("usage", usage)
            if text and first_ms is None:
                first_ms = 1000 * (time.perf_counter() - started)
    total_ms = 1000 * (time.perf_counter() - started)
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    return Answer(text, first_ms, total_ms, usage["prompt_tokens"], cached, usage["completion_tokens"])


def read_counters(exposition: str) -> dict[str, float]:
    """The totals in a /metrics text: what the server itself counted."""
    counters = {}
    for line in exposition.splitlines():
        name, _, value = line.rpartition(" ")
        if name.startswith("repotune_") and name.endswith("_total"):
            counters[name.removeprefix("repotune_").removesuffix("_total")] = float(value)
    return counters


def _summary(questions: Sequence[Question], pairs: Sequence[tuple[Answer, Answer]]) -> dict[str, Any]:
    cold, keystroke = ([pair[index] for pair in pairs] for index in (0, 1))
    return {
        "schema": 1,
        "questions": len(questions),
        "max_tokens": MAX_TOKENS,
        "machine": platform.machine(),
        "cold": _latency(cold),
        "keystroke": _latency(keystroke),
        "examples": [_example(question, pair[0]) for question, pair in _telling(questions, pairs)],
    }


def _latency(answers: Sequence[Answer]) -> dict[str, Any]:
    return {
        "total_ms": _percentiles([answer.total_ms for answer in answers]),
        "first_text_ms": _percentiles([answer.first_ms for answer in answers if answer.first_ms is not None]),
        "cached_share": round(
            sum(answer.cached_tokens for answer in answers) / sum(answer.prompt_tokens for answer in answers), 3
        ),
        "tokens": sum(answer.tokens for answer in answers),
        "empty": sum(not answer.text for answer in answers),
    }


def _percentiles(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    p50, p95 = np.percentile(values, [50, 95])
    return {"p50": round(float(p50), 1), "p95": round(float(p95), 1)}


def _telling(
    questions: Sequence[Question], pairs: Sequence[tuple[Answer, Answer]]
) -> list[tuple[Question, tuple[Answer, Answer]]]:
    """The first EXAMPLES, those with an answer before those without: not the best ones."""
    return sorted(zip(questions, pairs, strict=True), key=lambda both: not both[1][0].text)[:EXAMPLES]


def _example(question: Question, answer: Answer) -> dict[str, str]:
    return {
        "path": question.path,
        "language": question.language,
        "prefix_tail": question.prefix[-_SHOWN:],
        "suffix_head": question.suffix[:_SHOWN],
        "expected": question.expected,
        "got": answer.text,
    }
