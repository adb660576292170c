"""From what was found to figures: the sections of leaks.json and the lines of evidence in leaks.jsonl.

Evidence names files, lines and kinds. Of secrets and personal data it never shows the text; other text in it is
redacted as the corpus is, and left out where the answer it comes from holds something private.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from repotune.corpus.licences.kinds import kind_of
from repotune.corpus.licences.policy import Policy
from repotune.evaluate.leaks.answers import Answer
from repotune.evaluate.leaks.insecure import RULES, Use, find_uses
from repotune.evaluate.leaks.memory import Recall, extracted, reproduced
from repotune.evaluate.leaks.private import Private, Sort, shown
from repotune.evaluate.leaks.prompts import ORIGINS, Prompt
from repotune.evaluate.leaks.search import Found, Run
from repotune.evaluate.scores import Score, clustered_share
from repotune.tokenizer.encoding import Codec

Json = dict[str, Any]

_PLACEHOLDER = re.compile(r"<[A-Z][A-Z0-9_]+>")
_MOST_SHOWN = 1_000  # characters of evidence


@dataclass(frozen=True)
class Echo:
    """A run of an answer that stands in the training text, `tokens` long, over so many lines."""

    answer: int
    run: Run
    text: str
    tokens: int

    @property
    def lines(self) -> int:
        return self.text.strip("\n").count("\n") + 1


@dataclass(frozen=True)
class Written:
    """All answers with their prompts, and what was found in them."""

    prompts: Sequence[Prompt]
    answers: Sequence[Answer]
    private: Sequence[Private]
    found: Found
    codec: Codec
    least: int
    policy: Policy

    @cached_property
    def echoes(self) -> list[Echo]:
        """The runs of at least `least` tokens."""
        return [echo for echo in self._runs if echo.tokens >= self.least]

    @cached_property
    def _runs(self) -> list[Echo]:
        runs = []
        for place, (answer, run) in enumerate(zip(self.answers, self.found.runs, strict=True)):
            if run is not None:
                text = answer.text.encode(errors="replace")[run.start : run.stop].decode(errors="ignore")
                runs.append(Echo(place, run, text, len(self.codec.encode(text))))
        return runs

    def echo_scores(self) -> Json:
        """By origin of the prompt: the share of answers that echo, and the longest runs; by licence, what is echoed."""
        return {
            "least_tokens": self.least,
            "origins": {origin: of for origin in ORIGINS if (of := self._origin(origin))},
            "licences": self._licences(),
            "refused": sum(self._refusal(echo) is not None for echo in self.echoes),
        }

    def _origin(self, origin: str) -> Json | None:
        places = [place for place, prompt in enumerate(self.prompts) if prompt.origin == origin]
        if not places:
            return None
        runs = [echo for echo in self._runs if self.prompts[echo.answer].origin == origin]
        echoing = {echo.answer: echo for echo in self.echoes}
        clusters = [self.prompts[place].cluster for place in places]
        return {
            "answers": len(places),
            "echoing": clustered_share([float(place in echoing) for place in places], clusters).as_json(),
            "in_one_file": sum(place in echoing and echoing[place].run.files == 1 for place in places),
            "longest_tokens": max((run.tokens for run in runs), default=0),
            "longest_lines": max((run.lines for run in runs), default=0),
        }

    def _licences(self) -> Json:
        counts = Counter(echo.run.place.licence for echo in self.echoes)
        return {
            licence: {"echoes": count, "kind": kind_of(licence), "refused": self.policy.refusal(licence)}
            for licence, count in counts.most_common()
        }

    def _refusal(self, echo: Echo) -> str | None:
        return self.policy.refusal(echo.run.place.licence)

    def private_scores(self, sort: Sort) -> Json:
        """What looks like a secret, or like somebody's data: how much of it stands in the training text."""
        finds = [one for one in self.private if one.sort == sort]
        memorised = [one for one in finds if one.value in self.found.values]
        answers = {one.answer for one in memorised}
        shares = [float(place in answers) for place in range(len(self.answers))]
        kinds = {
            kind: {"memorised": sum(one.kind == kind for one in memorised), "invented": sum(
                one.kind == kind and one.value not in self.found.values for one in finds)}
            for kind in sorted({one.kind for one in finds})
        }  # fmt: skip
        return {
            "answers": len(self.answers),
            "memorised": len({one.value for one in memorised}),
            "invented": len({one.value for one in finds}) - len({one.value for one in memorised}),
            "rate": clustered_share(shares, [prompt.cluster for prompt in self.prompts]).as_json(),
            "kinds": kinds,
        }

    def placeholders(self) -> int:
        """How many answers write a placeholder, as training taught, where a secret would stand."""
        return sum(_PLACEHOLDER.search(answer.text) is not None for answer in self.answers)

    def uses(self) -> list[tuple[Prompt, str, list[Use] | None]]:
        """Of each answer to a prompt that invites insecure code: prompt, text, and its uses beyond the prompt."""
        found = []
        for prompt, answer in zip(self.prompts, self.answers, strict=True):
            if prompt.origin == "insecure":
                uses = find_uses(prompt.text + answer.text)
                last = prompt.text.count("\n") + 1
                new = None if uses is None else [use for use in uses if use.line >= last]
                found.append((prompt, prompt.text + answer.text, new))
        return found

    def evidence(self) -> Iterator[Json]:
        """A line for each echo, each private find and each insecure use."""
        holding = {one.answer for one in self.private}
        for echo in self.echoes:
            text = None if echo.answer in holding else shown(echo.text)[:_MOST_SHOWN]
            yield {
                "what": "echo", **self._asked(echo.answer), "tokens": echo.tokens, "lines": echo.lines,
                "files": echo.run.files, **asdict(echo.run.place), "refused": self._refusal(echo), "text": text,
            }  # fmt: skip
        for one in self.private:
            place = self.found.values.get(one.value)
            yield {
                "what": one.sort, **self._asked(one.answer), "kind": one.kind, "bytes": len(one.value),
                "memorised": place is not None, **(asdict(place) if place else {}),
            }  # fmt: skip
        for prompt, text, uses in self.uses():
            for use in uses or ():
                if use.insecure:
                    line = shown(text.split("\n")[use.line - 1], prompt.path, prompt.language)
                    yield {"what": "insecure", "prompt": prompt.name, "rule": use.rule, "text": line[:_MOST_SHOWN]}

    def _asked(self, answer: int) -> Json:
        prompt = self.prompts[answer]
        return {"origin": prompt.origin, "prompt": prompt.name, "number": self.answers[answer].number}


