"""The report step: one page that stands alone, report.html, and the same content as report.md.

The page needs no script, no network and no other file: it can be mailed, printed and kept.
"""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from repotune.core.artefact import write_atomically
from repotune.core.errors import UserError
from repotune.core.flow import Work
from repotune.report import content
from repotune.report.inputs import Inputs, read_inputs
from repotune.report.markdown import code_block, one_line
from repotune.report.samples import RULE, choose_samples
from repotune.report.scores import scores_section


def build_report(work: Work, name: str) -> None:
    """Writes report.html and report.md. Raises UserError where an input is absent, damaged or lacks a key."""
    inputs = read_inputs(work)
    try:
        said = _content(inputs, name)
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise UserError(
            f"What the steps wrote does not fit together ({type(error).__name__}: {error}).",
            "a folder may come from another version; remove it from the workspace and repeat: repotune run",
        ) from error
    for template, target in (("report.html.j2", "report.html"), ("report.md.j2", "report.md")):
        text = _environment().get_template(template).render(said)
        # Code may hold lone surrogates, which no file can.
        write_atomically(work.folder / target, text.encode(errors="replace").decode() + "\n")


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


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("repotune.report"),
        autoescape=lambda template: template is not None and template.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"one_line": one_line, "code_block": code_block}
    return environment
