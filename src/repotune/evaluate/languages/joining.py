"""How a benchmark's prompt, a model's answer and the tests become one program, as MultiPL-E has them.

A model that continues the prompt is cut at the first of the stop tokens, and the tests follow. A model that was asked
in a chat answers with a whole file, often between ``` and with examples, tests and a main function of its own after
what was asked for: of those only functions that it may need are kept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from repotune.evaluate.languages.language import Language

_FENCED = re.compile(r"^```[^\n]*\n(.*?)(?:^```|\Z)", re.DOTALL | re.MULTILINE)
_REMARK = re.compile(r"\s*(?://|#|--|;|/\*|\*|>>>)")
_IMPORT = re.compile(r"(?:#include|import\b|using\b|use\b|#lang|<\?php).*")
_GO_IMPORT = re.compile(r'^(?:import)?\s*("[\w/]+")$', re.MULTILINE)
_NEVER_NEEDED = re.compile(r"main|test\w*", re.IGNORECASE)
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
    end = _end(lines, start)
    kept = "\n".join([*lines[:end], *_helpers(language, lines[end:], _indentation(lines[start]))])
    if tests.lstrip().startswith("}"):
        kept = kept.rstrip().removesuffix("}")
    return f"{_with_imports(language, prompt, kept)}\n{tests}"


def _with_imports(language: Language, prompt: str, code: str) -> str:
    """`code` with what `prompt` imports and it does not, which the tests may use."""
    present = set(code.split("\n"))
    if language.key != "go":
        missing = [line for line in prompt.split("\n") if _IMPORT.fullmatch(line) and line not in present]
        return "\n".join([*missing, code])
    package = next(line for line in prompt.split("\n") if line.startswith("package "))
    head = code.partition("\nfunc ")[0]  # Go takes imports only before all else, and none twice
    lacking = [f"import {path}" for path in _GO_IMPORT.findall(prompt) if path not in _GO_IMPORT.findall(head)]
    rest = code.partition("package ")[2].partition("\n")[2] if "package " in head else code
    return "\n".join([package, *lacking, rest])


def _asked_for(language: Language, prompt: str) -> str | None:
    """The name in the last line of `prompt` that is a signature and no remark."""
    for line in reversed(prompt.split("\n")):
        found = None if _REMARK.match(line) else re.search(language.signature, line)
        if found:
            return found.group(1)
    return None


def _definition(lines: Sequence[str], name: str) -> int | None:
    """The first line that mentions a name and is no remark."""
    mention, within = re.compile(rf"(?<![\w.]){re.escape(name)}(?![\w-])"), False
    for at, line in enumerate(lines):
        if not within and mention.search(line) and not _REMARK.match(line):
            return at
        opened, closed = line.rfind("/*"), line.rfind("*/")
        within = opened > closed if max(opened, closed) >= 0 else within
    return None


def _end(lines: Sequence[str], start: int) -> int:
    """Where the function that starts at a line has ended: by indentation, which models keep even where nobody asks."""
    margin = _indentation(lines[start])
    for at in range(start + 1, len(lines)):
        line = lines[at].strip()
        if not line or line.startswith("{") or _indentation(lines[at]) > margin:
            continue
        return at + 1 if line.startswith(_CLOSERS) else at
    return len(lines)


def _helpers(language: Language, lines: Sequence[str], margin: int) -> list[str]:
    """Functions at the indentation `margin`, up to the end of what encloses them."""
    kept: list[str] = []
    at = 0
    while at < len(lines):
        line, start = lines[at].rstrip(), at
        if not line or _REMARK.match(line):
            at += 1
            continue
        if _indentation(line) < margin:
            break
        at = max(_end(lines, start), start + 1)
        found = re.search(language.signature, line)
        if found and not line.endswith(";") and not _NEVER_NEEDED.fullmatch(found.group(1)):
            kept += lines[start:at]
    return kept


def _indentation(line: str) -> int:
    expanded = line.expandtabs(4)
    return len(expanded) - len(expanded.lstrip())
