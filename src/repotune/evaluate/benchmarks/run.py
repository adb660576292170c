"""A benchmark from its rows to its scores, in a folder of its own that another run of the same goes on with.

    circumstances.json   what was measured, how and where: the folder's name holds its hash
    samples.jsonl        every answer, a line as soon as it is there
    verdicts.jsonl       of every answer, in the same order: verdict, detail, CPU seconds
    results.json         the scores, once all is judged

`results.json`: {"schema": 2, "benchmark", "model", "pass_at_k": {k: score}, "groups": {language or kind: {"problems",
"pass_at_k"}}, "verdicts": {verdict: count}, "reference_bits_per_byte": score or null, "refused", "unusable_languages",
"generation" (how fast the model is here and what it takes: `_generation`), "circumstances"}, where a score is {"value",
"low", "high"}, 95 %, clustered by problem.
"""

from __future__ import annotations

import json
import platform
import resource
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from repotune.core.artefact import digest, file_digest, write_atomically
from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.core.flow import locked
from repotune.core.hardware import memory_bandwidth
from repotune.core.hardware import probe as probe_hardware
from repotune.evaluate.benchmarks.formats import problems_of
from repotune.evaluate.benchmarks.judging import LIMITS, References, check_references, judge
from repotune.evaluate.benchmarks.likelihood import reference_bits_per_byte
from repotune.evaluate.benchmarks.pass_at_k import pass_at_k_score
from repotune.evaluate.benchmarks.problem import Problem
from repotune.evaluate.benchmarks.reading import read_rows
from repotune.evaluate.benchmarks.sampling import Answer, Drawing, draw, line_of, missing, read_answers
from repotune.evaluate.benchmarks.syntax_holes import syntax_holes
from repotune.evaluate.languages.language import load_languages
from repotune.evaluate.own_code.held_out import number
from repotune.evaluate.sandbox.confinement import Level
from repotune.evaluate.sandbox.execution import Outcome, Verdict
from repotune.evaluate.sandbox.probe import probe, require
from repotune.infer.engine import Engine
from repotune.infer.opening import open_engine
from repotune.infer.speed import measure, throughput
from repotune.model.weights import read_config
from repotune.tokenizer.encoding import Codec, load_codec

KS = (1, 10, 100)
SYNTAX = "syntax"
_BYTES = {"f32": 4, "bf16": 2, "int8": 1, "fp8": 1, "int4": 0.5}


@dataclass(frozen=True)
class Asked:
    """What is to be measured: a benchmark (`read_rows`), a share of it, and how answers are drawn.

    `part` leaves only problems whose id begins with it; "syntax" makes holes in the references (`syntax_holes`).
    `most` problems are taken by a hash, so that fewer are a sample of more.
    """

    source: str
    drawing: Drawing = field(default_factory=Drawing)
    part: str = ""
    most: int | None = None
    level: Level | None = None


def run_benchmark(model: Path, asked: Asked, results: Path, console: Console) -> Path:
    """Measures the model in folder `model` (a release or any Hugging Face folder that the engine reads) and returns the
    folder in `results` with its scores. Raises UserError for a benchmark or a model that cannot be read, and where the
    sandbox does not reach the level."""
    level = _level(asked.level)
    problems = _problems(asked)
    references = check_references(problems, level)
    if not references.usable:
        reasons = references.unusable_languages or references.refused
        raise UserError(f"No reference of {asked.source} passes: {next(iter(reasons.values()))}", "repotune doctor")
    references = replace(references, usable=_sample(references.usable, asked.most))
    engine, codec = open_engine(model), load_codec(model)
    circumstances = _circumstances(model, asked, references.usable, level, engine)
    folder = results / _name(asked) / f"{model.resolve().name}-{digest(circumstances)[:8]}"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        write_atomically(folder / "circumstances.json", _json(circumstances))
        there = read_answers(folder / "samples.jsonl")
        _draw_missing(engine, codec, references.usable, there, asked, folder, console)
        generation = _generation(model, engine)
        answers = read_answers(folder / "samples.jsonl")
        outcomes = _judge(references.usable, answers, level, console)
        write_atomically(folder / "verdicts.jsonl", "".join(map(_verdict_line, answers, outcomes)))
        bits = reference_bits_per_byte(model, references.usable, codec)
        scores = _scores(references, answers, outcomes) | {
            "schema": 2,
            "benchmark": _name(asked),
            "model": model.resolve().name,
            "reference_bits_per_byte": bits.as_json() if bits else None,
            "generation": generation,
            "circumstances": circumstances,
        }
        write_atomically(folder / "results.json", _json(scores))
    return folder


def _endings() -> dict[str, str]:
    return {key: language.extension for key, language in load_languages().items()}


def _level(asked: Level | None) -> Level:
    """The level asked for, else the best that the machine reaches, which must hold code that nobody has read."""
    level = max(probe().level, Level.CONFINED) if asked is None else asked
    require(level)
    return level


def _problems(asked: Asked) -> list[Problem]:
    problems = problems_of(read_rows(asked.source))
    if asked.part == SYNTAX:
        problems = syntax_holes(problems)
    else:
        problems = [problem for problem in problems if problem.id.startswith(asked.part)]
    if not problems:
        raise UserError(f"{asked.source} holds no problem that begins with {asked.part!r}.", "choose another --part")
    return problems


