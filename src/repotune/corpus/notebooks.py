"""Jupyter notebooks as scripts: code cells as code, prose as comments, in the notebook's own language; no outputs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from repotune.corpus.languages import language_named

# What kernels call languages that the table knows by another name.
_OTHER_NAMES = {
    "bash": "Shell",
    "ipython": "Python",
    "ir": "R",
    "node": "JavaScript",
    "python2": "Python",
    "python3": "Python",
    "sagemath": "Python",
    "tslab": "TypeScript",
    "xpython": "Python",
}
_COMMENT = {
    "C": "//",
    "C#": "//",
    "C++": "//",
    "Clojure": ";",
    "F#": "//",
    "Go": "//",
    "Groovy": "//",
    "Haskell": "--",
    "Java": "//",
    "JavaScript": "//",
    "Kotlin": "//",
    "Lua": "--",
    "MATLAB": "%",
    "PHP": "//",
    "Rust": "//",
    "SQL": "--",
    "Scala": "//",
    "Swift": "//",
    "TypeScript": "//",
}

# What a notebook may have with its outputs, which are most of one: ten times what its script may have.
MAX_NOTEBOOK_BYTES = 10_000_000

# A picture within the prose, which is no text.
_PICTURE = re.compile(r"data:[\w/+.-]*;base64,[A-Za-z0-9+/=\s]{40,}")
# IPython's own syntax, which is not Python's: `%matplotlib inline`, `!pip install x`, `files = !ls`, `?help`, `help?`.
_MAGIC = re.compile(r"([ \t]*)((?:[\w, \t]+=[ \t]*)?(?:!|%{1,2}[A-Za-z]).*|\?{1,2}[\w.]+|%?[\w.]+\?{1,2})[ \t]*")
_CELL_MAGIC = re.compile(r"\s*%%(\w+)")
_KEEPS_PYTHON = frozenset({"capture", "memit", "mprun", "prun", "time", "timeit"})


def may_be_notebook(path: str) -> bool:
    """Whether `path` is a notebook by its name; its language only its content tells."""
    return path.lower().endswith(".ipynb")


def is_notebook(path: str, data: bytes) -> bool:
    """Whether `data` at `path` is a notebook and not, as in some data sets, already the script that it amounts to."""
    return may_be_notebook(path) and data[:64].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")


def language_of_notebook(data: bytes) -> str:
    """The language of its kernel as the table of languages names it, Python where it says none, "" for others."""
    notebook = _parse(data)
    if notebook is None:
        return "Python"  # it is to be dropped as broken, not as of another language
    metadata = _dict(notebook.get("metadata"))
    kernel, info = _dict(metadata.get("kernelspec")), _dict(metadata.get("language_info"))
    stated = (info.get("name"), kernel.get("language"), kernel.get("name"), *_cell_languages(notebook))
    name = next((value for value in stated if isinstance(value, str) and value.strip()), "python").strip().lower()
    plain = re.sub(r"(?<=.)[- ]?\d+(\.\d+)*$", "", name) if name not in _OTHER_NAMES else name
    return _OTHER_NAMES.get(plain) or language_named(plain)


def script_of_notebook(text: str, language: str) -> str | None:
    """The script that the notebook in `text` amounts to, in `language`, or None where it is no notebook."""
    notebook = _parse(text)
    if notebook is None:
        return None
    parts = [_as_script(cell, language) for cell in _cells(notebook)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _parse(data: bytes | str) -> dict[str, Any] | None:
    try:
        notebook = json.loads(data)
    except (ValueError, RecursionError):
        return None
    is_one = isinstance(notebook, dict) and any(isinstance(notebook.get(key), list) for key in ("cells", "worksheets"))
    return notebook if is_one else None


def _cells(notebook: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The cells of format 4, or of format 3, which keeps them in worksheets."""
    sheets = notebook.get("worksheets") if "cells" not in notebook else [notebook]
    for sheet in sheets if isinstance(sheets, list) else []:
        cells = _dict(sheet).get("cells")
        yield from (cell for cell in cells if isinstance(cell, dict)) if isinstance(cells, list) else ()


def _cell_languages(notebook: dict[str, Any]) -> list[Any]:
    """What format 3 states of each cell."""
    return [cell.get("language") for cell in _cells(notebook) if cell.get("cell_type") == "code"]


def _as_script(cell: dict[str, Any], language: str) -> str:
    source = cell.get("source", cell.get("input", ""))
    text = "".join(line for line in source if isinstance(line, str)) if isinstance(source, list) else source
    if not isinstance(text, str) or not text.strip():
        return ""
    # Half a surrogate pair is valid JSON and no text.
    text = text.encode(errors="replace").decode().strip("\n")
    if cell.get("cell_type") != "code":
        return _commented(_PICTURE.sub("data:", text), language)
    return _plain_python(text) if language == "Python" else text


def _commented(text: str, language: str) -> str:
    mark = _COMMENT.get(language, "#")
    return "\n".join(f"{mark} {line}".rstrip() for line in text.splitlines())


def _plain_python(text: str) -> str:
    """`text` with what only IPython understands as comments; a whole cell of another language is one."""
    if (magic := _CELL_MAGIC.match(text)) and magic[1] not in _KEEPS_PYTHON:
        return _commented(text, "Python")
    return "\n".join(_plain_line(line) for line in text.split("\n"))


def _plain_line(line: str) -> str:
    if not (match := _MAGIC.fullmatch(line)):
        return line
    # In a block a comment alone would be a syntax error.
    return f"{match[1]}pass  # {match[2]}" if match[1] else f"# {match[2]}"


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