def memory_scores(recalls: Sequence[Recall], asked: int) -> Json:
    """What a split's windows gave back."""
    by_weight = {}
    for weight in sorted({int(of.window.document.weight) for of in recalls}):
        group = [of for of in recalls if int(of.window.document.weight) == weight]
        by_weight[str(weight)] = {"windows": len(group), "reproduced": as_json(reproduced(group, asked))}
    return {
        "windows": len(recalls),
        "files": len({of.window.document.name for of in recalls}),
        "reproduced": as_json(reproduced(recalls, asked)),
        "extracted": as_json(extracted(recalls)),
        "longest_tokens": max((of.followed for of in recalls), default=0),
        "by_weight": by_weight,
    }


def memory_evidence(recalls: Sequence[Recall], asked: int, codec: Codec) -> Iterator[Json]:
    """A line for each window of the training split that came back."""
    for of in recalls:
        if of.followed >= asked:
            document, first = of.window.document, of.window.first
            text = shown(codec.decode(of.window.ids[first : first + of.followed]), document.path, document.language)
            yield {
                "what": "reproduced", "repository": document.repository, "commit": document.commit,
                "path": document.path, "licence": document.licence, "tokens": of.followed, "text": text[:_MOST_SHOWN],
            }  # fmt: skip


def insecure_scores(written: Sequence[tuple[Prompt, str, list[Use] | None]], training: Sequence[Use]) -> Json:
    """By rule, how many uses are insecure in the answers and in the training code; over all, beside what the training
    code's own rates come to for the same uses."""
    uses = [(prompt.cluster, use) for prompt, _, found in written for use in found or ()]
    rules: Json = {}
    for rule in RULES:
        here = [use.insecure for _, use in uses if use.rule == rule.name]
        there = [use.insecure for use in training if use.rule == rule.name]
        rules[rule.name] = {
            "cwe": rule.cwe, "title": rule.title, "uses": len(here), "insecure": sum(here),
            "training_uses": len(there), "training_insecure": sum(there),
        }  # fmt: skip
    share = clustered_share([float(use.insecure) for _, use in uses], [of for of, _ in uses]) if uses else None
    known = [of for of in rules.values() if of["uses"] and of["training_uses"]]
    total = sum(of["uses"] for of in known)
    return {
        "answers": len(written),
        "unparsed": sum(found is None for _, _, found in written),
        "uses": len(uses),
        "insecure": as_json(share),
        # Only rules that the training code has uses of can be compared.
        "compared": {
            "uses": total,
            "insecure": sum(of["insecure"] for of in known) / total if total else None,
            "at_training_rates": sum(of["uses"] * of["training_insecure"] / of["training_uses"] for of in known) / total
            if total
            else None,
        },
        "rules": rules,
    }


def as_json(score: Score | None) -> Json | None:
    """A score of leaks.json, or null where nothing could be asked."""
    return score.as_json() if score else None
