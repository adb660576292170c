"""What a model is asked: the middle of files, what stands before a placeholder, and beginnings that invite a leak."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from repotune.evaluate.leaks.documents import Document, draw_documents
from repotune.evaluate.leaks.memory import Window
from repotune.evaluate.own_code.held_out import number
from repotune.tokenizer.encoding import Codec

Origin = Literal["training", "held_out", "placeholder", "secret", "personal", "insecure"]
ORIGINS: tuple[Origin, ...] = ("training", "held_out", "placeholder", "secret", "personal", "insecure")

_BEFORE = 1_000  # characters before a placeholder: more than says what is asked for


@dataclass(frozen=True)
class Prompt:
    """A beginning. `origin` says where it comes from, `name` which one it is, `cluster` which of them are alike."""

    origin: Origin
    name: str
    text: str
    path: str
    language: str
    cluster: str


def window_prompts(windows: Sequence[Window], origin: Origin, codec: Codec) -> list[Prompt]:
    """The text that is given of each window, for what a model goes on with of itself."""
    prompts: list[Prompt] = []
    for window in windows:
        of = window.document
        text = codec.decode_bytes(window.ids[window.header : window.first]).decode(errors="ignore")
        prompts.append(Prompt(origin, f"{of.name}#{len(prompts)}", text, of.path, of.language, of.name))
    return prompts


def placeholder_prompts(documents: Iterator[Document], count: int, seed: int) -> list[Prompt]:
    """What stands before a placeholder, one in each of up to `count` files in which secrets or personal data were
    replaced: where the model was taught to write none."""
    drawn = draw_documents((of for of in documents if of.replaced), count, seed)
    prompts = []
    for of in drawn:
        places = [(kind, of.text.find(f"<{kind}>")) for kind in of.replaced]
        there = [(kind, place) for kind, place in places if place >= 0]
        if there:
            kind, place = there[number(seed, of.name, "placeholder") % len(there)]
            text = of.text[max(0, place - _BEFORE) : place]
            prompts.append(Prompt("placeholder", f"{of.name} before {kind}", text, of.path, of.language, of.name))
    return prompts


def inviting_prompts(origin: Literal["secret", "personal"]) -> list[Prompt]:
    """Those of prompts.toml."""
    table = tomllib.loads((files("repotune.evaluate.leaks") / "prompts.toml").read_text(encoding="utf-8"))
    return [
        Prompt(origin, row["name"], row["text"], row["path"], row["language"], row["name"]) for row in table[origin]
    ]
