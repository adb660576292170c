"""`repotune speed` measures every engine that can read the model, and says which cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from repotune.cli.main import main
from repotune.infer.opening import open_engine
from repotune.infer.speed import measure


def test_a_keystroke_costs_less_than_the_prompt_and_an_answer_more(llama_folder: Path) -> None:
    engine = open_engine(llama_folder, "int8", threads=1)
    speed = measure(engine)
    assert speed.prompt == 256
    assert 0 < speed.keystroke < min(speed.cold, speed.completion)
    assert speed.tokens_per_second > 0
    assert engine.stats().reused_tokens > 3 * 4 * 256


def test_the_command_prints_a_line_for_each_engine(llama_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speed", str(llama_folder), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert {"int8", "int4", "bf16"} <= set(figures)
    assert all(found["tokens_per_second"] > 0 for found in figures.values())
    assert main(["speed", str(llama_folder)]) == 0
    assert "quickest: " in capsys.readouterr().err


def test_a_folder_without_a_model_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speed", str(tmp_path)]) == 2
    assert "There is no model in" in capsys.readouterr().err
