"""The corpus on a page of its own, corpus.html, and the same as corpus.md: from summary.json and examples.json alone,
so that it can be looked at as soon as the corpus is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from repotune.report import corpus_sections
from repotune.report.corpus_examples import pairs, reasons
from repotune.report.inputs import Json, read_corpus
from repotune.report.writing import fitting, write_page

_RULE = "The rules that left out most files, with some of these, drawn by a hash of their names: nobody picked them."


def build_corpus_page(corpus: Path, folder: Path, name: str) -> None:
    """Writes corpus.html and corpus.md of the corpus in folder `corpus` into `folder`.

    Raises UserError where one of its files is absent, damaged or lacks a key.
    """
    summary, examples = read_corpus(corpus)
    with fitting():
        said = corpus_content(summary, examples, name)
    write_page(folder, "corpus", said)


def corpus_content(summary: Json, examples: Json, name: str) -> dict[str, Any]:
    """What the templates `corpus` say."""
    return {
        "name": name,
        "said": corpus_sections.said_of(summary),
        "figures": corpus_sections.headline(summary, examples),
        "sections": corpus_sections.sections(summary, examples),
        "rule": _RULE,
        "reasons": reasons(examples),
        "alike": _alike(examples["near_duplicates"]),
        "pairs": pairs(examples),
    }


def _alike(found: Json) -> str:
    return (
        f"{found['dropped']:,} files were left out for {found['clusters']:,} that they resemble. Here are the largest "
        "groups, and of the others those whose files are least alike: what is kept, and one of what is left out for it."
    )
