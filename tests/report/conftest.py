"""A workspace in the contract's formats, as the other steps write it; paths and code in it try to break out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from repotune.core.console import Console
from repotune.core.flow import Step, Work, run_flow

Files = dict[str, Any]

HOSTILE = "</code><script>alert(1)</script><img src=x onerror=alert(2)>\"'&|`*[a](b)"


def counts(**bytes_of: int) -> Files:
    return {name.replace("_", " "): {"files": size // 4000 + 1, "bytes": size} for name, size in bytes_of.items()}


def score(value: float, reach: float) -> Files:
    return {"value": value, "low": round(value - reach, 6), "high": round(value + reach, 6)}


def corpus() -> Files:
    stages = (("found", 9_800_000), ("readable text", 8_900_000), ("quality", 7_400_000), ("distinct", 5_600_000))
    return {
        "funnel": [{"stage": stage, "files": size // 5000, "bytes": size} for stage, size in stages],
        "languages": counts(Python=3_100_000, TypeScript=1_400_000, Shell=420_000, CSS=300_000, HTML=180_000, Lua=9000),
        "licences": counts(Apache=3_900_000, MIT=1_500_000, unknown=200_000),
        "splits": counts(train=5_300_000, validation=150_000, test=150_000),
        "dropped": counts(near_duplicate=1_500_000, exact_duplicate=300_000, generated=900_000, long_lines=600_000),
        "replaced": {"EMAIL": {"files": 3, "count": 7}},
        "contamination": {"humaneval": {"searched": 164, "files": 1, "items": 1, "found": ["HumanEval/7"]}},
    }


def examples() -> Files:
    """What the corpus step writes of a corpus in which nothing is measured and nothing is alike."""
    return {
        "schema": 1,
        "sizes": {"scale": "log", "edges": [512.0, 1024.0], "files": [3, 5, 0], "languages": []},
        "signals": [],
        "reasons": [],
        "near_duplicates": {"clusters": 0, "dropped": 0, "pairs": []},
        "mixture": None,
    }


def compression() -> Files:
    ratios = {"Python": (3_100_000, 4.1), "TypeScript": (1_400_000, 3.9), "Shell": (420_000, 3.2)}

    def measured(scale: float) -> Files:
        languages = {
            name: {"bytes": size, "tokens": size // 4, "bytes_per_token": ratio * scale}
            for name, (size, ratio) in ratios.items()
        }
        return {"bytes": 5_300_000, "tokens": 1_300_000, "bytes_per_token": 4.02 * scale, "languages": languages}

    splits = {"train": measured(1), "validation": measured(0.95)}
    del splits["validation"]["languages"]["Shell"]
    return {"schema": 1, "size": 8192, "requested": 8192, "splits": splits}


def metrics() -> list[Files]:
    lines = []
    for step in range(1, 1201):
        loss = 2.6 + 6.4 * math.exp(-step / 90) + 0.9 * math.exp(-step / 500) + 0.07 * math.sin(step * 1.7)
        line = {"step": step, "tokens": step * 4096, "loss": loss, "learning_rate": 0.01, "gradient_norm": 1.0,
                "tokens_per_second": 9000.0, "seconds": step * 0.45}  # fmt: skip
        if step % 150 == 0:
            line |= {"validation_loss": loss + 0.12, "validation_bits_per_byte": (loss + 0.12) / 2.79}
        lines.append(line)
    return lines


MEASURED = ("exact_match", "edit_similarity", "identifier_f1", "bits_per_byte")


def infilling() -> Files:
    def measured(items: int, exact: float, alike: float, bits: float | None) -> Files:
        scores = {"exact_match": score(exact, 0.04 * (exact > 0)), "edit_similarity": score(alike, 0.03)}
        if bits is not None:
            scores |= {"identifier_f1": score(alike - 0.1, 0.03), "bits_per_byte": score(bits, 0.1)}
        return {"items": items, **scores}

    def kind(exact: float, alike: float, bits: float | None = 1.5) -> Files:
        return {
            "served": measured(200, exact, alike, bits),
            "model": measured(200, exact * 0.5, alike * 0.8, bits and bits + 0.3),
            "ngram": measured(200, exact * 0.75, alike * 0.9, bits),
            **({"untrained": {"items": 200, "bits_per_byte": score(bits + 2, 0.1)}} if bits else {}),
        }

    return {
        "rest": kind(0.215, 0.56),
        "line": kind(0.12, 0.5),
        "block": kind(0.05, 0.41),
        "body": kind(0.03, 0.4),
        "arguments": kind(0.3, 0.6),
        "imports": kind(0.1, 0.5),
        "nothing": kind(0.4, 0.4, None),
    }


def differences() -> Files:
    gains = {
        "exact_match": score(0.05, 0.055),
        "edit_similarity": score(0.06, 0.02),
        "identifier_f1": score(-0.06, 0.02),
        "bits_per_byte": score(-0.2, 0.04),
    }
    bits = {"bits_per_byte": gains["bits_per_byte"]}
    silent = {name: gains[name] for name in MEASURED[:2]}
    return {
        opponent: {
            "likelihood": {"bits_per_byte": score(-gap, 0.03)},
            **told,
        }
        for opponent, gap, told in (
            ("ngram", 0.32, {kind: silent if kind == "nothing" else gains for kind in infilling()}),
            ("untrained", 2.57, {kind: bits for kind in infilling() if kind != "nothing"}),
            ("model", 0.21, {kind: silent if kind == "nothing" else gains for kind in infilling()}),
        )
    }


def other_files() -> Files:
    def sides(measure: str) -> Files:
        return {"without": score(0.2, 0.03), "with": score(0.243, 0.03), "difference": score(0.043, 0.01)}

    return {
        kind: {"items": 200, **{name: sides(name) for name in (MEASURED[:2] if kind == "nothing" else MEASURED)}}
        for kind in ("all", *infilling())
    }


def results() -> Files:
    bits = {
        "served": score(1.142, 0.05),
        "model": score(1.352, 0.05),
        "untrained": score(3.71, 0.06),
        "ngram": score(1.463, 0.07),
    }
    return {
        "schema": 3,
        "judged": "served",
        "verdict": "On 36 held-out files the model with its index, as it is served, is better than the n-gram in bits "
        "per byte and in the edit similarity of blocks and not distinguishable from it in exact rests of a line; it is "
        "better than the untrained model in bits per byte.",
        "likelihood": {name: {"bits_per_byte": of, "bytes": 199_874, "files": 36} for name, of in bits.items()},
        "infilling": infilling(),
        "languages": {"Python": infilling(), "TypeScript": infilling()},
        "later": {"after": "2026-02-03T04:05:06Z", "items": 77, "files": 9, "infilling": infilling()},
        "other_files": other_files(),
        "differences": differences(),
        "data": {"files": 36, "files_sha256": "ab" * 32},
        "contestants": {"model": {"checkpoint": "00001200"}, "decoding": "greedy"},
        "seed": 1,
        "environment": {"python": "3.11.2", "torch": "2.13.0", "threads": 2},
    }


def sample(kind: str, number: int) -> Files:
    """Every second is exact; some paths and answers are hostile, and more than the report leaves out."""
    code = "def load(path: Path) -> Config:\n    text = path.read_text()\n    data = parse(text)\n    return Config"
    exact = number % 2
    expected = {"rest": f"(**data[{number}])", "nothing": ""}.get(kind, "    a = 1\n    b = a + 1\n    return b")
    wrong = expected[:6] + "name)" + (f"\n    {HOSTILE}" if kind == "block" and number < 6 else "")
    right = {"exact_match": 1.0, "edit_similarity": 1.0}
    almost = {"exact_match": 0.0, "edit_similarity": 0.62}
    return {
        "kind": kind,
        "path": f"src/{HOSTILE}/{number}.py" if kind == "rest" and number % 2 else f"src/settings/{number}.py",
        "repository": "api",
        "language": "Python",
        "prefix": code if kind == "rest" else code + "\n",
        "suffix": "\n\n\ndef save(config: Config, path: Path) -> None:\n    path.write_text(dump(config))\n",
        "expected": expected,
        "answers": {
            "served": expected if exact else wrong,
            "model": wrong,
            "model_with_files": expected,
            "ngram": wrong,
        },
        "scores": {
            "served": right if exact else almost,
            "model": almost,
            "model_with_files": right,
            "ngram": almost,
        },
    }


def samples() -> list[Files]:
    return [sample(kind, number) for kind in infilling() for number in range(8)]


def trial() -> Files:
    def latency(first: float, whole: float) -> Files:
        return {"total_ms": {"p50": whole, "p95": whole * 1.7}, "first_text_ms": {"p50": first, "p95": first * 1.5},
                "tokens": 400, "empty": 1}  # fmt: skip

    return {"schema": 1, "questions": 30, "max_tokens": 32, "machine": "x86_64", "cold": latency(48.2, 131.0),
            "keystroke": latency(9.1, 84.0), "examples": [], "ready_seconds": 2.4, "server": {}}  # fmt: skip


def workspace_files() -> dict[str, Files]:
    plan = {
        "model": {"width": 256, "layers": 6, "context": 512},
        "tokens": 4_915_200,
        "batch_tokens": 4096,
        "optimiser": "muon",
    }
    return {
        "corpus": {"summary.json": corpus(), "examples.json": examples()},
        "tokenizer": {"compression.json": compression()},
        "tokens": {"index.json": {}},
        "plan": {"plan.json": plan},
        "run": {"metrics.jsonl": metrics()},
        "results": {"results.json": results(), "samples.jsonl": samples()},
        "release": {"release.json": {"name": "acme", "parameters": 5_214_208, "context": 512}},
        "trial": {"trial.json": trial()},
    }


class Page(HTMLParser):
    """What a browser would see: tags, attributes, text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "br", "img", "col"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def read_page() -> Callable[[str], Page]:
    return Page


@pytest.fixture
def files() -> dict[str, Files]:
    return workspace_files()


@pytest.fixture
def hostile() -> str:
    return HOSTILE


Build = Callable[[dict[str, Files]], Work]


def write_files(files: Files, work: Work) -> None:
    """A step that writes what it is given: objects as .json, lists as .jsonl."""
    for name, data in files.items():
        lines = [json.dumps(line) for line in (data if name.endswith("l") else [data])]
        (work.folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def build_work(tmp_path: Path) -> Build:
    """Seals `files` as finished steps and gives the report's Work over them."""

    def build(files: dict[str, Files]) -> Work:
        settings = {"exclude": ["vendor/"], "rate": 0.5}
        steps = [Step(name, name, partial(write_files, of), settings=settings) for name, of in files.items()]
        run_flow(steps, tmp_path, Console(quiet=True), seed=1)
        (tmp_path / "report").mkdir()
        return Work(tmp_path / "report", {step: tmp_path / step for step in files}, Console(quiet=True), seed=1)

    return build
