from __future__ import annotations

import subprocess
import sys
import sysconfig
import time

import psutil
import pyarrow as pa
import pytest

from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.corpus.engines.local import LocalEngine

STDLIB = sysconfig.get_paths()["stdlib"]


def test_a_worker_that_is_killed_is_an_error_a_user_can_read(tmp_path, monkeypatch):
    # A worker finds the step by its name, so it has to lie where the worker looks too.
    (tmp_path / "deadly.py").write_text("import os\n\n\ndef step(batch):\n    os._exit(9)\n")
    monkeypatch.syspath_prepend(tmp_path)
    from deadly import step

    with LocalEngine(2, tmp_path, Console(quiet=True)) as engine:
        engine.start("sources", pa.table({"source": [0, 1, 2, 3]}))
        with pytest.raises(UserError, match="was killed") as caught:
            engine.map("listed", "sources", [step], "listing")
    assert "fewer workers" in caught.value.hint


def test_no_worker_outlives_a_parent_that_is_killed(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        f"""from functools import partial
from pathlib import Path
from repotune.core.settings import CorpusSettings
from repotune.core.console import Console
from repotune.core.flow import Work
from repotune.corpus.build import build_corpus
from repotune.corpus.engines.local import LocalEngine

if __name__ == "__main__":
    work = Work(Path({str(tmp_path)!r}), {{}}, Console(quiet=True), 1)
    build_corpus(work, [{STDLIB!r}], CorpusSettings(exclude=("site-packages",)), partial(LocalEngine, 2))
"""
    )
    with subprocess.Popen([sys.executable, str(script)]) as parent:
        children = wait_for_children(psutil.Process(parent.pid), 2)
        parent.kill()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive


def wait_for_children(process: psutil.Process, count: int) -> list[psutil.Process]:
    """The children of `process` once there are more than `count`: the workers, and what tracks their resources."""
    for _ in range(600):
        if len(children := process.children()) > count:
            return children
        time.sleep(0.05)
    raise AssertionError("no worker was started")
