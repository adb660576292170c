"""`repotune speed` measures every engine that can read the model, and says which cannot."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from repotune.cli.main import main
from repotune.infer.engine import Engine, Logits
from repotune.infer.opening import open_engine
from repotune.infer.paged.pages import Stream
from repotune.infer.paged.passes import Passes
from repotune.infer.speed import STREAMS, computes_together, measure, throughput


def test_a_keystroke_costs_less_than_the_prompt_and_an_answer_more(llama_folder: Path) -> None:
    engine = open_engine(llama_folder, "int8", threads=1)
    speed = measure(engine)
    assert speed.prompt == 256
    assert 0 < speed.keystroke < min(speed.cold, speed.completion)
    assert speed.tokens_per_second > 0
    assert engine.stats().reused_tokens > 3 * 4 * 256


def test_many_streams_share_passes(llama_folder: Path) -> None:
    engine = open_engine(llama_folder, "int8", threads=1)
    assert computes_together(engine)
    passes = _counted(engine)
    speed = throughput(engine)
    assert speed is not None and speed > 0
    assert sum(passes) == STREAMS + 24 * STREAMS
    assert max(passes) > 1
    engine.prefill(list(range(engine.context)))  # what was measured holds no room


def test_streams_that_take_turns_or_have_no_room_have_no_figure(llama_folder: Path) -> None:
    decoder = open_engine(llama_folder, "f32", threads=1)
    assert not computes_together(decoder)
    assert throughput(decoder) is None
    engine = open_engine(llama_folder, "int8", threads=1)
    assert throughput(engine, streams=150) is None  # two pages each, of 160
    engine.prefill(list(range(engine.context)))


def _counted(engine: Engine) -> list[int]:
    """How many streams each pass of `engine` computes, as it goes."""
    passes: Passes = engine._passes  # type: ignore[attr-defined]
    compute, found = passes.compute, list[int]()

    def counted(parts: Sequence[tuple[Stream, Sequence[int], int]]) -> list[Logits]:
        found.append(len(parts))
        return compute(parts)

    passes.compute = counted  # type: ignore[method-assign]
    return found


def test_the_command_prints_a_line_for_each_engine(llama_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speed", str(llama_folder), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert {"ours int8", "ours int4", "torch bf16"} <= set(figures)
    assert all(found["tokens_per_second"] > 0 for found in figures.values())
    assert main(["speed", str(llama_folder)]) == 0
    said = capsys.readouterr().err
    assert "quickest: " in said
    assert "is no release" in said


def test_the_command_says_what_is_served_and_renews_it(
    llama_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install openvino")
    monkeypatch.setattr("repotune.infer.quickest._folder", lambda: tmp_path / "engines")
    shutil.copytree(llama_folder, release := tmp_path / "release")
    facts = {"name": "a", "parameters": 1, "context": 512, "licences": {}, "languages": {}, "verdict": ""}
    (release / "release.json").write_text(json.dumps(facts))
    assert main(["speed", str(release)]) == 0
    assert "served: what the server's first start finds the quickest" in capsys.readouterr().err
    assert main(["speed", str(release), "--renew"]) == 0
    assert re.search(r"served: (ours|openvino) int8 serves \(ours int8 \d+ ms, openvino", capsys.readouterr().err)
    (written,) = (tmp_path / "engines").glob("*.json")
    assert set(json.loads(written.read_text())["speeds"]) == {"ours int8", "openvino int8"}


def test_a_folder_without_a_model_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speed", str(tmp_path)]) == 2
    assert "There is no model in" in capsys.readouterr().err
