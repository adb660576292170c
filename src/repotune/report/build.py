"""The report step: report.html, which stands alone, corpus.html, a closer look at the corpus, and both as Markdown.

The pages need no script, no network and no other file: they can be mailed, printed and kept.
"""

from __future__ import annotations

from typing import Any

from repotune.core.flow import Work
from repotune.report import content
from repotune.report.corpus_page import corpus_content
from repotune.report.inputs import Inputs, read_inputs
from repotune.report.samples import RULE, choose_samples
from repotune.report.scores import scores_section
from repotune.report.writing import fitting, write_page


def build_report(work: Work, name: str) -> None:
    """Writes report.html, corpus.html and both as .md. Raises UserError where an input is absent, damaged or lacks a
    key."""
    inputs = read_inputs(work)
    with fitting():
        pages = {"report": _content(inputs, name), "corpus": corpus_content(inputs.corpus, inputs.examples, name)}
    for page, said in pages.items():
        write_page(work.folder, page, said)


def _content(inputs: Inputs, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "verdict": inputs.results["verdict"],
        "figures": content.headline(inputs),
        "sections": [
            content.corpus_section(inputs.corpus),
            content.vocabulary_section(inputs.compression),
            content.training_section(inputs.metrics, inputs.manifests["run"]),
            scores_section(inputs.results),
        ],
        "samples": choose_samples(inputs.samples),
        "rule": RULE,
        "latency": content.latency_section(inputs.trial),
        "run": content.run_section(inputs),
    }