def _sample(problems: list[Problem], most: int | None) -> list[Problem]:
    """`most` of `problems`, in their order."""
    chosen = sorted((problem.id for problem in problems), key=lambda identity: number(0, identity))[:most]
    return [problem for problem in problems if problem.id in set(chosen)]


def _name(asked: Asked) -> str:
    stem = Path(asked.source).name.partition(".")[0]
    return f"{stem}-{asked.part}".replace("/", "-").strip("-").lower()


def read_scores(folder: Path) -> list[str]:
    """The scores in the folder of a run, a line each."""
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    lines = [
        f"{results['benchmark']}, {name}: "
        + ", ".join(f"pass@{k} {100 * score['value']:.1f} %" for k, score in of["pass_at_k"].items())
        + f" of {of['problems']:,} problems"
        for name, of in results["groups"].items()
    ]
    return lines + [f"{key} is not scored: {reason}" for key, reason in results["unusable_languages"].items()]


def _draw_missing(
    engine: Engine,
    codec: Codec,
    problems: Sequence[Problem],
    there: Sequence[Answer],
    asked: Asked,
    folder: Path,
    console: Console,
) -> None:
    wanted = missing(problems, asked.drawing.samples, there)
    with (
        (folder / "samples.jsonl").open("a", encoding="utf-8") as file,
        console.progress(f"{_name(asked)}: answers", len(wanted), "answers") as progress,
    ):
        for answer in draw(engine, codec, wanted, asked.drawing, _endings()):
            file.write(line_of(answer))
            file.flush()
            progress.advance(note=answer.problem)


def _judge(problems: Sequence[Problem], answers: Sequence[Answer], level: Level, console: Console) -> list[Outcome]:
    by_id = {problem.id: problem for problem in problems}
    with console.progress("verdicts", len(answers), "programs") as progress:
        return judge([(by_id[answer.problem], answer.text) for answer in answers], level, progress.advance)


def _scores(references: References, answers: Sequence[Answer], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Harness errors are no answers: they are counted, and neither pass nor fail."""
    verdicts: dict[str, list[Verdict]] = {problem.id: [] for problem in references.usable}
    for answer, outcome in zip(answers, outcomes, strict=True):
        if outcome.verdict is not Verdict.HARNESS_ERROR:
            verdicts[answer.problem].append(outcome.verdict)
    groups: dict[str, list[Problem]] = {}
    for problem in references.usable:
        groups.setdefault(problem.kind or problem.language, []).append(problem)
    return {
        "pass_at_k": _pass_at_k(references.usable, verdicts),
        "groups": {
            name: {"problems": len(of), "pass_at_k": _pass_at_k(of, verdicts)} for name, of in sorted(groups.items())
        },
        "verdicts": dict(Counter(str(outcome.verdict) for outcome in outcomes).most_common()),
        "refused": references.refused,
        "unusable_languages": references.unusable_languages,
    }


def _pass_at_k(problems: Sequence[Problem], verdicts: Mapping[str, Sequence[Verdict]]) -> dict[str, Any]:
    counts = [(len(of), of.count(Verdict.PASSED)) for of in (list(verdicts[problem.id]) for problem in problems)]
    most = max(total for total, _ in counts)
    clusters = [problem.cluster for problem in problems]
    return {str(k): pass_at_k_score(counts, k, clusters).as_json() for k in KS if k <= most}


def _circumstances(
    model: Path, asked: Asked, problems: Sequence[Problem], level: Level, engine: Engine
) -> dict[str, Any]:
    return {
        "weights": {path.name: file_digest(path) for path in sorted(model.glob("*.safetensors"))},
        "precision": engine.precision,
        "drawing": asdict(asked.drawing),
        "problems": {"count": len(problems), "sha256": digest([asdict(problem) for problem in problems])},
        "sandbox": {"level": level.name.lower(), "limits": asdict(LIMITS)},
        "environment": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "system": platform.system(),
            "processor": probe_hardware(Path()).processor,
            "threads": torch.get_num_threads(),
        },
    }


def _generation(model: Path, engine: Engine) -> dict[str, Any]:
    """Tokens a second of one stream, of its prompt, and of 50 streams together (null where the engine has them take
    turns), the most memory that the process has held, and which share of the machine's bandwidth is used by reading
    all weights for each token of the one stream."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    speed, together = measure(engine, rounds=1), throughput(engine)
    read = read_config(model).parameters() * _BYTES[engine.precision] * speed.tokens_per_second
    return {
        "tokens_per_second": round(speed.tokens_per_second, 2),
        "prompt_tokens_per_second": round(speed.prompt / speed.cold, 2),
        "tokens_per_second_of_50": None if together is None else round(together, 2),
        "peak_memory": peak,
        "bandwidth_share": round(read / memory_bandwidth(), 4),
    }


def _verdict_line(answer: Answer, outcome: Outcome) -> str:
    fields = {"problem": answer.problem, "number": answer.number, "verdict": str(outcome.verdict)}
    return _line(fields | {"detail": outcome.detail, "cpu_seconds": round(outcome.cpu_seconds, 4)})


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
