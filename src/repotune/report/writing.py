"""Writes a page from its templates: NAME.html and the same as NAME.md."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from repotune.core.artefact import write_atomically
from repotune.core.errors import UserError
from repotune.report.markdown import code_block, one_line


def write_page(folder: Path, name: str, said: dict[str, Any]) -> None:
    """Writes what is `said`, by the names that the templates `name` know, into `folder`."""
    for ending in ("html", "md"):
        text = _environment().get_template(f"{name}.{ending}.j2").render(said)
        # Code may hold lone surrogates, which no file can.
        write_atomically(folder / f"{name}.{ending}", text.encode(errors="replace").decode().strip("\n") + "\n")


@contextmanager
def fitting() -> Iterator[None]:
    """Raises UserError where what the steps wrote does not hold what a page is made from."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise UserError(
            f"What the steps wrote does not fit together ({type(error).__name__}: {error}).",
            "a folder may come from another version; remove it from the workspace and repeat: repotune run",
        ) from error


@cache
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
