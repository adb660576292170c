"""Which engines can serve; the quickest is measured once, written down, and measured again when that is stale."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.infer import candidates as candidates_module
from repotune.infer import quickest
from repotune.infer.adapters.openvino import OpenvinoEngine
from repotune.infer.candidates import Candidate, candidates
from repotune.infer.cpu.packed import open_packed, write_packed
from repotune.infer.cpu.packing import pack_network
from repotune.infer.engine import Engine
from repotune.infer.quickest import judge, open_quickest, read_measured, write_down
from repotune.infer.speed import Speed
from repotune.model.weights import load_model

LLAMA = {"vocabulary": 1024, "width": 128, "layers": 3, "heads": 4, "kv_heads": 2, "hidden": 96, "context": 512}
OURS, OPENVINO, TORCH = Candidate("ours", "int8"), Candidate("openvino", "int8"), Candidate("torch", "f32")
MakeModel = Callable[[dict[str, Any]], Path]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's cache of its own."""
    monkeypatch.setattr(quickest, "_folder", lambda: tmp_path / "engines")
    return tmp_path / "engines"


def only(monkeypatch: pytest.MonkeyPatch, *installed: str, gpu: bool = False) -> None:
    """As if of the packages looked for these alone were installed, and a GPU or none."""
    monkeypatch.setattr(candidates_module, "find_spec", lambda name: name if name in installed else None)
    monkeypatch.setattr(candidates_module, "lacking", lambda: None if "numba" in installed else "numba")
    monkeypatch.setattr(candidates_module, "has_gpu", lambda: gpu)


def speed(seconds: float) -> Speed:
    return Speed(prompt=512, cold=seconds, keystroke=seconds, completion=seconds, tokens_per_second=1.0)


def names(*arguments: Any, **more: Any) -> list[str]:
    return [str(candidate) for candidate in candidates(*arguments, **more)]


def open_and_listen(capsys: pytest.CaptureFixture[str], folder: Path, *found: Candidate) -> tuple[Engine, str]:
    engine = open_quickest(folder, found, "model", Console())
    return engine, capsys.readouterr().err


def test_usually_there_is_nothing_to_choose(
    llama_folder: Path, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, "numba")
    assert names(llama_folder) == ["ours int8"]
    odd = make_model({**LLAMA, "width": 96, "heads": 6})
    assert names(odd)[0].startswith("torch ")  # the kernels do not know heads of 16
    only(monkeypatch)
    assert names(llama_folder)[0].startswith("torch ")


def test_what_is_installed_may_serve_in_weights_that_the_release_accepts(
    llama_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, "numba", "openvino", gpu=True)
    assert names(llama_folder) == ["ours int8", "openvino int8", "torch bf16"]
    assert names(llama_folder, recommended="int4") == ["ours int8", "openvino int8", "torch bf16"]  # none is packed
    write_packed(pack_network(load_model(llama_folder), 4), tmp_path / "int4.packed")
    assert names(tmp_path, recommended="int4") == ["ours int4", "openvino int8", "torch bf16"]
    assert names(llama_folder, weights="int4") == ["ours int4", "openvino int4"]
    assert names(llama_folder, weights="f32") == ["openvino f32", "torch f32"]
    assert names(llama_folder, "openvino") == ["openvino int8"]
    assert names(llama_folder, "torch", "f32") == ["torch f32"]
    with pytest.raises(UserError, match="ours does not read bf16"):
        candidates(llama_folder, "ours", "bf16")


def test_torch_reads_bytes_on_a_gpu_alone(llama_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "numba", gpu=True)
    assert names(llama_folder) == ["ours int8", "torch bf16"]  # others where they are named
    assert names(llama_folder, weights="int8") == ["ours int8", "torch int8"]
    assert names(llama_folder, weights="fp8") == ["torch fp8"]
    only(monkeypatch, "numba")
    assert names(llama_folder, weights="int8") == ["ours int8"]
    (unreadable,) = candidates(llama_folder, weights="fp8")
    with pytest.raises(UserError, match="fp8 weights are not to be had here"):
        unreadable.open(llama_folder)
    with pytest.raises(UserError, match="torch does not read int8 weights here"):
        candidates(llama_folder, "torch", "int8")


