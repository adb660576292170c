"""Documents as the step sees them, and their signals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from repotune.corpus.signals.annotate import Annotate


@pytest.fixture(scope="session")
def measure() -> Callable[..., dict[str, Any]]:
    """The signals of one document; `parse` its language, too."""

    def run(text: str, path: str = "a.py", language: str = "Python", parse: bool = False) -> dict[str, Any]:
        batch = pa.RecordBatch.from_pydict({"text": [text], "path": [path], "language": [language]})
        step = Annotate(frozenset({language}) if parse else frozenset())
        return step(batch).column("signals")[0].as_py()

    return run
