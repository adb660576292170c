"""What must not come out of a model, measured: `leaks.json`, and the evidence of it in `leaks.jsonl`.

A score is {"value", "low", "high"}, a 95 % interval clustered by file or prompt, or null where nothing could be asked.

    schema         1
    model, said    the folder's name; the result in a sentence
    memory         {"given", "asked", "training" and "held_out": {"windows", "files", "reproduced": score, "extracted":
                   score, "longest_tokens", "by_weight": {weight: {"windows", "reproduced"}}}}: `evaluate.leaks.memory`
    echoes         {"least_tokens", "origins": {origin: {"answers", "echoing": score, "in_one_file", "longest_tokens",
                   "longest_lines"}}, "licences": {licence: {"echoes", "kind", "refused"}}, "refused"}: runs of answers
                   that stand anywhere in the training text, and whether the project's policy refuses their licence
    secrets, personal   {"answers", "memorised", "invented", "rate": score, "kinds": {kind: {"memorised", "invented"}}}:
                   different values in answers, by whether the training text holds them as such (what it does not may
                   come from a base); the rate of answers with one that it holds
    placeholders   how many answers write a placeholder where a secret would stand
    canaries       [{"canary", "form", "rank", "alternatives", "bits", "chance"}…]: `evaluate.leaks.canaries`
    insecure       {"answers", "unparsed", "uses", "insecure": score, "compared": {"uses", "insecure",
                   "at_training_rates"}, "rules": {rule: {"cwe", "title", "uses", "insecure", "training_uses",
                   "training_insecure"}}}: `evaluate.leaks.insecure`
    circumstances  what was measured, and how

Origins of prompts are `training` and `held_out` (the middle of files), `placeholder` (what stands before one in the
training text), `secret`, `personal` and `insecure` (beginnings that invite them).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from repotune import __version__
from repotune.core.artefact import digest, file_digest, write_atomically
from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.core.flow import locked
from repotune.core.settings import CorpusSettings
from repotune.corpus.licences.policy import policy
from repotune.corpus.split import split_files
from repotune.evaluate.leaks import scoring
from repotune.evaluate.leaks.answers import Answer, Drawing, append_answers, draw, read_answers, wanted
from repotune.evaluate.leaks.canaries import Canary, measure_exposure
from repotune.evaluate.leaks.documents import Document, draw_documents, read_documents
from repotune.evaluate.leaks.insecure import LANGUAGE, Use, find_uses, insecure_prompts
from repotune.evaluate.leaks.memory import Recall, Window, draw_windows, recall
from repotune.evaluate.leaks.private import Confirmed, find_private
from repotune.evaluate.leaks.prompts import Prompt, inviting_prompts, placeholder_prompts, window_prompts
from repotune.evaluate.leaks.search import search
from repotune.infer.engine import Engine
from repotune.infer.opening import open_engine
from repotune.model.network import Network
from repotune.model.weights import load_model
from repotune.tokenizer.encoding import Codec, load_codec

RESULT_NAME, EVIDENCE_NAME = "leaks.json", "leaks.jsonl"
_ANSWERS_NAME = ".answers.jsonl"
_CONTROL_FILES = 1_000  # of training code, for the rate of insecure patterns in it


@dataclass(frozen=True)
class LeakSettings:
    """How much is asked. `prompts` are windows of each split, and answers to places before placeholders; of a window
    `given` tokens are shown and `asked` have to come back. `policy` are the project's settings that say which
    licences it learns from."""

    prompts: int = 200
    given: int = 50
    asked: int = 50
    samples: int = 4
    answer_tokens: int = 100
    temperature: float = 0.8
    top_p: float = 0.95
    alternatives: int = 1023
    canaries: tuple[Canary, ...] = ()
    policy: CorpusSettings = field(default_factory=CorpusSettings)

    def __post_init__(self) -> None:
        for name in ("prompts", "given", "asked", "alternatives"):
            if getattr(self, name) < 1:
                raise UserError(f"Leaks are measured with {name} of at least 1, not {getattr(self, name)}.")


@dataclass(frozen=True)
class Leaks:
    """The result in `folder`; `data` is leaks.json."""

    folder: Path
    data: dict[str, Any]

    @property
    def memorised(self) -> int:
        """How many different secrets and personal data of the training text came out."""
        return int(self.data["secrets"]["memorised"] + self.data["personal"]["memorised"])

    def passes(self, rate: float) -> bool:
        """Whether no secret and no personal data of the training text came out, and at most `rate` of the windows of
        the training split came back."""
        score = self.data["memory"]["training"]["reproduced"]
        return not self.memorised and (score is None or score["value"] <= rate)


def measure_leaks(
    model: Path, corpus: Path, results: Path, settings: LeakSettings, console: Console, seed: int
) -> Leaks:
    """Measures the model in folder `model` against the corpus that it was trained on. The result goes into a folder of
    its own in `results`; what was measured before under the same circumstances is returned as it is, and what was
    interrupted goes on. Raises UserError for a model or a corpus that cannot be read."""
    network, codec, engine = load_model(model), load_codec(model), open_engine(model)
    circumstances = _circumstances(model, corpus, settings, engine, seed)
    folder = results / f"{model.resolve().name}-{digest(circumstances)[:8]}"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        if (folder / RESULT_NAME).is_file():
            return read_leaks(folder)
        measured = _Measurement(network, codec, engine, corpus, settings, console, seed)
        data, evidence = measured.run(folder / _ANSWERS_NAME)
        data = {"schema": 1, "model": model.resolve().name, "said": _said(data), **data, "circumstances": circumstances}
        lines = [json.dumps(line, ensure_ascii=False) + "\n" for line in evidence]
        write_atomically(folder / EVIDENCE_NAME, "".join(lines).encode(errors="replace").decode())
        write_atomically(folder / RESULT_NAME, json.dumps(data, indent=2, ensure_ascii=False) + "\n")
        (folder / _ANSWERS_NAME).unlink(missing_ok=True)
    return Leaks(folder, data)


def read_leaks(folder: Path) -> Leaks:
    """The result in `folder`. Raises UserError where it is absent or damaged."""
    path = folder / RESULT_NAME
    try:
        return Leaks(folder, json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise UserError(f"There is no {path}.", "repotune evaluate leaks measures it") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged: {error}.", f"remove {folder} and repeat") from error


@dataclass(frozen=True)
class _Measurement:
    """A measurement under way."""

    network: Network
    codec: Codec
    engine: Engine
    corpus: Path
    settings: LeakSettings
    console: Console
    seed: int

    def run(self, answers: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The sections of leaks.json, and the evidence."""
        training, held_out = (self._recall(self._windows(split)) for split in ("train", "test"))
        if not training:
            raise UserError(
                f"No file of the training split has {self.settings.given + self.settings.asked} tokens.",
                "ask for fewer tokens",
            )
        written = self._written(self._prompts(training, held_out), answers)
        asked = self.settings.asked
        data = {
            "memory": {
                "given": self.settings.given,
                "asked": asked,
                "training": scoring.memory_scores(training, asked),
                "held_out": scoring.memory_scores(held_out, asked),
            },
            "echoes": written.echo_scores(),
            "secrets": written.private_scores("secret"),
            "personal": written.private_scores("personal"),
            "placeholders": written.placeholders(),
            "canaries": self._canaries(),
            "insecure": scoring.insecure_scores(written.uses(), self._training_uses()),
        }
        return data, [*scoring.memory_evidence(training, asked, self.codec), *written.evidence()]

    def _training(self) -> Iterator[Document]:
        return read_documents(self.corpus, "train")

    def _windows(self, split: str) -> list[Window]:
        s = self.settings
        least = s.given + s.asked  # characters: no token has less than a byte
        documents = (of for of in read_documents(self.corpus, split) if len(of.text.encode(errors="replace")) >= least)
        drawn = draw_documents(documents, s.prompts, self.seed)
        return draw_windows(drawn, self.codec, s.given, s.asked, self.network.config.context, s.prompts, self.seed)

    def _recall(self, windows: Sequence[Window]) -> list[Recall]:
        with self.console.progress("windows recalled", len(windows), "windows") as progress:
            return recall(self.network, windows, self.settings.asked, progress)

    def _prompts(self, training: Sequence[Recall], held_out: Sequence[Recall]) -> list[Prompt]:
        return [
            *window_prompts([of.window for of in training], "training", self.codec),
            *window_prompts([of.window for of in held_out], "held_out", self.codec),
            *placeholder_prompts(self._training(), -(-self.settings.prompts // self.settings.samples), self.seed),
            *inviting_prompts("secret"),
            *inviting_prompts("personal"),
            *insecure_prompts(),
        ]

    def _written(self, prompts: Sequence[Prompt], path: Path) -> scoring.Written:
        s = self.settings
        drawing = Drawing(s.samples, s.answer_tokens, s.temperature, s.top_p, self.seed)
        asked = wanted(prompts, drawing)
        there = read_answers(path)
        left = asked[len(there) :]
        answers: list[Answer] = [*there]
        with self.console.progress("answers", len(left), "answers") as progress:
            for answer in append_answers(path, draw(self.engine, self.codec, left, drawing)):
                answers.append(answer)
                progress.advance()
        of_answers = [prompt for prompt, _ in asked]
        private = find_private(of_answers, answers)
        texts = [answer.text.encode(errors="replace") for answer in answers]
        found = search(self._training(), texts, {one.value for one in private}, Confirmed(private))
        return scoring.Written(of_answers, answers, private, found, self.codec, s.asked, policy(s.policy))

    def _training_uses(self) -> list[Use]:
        python = (document for document in self._training() if document.language == LANGUAGE)
        drawn = draw_documents(python, _CONTROL_FILES, self.seed)
        return list(chain.from_iterable(find_uses(document.text) or () for document in drawn))

    def _canaries(self) -> list[dict[str, Any]]:
        s = self.settings
        with self.console.progress("canaries", len(s.canaries), "canaries") as progress:
            found = measure_exposure(self.network, self.codec, s.canaries, s.alternatives, self.seed, progress)
        return [{**asdict(one), "bits": round(one.bits, 4), "chance": round(one.chance, 6)} for one in found]


def _circumstances(model: Path, corpus: Path, settings: LeakSettings, engine: Engine, seed: int) -> dict[str, Any]:
    return {
        "weights": {path.name: file_digest(path) for path in sorted(model.glob("*.safetensors"))},
        "precision": engine.precision,
        "corpus": {path.name: file_digest(path) for split in ("train", "test") for path in split_files(corpus, split)},
        # A canary's value is a secret of its own: known by a hash of the whole set alone.
        "settings": {
            **{name: value for name, value in asdict(settings).items() if name not in ("canaries", "policy")},
            "canaries": digest([asdict(canary) for canary in settings.canaries]) if settings.canaries else None,
            "policy": policy(settings.policy).wanted,
        },
        "seed": seed,
        "version": __version__,
        "torch": torch.__version__,
    }


def _said(data: dict[str, Any]) -> str:
    """The result in a sentence or two."""
    memory = data["memory"]
    training, held_out = memory["training"], memory["held_out"]
    beside = (
        f" ({_share(held_out['reproduced'])} of {held_out['windows']:,} in files that it has not seen)"
        if held_out["windows"]
        else ""
    )
    secrets, personal = (data[key]["memorised"] for key in ("secrets", "personal"))
    came = f"{secrets:,} secret{'s' * (secrets != 1)} and {personal:,} piece{'s' * (personal != 1)} of personal data"
    return (
        f"Of {training['windows']:,} places in files that it learnt from, it writes {_share(training['reproduced'])} "
        f"on exactly for {memory['asked']} tokens{beside}. {came} of the training text came out in "
        f"{data['secrets']['answers']:,} answers."
    )


def _share(score: dict[str, float]) -> str:
    return f"{100 * score['value']:.1f} %"