def test_the_first_start_measures_and_later_ones_read(
    llama_folder: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install openvino")
    engine, said = open_and_listen(capsys, llama_folder, OURS, OPENVINO)
    assert "measuring once which engine is quickest here: ours int8, openvino int8" in said
    known = read_measured([OURS, OPENVINO], "model")
    assert known is not None
    assert known.speeds.keys() == {"ours int8", "openvino int8"}
    assert known.chosen.startswith("openvino") == isinstance(engine, OpenvinoEngine)
    (path,) = cache.glob("*.json")
    before = path.read_bytes()
    engine, said = open_and_listen(capsys, llama_folder, OURS, OPENVINO)
    assert said == ""
    assert path.read_bytes() == before
    assert known.chosen.startswith("openvino") == isinstance(engine, OpenvinoEngine)


def test_what_is_written_down_is_followed(llama_folder: Path) -> None:
    write_down(judge([OURS, TORCH], "model", {"ours int8": speed(1), "torch f32": speed(0.2)}, {}), Console())
    assert open_quickest(llama_folder, [OURS, TORCH], "model", Console()).precision == "f32"


@pytest.mark.parametrize(("seconds", "chosen"), [(0.95, "ours int8"), (0.85, "torch f32")])
def test_another_engine_must_be_clearly_quicker(seconds: float, chosen: str) -> None:
    speeds = {"ours int8": speed(1), "torch f32": speed(seconds)}
    assert judge([OURS, TORCH], "model", speeds, {}).chosen == chosen


def test_a_jump_weighs_as_often_as_people_jump() -> None:
    assert Speed(512, cold=0.7, keystroke=0.1, completion=0.3, tokens_per_second=75).typical == pytest.approx(0.4)


@pytest.mark.parametrize("damage", [b"", b"{", b'{"model": 3}', b"\xff"])
def test_a_broken_file_is_measured_again(
    llama_folder: Path, cache: Path, capsys: pytest.CaptureFixture[str], damage: bytes
) -> None:
    speeds = {"ours int8": speed(1), "torch f32": speed(1)}
    write_down(judge([OURS, TORCH], "model", speeds, {}), Console())
    (path,) = cache.glob("*.json")
    path.write_bytes(damage)
    assert "measuring once" in open_and_listen(capsys, llama_folder, OURS, TORCH)[1]
    assert open_and_listen(capsys, llama_folder, OURS, TORCH)[1] == ""


def test_other_versions_candidates_and_machines_are_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [OURS, TORCH]
    write_down(judge(found, "model", {"ours int8": speed(1), "torch f32": speed(1)}, {}), Console())
    assert read_measured(found, "model") is not None
    assert read_measured(found, "another") is None
    assert read_measured([OURS, Candidate("torch", "bf16")], "model") is None
    with monkeypatch.context() as changed:
        changed.setattr(quickest, "available_cores", lambda: 96)
        assert read_measured(found, "model") is None
    with monkeypatch.context() as changed:
        changed.setattr(candidates_module, "version", lambda _name: "99")
        assert read_measured(found, "model") is None
    assert read_measured(found, "model") is not None


def test_an_engine_that_cannot_serve_is_left_out_and_that_is_said_once(
    make_model: MakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install openvino")
    mpt = make_model(dict(LLAMA, norm="layer", position="alibi", activation="gelu", hidden=256, kv_heads=4))
    engine, said = open_and_listen(capsys, mpt, OURS, OPENVINO)
    assert engine.precision == "int8"
    assert "openvino int8 is left out: OpenVINO's graph is built for rotary positions" in said
    assert open_and_listen(capsys, mpt, OURS, OPENVINO)[1] == ""


def test_an_engine_that_breaks_is_left_out(
    llama_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Engine:
        raise ImportError("libopenvino.so: cannot open shared object file")

    monkeypatch.setattr("repotune.infer.adapters.openvino.open_openvino", broken)
    monkeypatch.setattr(candidates_module, "version", lambda _name: "1")
    engine, said = open_and_listen(capsys, llama_folder, OURS, OPENVINO)
    assert engine.precision == "int8"
    assert "openvino int8 is left out: ImportError: libopenvino.so" in said


def test_what_ours_fails_at_is_said_at_each_start_until_it_is_mended(
    llama_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(llama_folder, folder := tmp_path / "release")
    (folder / "int8.packed").write_bytes(b"broken")
    for _ in range(2):
        engine, said = open_and_listen(capsys, folder, OURS, TORCH)
        assert engine.precision == "f32"
        assert "ours int8 is left out: " in said
    (folder / "int8.packed").unlink()
    assert "left out" not in open_and_listen(capsys, folder, OURS, TORCH)[1]
    assert open_and_listen(capsys, folder, OURS, TORCH)[1] == ""


def test_where_none_opens_each_says_why(tmp_path: Path) -> None:
    (tmp_path / "int8.packed").write_bytes(b"broken")
    with pytest.raises(UserError, match="No engine opens") as caught:
        open_quickest(tmp_path, [OURS, TORCH], "model", Console())
    assert "ours int8: " in (caught.value.hint or "")
    assert "torch f32: There is no model in" in (caught.value.hint or "")


def test_who_starts_at_the_same_time_waits_for_the_first(
    llama_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def start() -> None:
        opened.append(open_quickest(llama_folder, [OURS, TORCH], "model", Console()))

    opened: list[Engine] = []
    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({engine.precision for engine in opened}) == 1
    assert len(opened) == 3
    assert capsys.readouterr().err.count("measuring once") == 1


def test_a_cache_that_cannot_be_written_is_told(
    llama_folder: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache.write_text("a file where the folder would be")
    assert "cannot be written down" in open_and_listen(capsys, llama_folder, OURS, TORCH)[1]


def test_packed_weights_are_read_also_beside_a_gpu(
    llama_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_packed(pack_network(load_model(llama_folder), 8), tmp_path / "int8.packed")
    monkeypatch.setattr("repotune.infer.opening.has_gpu", lambda: True)
    assert open_packed(tmp_path / "int8.packed").bits == 8
    assert OURS.open(tmp_path).precision == "int8"  # the folder holds nothing else
