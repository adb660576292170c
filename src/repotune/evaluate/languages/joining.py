"""How a benchmark's prompt, a model's answer and the tests become one program, as MultiPL-E has them.

A model that continues the prompt is cut at the first of the stop tokens, and the tests follow. A model that was asked
in a chat answers with a whole file, often between ``` and with examples or a main function of its own after what was
asked for: of that everything up to the end of the function is kept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from repotune.evaluate.languages.language import Language

_FENCED = re.compile(r"^```[^\n]*\n(.*?)(?:^```|\Z)", re.DOTALL | re.MULTILINE)
_REMARK = re.compile(r"\s*(?://|#|--|;|/\*|\*|>>>)")
_IMPORT = re.compile(r"(?:#include|import\b|using\b|use\b|#lang|<\?php).*")
_CLOSERS = ("}", "end", ")", "]")


def join_completion(prompt: str, completion: str, tests: str, stop: Sequence[str]) -> str:
    """The program of a model that continued `prompt`."""
    ends = [place for token in stop if (place := completion.find(token)) >= 0]
    return f"{prompt}{completion[: min(ends, default=len(completion))]}\n{tests}"


def join_whole(language: Language, prompt: str, answer: str, tests: str) -> str:
    """The program of a chat's `answer`: its first block of code, or all of it where there is none.

    Imports of `prompt` that it left out come first. An answer in which the function asked for does not occur is taken
    as what follows the prompt.
    """
    fenced = _FENCED.search(answer)
    code = (fenced.group(1) if fenced else answer).replace("\r\n", "\n")
    name = _asked_for(language, prompt)
    lines = code.split("\n")
    start = _definition(lines, name) if name else None
    if start is None:
        return f"{prompt}{code}\n{tests}"
    kept = "\n".join(lines[: _end(lines, start)])
    if tests.lstrip().startswith("}"):
        kept = kept.rstrip().removesuffix("}")
    present = set(lines)
    missing = [line for line in prompt.split("\n") if _IMPORT.fullmatch(line) and line not in present]
    return "\n".join([*missing, kept, tests])


def _asked_for(language: Language, prompt: str) -> str | None:
    """The name in the last line of `prompt` that is a signature and no remark."""
    for line in reversed(prompt.split("\n")):
        found = None if _REMARK.match(line) else re.search(language.signature, line)
        if found:
            return found.group(1)
    return None


def _definition(lines: Sequence[str], name: str) -> int | None:
    mention = re.compile(rf"(?<![\w.]){re.escape(name)}(?![\w-])")
    return next((at for at, line in enumerate(lines) if mention.search(line) and not _REMARK.match(line)), None)


def _end(lines: Sequence[str], start: int) -> int:
    """Where the function that starts at a line has ended: by indentation, which models keep even where nobody asks."""
    margin = _indentation(lines[start])
    for at in range(start + 1, len(lines)):
        line = lines[at].strip()
        if not line or line.startswith("{") or _indentation(lines[at]) > margin:
            continue
        return at + 1 if line.startswith(_CLOSERS) else at
    return len(lines)


def _indentation(line: str) -> int:
    expanded = line.expandtabs(4)
    return len(expanded) - len(expanded.lstrip())
