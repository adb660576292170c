"""The guide's programs run as they are written."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from repotune.infer.opening import open_engine
from repotune.tokenizer.encoding import Codec

from .conftest import File

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "index.md"


def test_every_program_of_the_guide_runs(
    workspace: dict[str, Path],
    files: list[File],
    llama_folder: Path,
    codec: Codec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, folder in (*workspace.items(), ("release", llama_folder)):
        shutil.copytree(folder, tmp_path / "work" / name)
    monkeypatch.chdir(tmp_path)
    programs = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    text = files[10][1]
    names: dict[str, Any] = {
        "codec": codec,
        "engine": open_engine(llama_folder, "f32"),
        "before": text[:300],
        "behind": text[400:],
        "ids": codec.encode(text)[50:150],
    }
    for program in programs:
        exec(compile(program, str(GUIDE), "exec"), names)
    assert len(programs) == 4
    assert names["engine"].prefill(codec.encode(text[:300])).shape == (codec.size,)
    assert "copyleft" in capsys.readouterr().out and names["refused"] == names["repeats"]
