"""The release holds the checkpoint's weights, says what it is, is the same each time, and refuses what cannot be."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import gguf
import pytest
import torch

from repotune.core.artefact import file_digest, read_manifest
from repotune.core.errors import UserError
from repotune.core.settings import ReleaseSettings
from repotune.infer.decoder import Decoder
from repotune.model.configuration import ModelConfig
from repotune.model.weights import load_model
from repotune.release.card import render_card
from repotune.release.gguf import write_gguf
from repotune.release.loss import held_out_passages, measure_loss
from repotune.release.verify import DamagedReleaseError, check_folder, check_gguf
from repotune.tokenizer.encoding import load_codec
from repotune.train.state import latest_checkpoint

SHAPE = {"width": 64, "layers": 2, "heads": 4, "kv_heads": 2, "hidden": 128, "context": 512}
FAMILIES = {
    "llama, untied": dict(SHAPE, kv_heads=1, tied=False),
    "llama 3.1": dict(SHAPE, rope_factor=8.0, rope_trained=64),
    "qwen2": dict(SHAPE, biases="qkv"),
    "starcoder2": dict(SHAPE, norm="layer", activation="gelu-tanh", biases="all", tied=False),
    "mpt": dict(SHAPE, norm="layer", position="alibi", activation="gelu"),
}

Rebuild = Callable[..., Path]


def facts_of(release: Path) -> dict:
    return json.loads((release / "release.json").read_text())


def test_the_folder_is_the_last_checkpoint(workspace: Path, release: Path) -> None:
    checkpoint = latest_checkpoint(workspace / "run")
    for name in ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"):
        assert file_digest(release / name) == file_digest(checkpoint / name)
    assert not (release / "state").exists()


def test_release_json_says_what_it_is_and_what_it_was_made_from(workspace: Path, release: Path) -> None:
    facts, config = facts_of(release), load_model(release).config
    assert (facts["name"], facts["parameters"], facts["context"]) == ("acme", config.parameters(), 512)
    inputs = ("corpus", "results", "run", "tokenizer", "tokens")
    assert facts["created_from"] == {name: read_manifest(workspace / name).contents for name in inputs}
    results = json.loads((workspace / "results" / "results.json").read_text())
    assert facts["verdict"] == results["verdict"]
    assert facts["scores"] == {"likelihood": results["likelihood"], "infilling": results["infilling"]}
    assert facts["licences"]["PSF-2.0"]["files"] == 20
    assert facts["files"] == {
        path.name: path.stat().st_size for kind in ("model*", "*.packed") for path in release.glob(kind)
    }


def test_quality_tells_what_rounding_cost(release: Path) -> None:
    quality = facts_of(release)["quality"]
    assert set(quality) == {"q8_0", "int8"}
    for loss in quality.values():
        assert 0 < loss["divergence"] < 0.1
        assert 0.8 < loss["agreement"] <= 1
        assert loss["tokens"] > 500


def test_the_loss_is_nothing_for_equal_weights_and_large_for_others(workspace: Path, release: Path) -> None:
    network, other = load_model(release), load_model(release)
    codec = load_codec(release)
    passages = held_out_passages(workspace / "tokens", codec, 512)
    same = measure_loss(network, Decoder(network, "f32", torch.device("cpu")), codec, passages)
    assert (same.agreement, same.divergence) == (1.0, pytest.approx(0, abs=1e-6))
    assert (same.lines_lost, same.bits_per_byte_lost, same.negligible) == (0, pytest.approx(0, abs=1e-6), True)
    assert same.lines > 30
    for parameter in other.parameters():
        parameter.data = parameter.data.flip(0)
    different = measure_loss(network, other, codec, passages)
    assert not different.negligible
    assert different.agreement < 0.2
    assert different.divergence > 0.5


def test_a_release_is_the_same_each_time(release: Path, rebuild: Rebuild) -> None:
    again = rebuild(ReleaseSettings())
    names = sorted(path.name for path in release.iterdir() if path.name != "manifest.json")
    assert sorted(path.name for path in again.iterdir()) == names
    assert [file_digest(again / name) for name in names] == [file_digest(release / name) for name in names]


def test_only_the_gguf_files_asked_for_are_written(rebuild: Rebuild) -> None:
    again = rebuild(ReleaseSettings(gguf=()))
    assert not list(again.glob("*.gguf"))
    assert "llama-server" not in (again / "README.md").read_text()


def test_gguf_metadata_names_shape_tokenizer_and_infilling_tokens(release: Path) -> None:
    reader, codec = gguf.GGUFReader(release / "model-Q8_0.gguf"), load_codec(release)
    meant = {
        "general.architecture": "llama",
        "general.name": "acme",
        "llama.attention.head_count_kv": 2,
        "llama.context_length": 512,
        "tokenizer.ggml.pre": "llama-bpe",
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.fim_pre_token_id": codec.fim_prefix,
        "tokenizer.ggml.fim_suf_token_id": codec.fim_suffix,
        "tokenizer.ggml.fim_mid_token_id": codec.fim_middle,
        "tokenizer.ggml.eos_token_id": codec.end,
    }
    assert {key: reader.get_field(key).contents() for key in meant} == meant
    types = {tensor.name: tensor.tensor_type.name for tensor in reader.tensors}
    assert types["blk.0.ffn_up.weight"] == types["token_embd.weight"] == "Q8_0"
    assert types["blk.0.ffn_down.weight"] == "F32", "its rows of 112 do not divide into blocks of 32"
    assert "output.weight" not in types, "a tied head is written once"


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_written_and_verified(
    make_folder: Callable[[ModelConfig], Path], tmp_path: Path, release: Path, family: str
) -> None:
    folder = make_folder(ModelConfig(load_codec(release).size, **FAMILIES[family]))
    write_gguf(folder, tmp_path / "model.gguf", "f32", family)
    restored = check_gguf(tmp_path / "model.gguf", "f32", folder)
    for name, tensor in load_model(folder).state_dict().items():
        assert torch.equal(restored.state_dict()[name], tensor), name


@pytest.mark.parametrize("kind", ["f32", "q8_0"])
def test_a_changed_byte_is_found(release: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model.gguf"
    shutil.copyfile(release / f"model-{kind.upper()}.gguf", path)
    check_gguf(path, kind, release)
    tensor = next(tensor for tensor in gguf.GGUFReader(path).tensors if tensor.name == "blk.1.attn_q.weight")
    with path.open("r+b") as file:
        file.seek(int(tensor.data_offset) + 3)
        file.write(b"\x55")
    with pytest.raises(DamagedReleaseError, match="differs"):
        check_gguf(path, kind, release)
    shutil.copyfile(release / "config.json", tmp_path / "config.json")
    check_folder(release, tmp_path, ("config.json",))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(DamagedReleaseError, match=r"config\.json"):
        check_folder(release, tmp_path, ("config.json",))


def test_a_tokenizer_that_llama_cpp_or_the_model_does_not_know_is_refused(
    make_folder: Callable[[ModelConfig], Path], release: Path
) -> None:
    folder = make_folder(ModelConfig(load_codec(release).size + 1, 64, 1, 4, 2, 96, 128))
    with pytest.raises(UserError, match="has 1024 entries and the model 1025"):
        write_gguf(folder, folder / "model.gguf", "f32", "x")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = r"\s+|\S+"
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(UserError, match="no name for"):
        write_gguf(folder, folder / "model.gguf", "f32", "x")


@pytest.mark.parametrize(("step", "file"), [("corpus", "summary.json"), ("results", "results.json")])
def test_a_missing_or_damaged_input_is_named(
    workspace: Path, rebuild: Rebuild, tmp_path: Path, step: str, file: str
) -> None:
    broken = tmp_path / step
    shutil.copytree(workspace / step, broken)
    (broken / file).write_text("{")
    with pytest.raises(UserError, match=f"{re.escape(file)} is damaged"):
        rebuild(ReleaseSettings(), **{step: broken})


def test_the_card_tells_scores_licences_and_how_to_run_it(release: Path) -> None:
    card, facts = (release / "README.md").read_text(), facts_of(release)
    assert card.startswith("---\nlibrary_name: transformers\n")
    for part in (facts["verdict"], "| PSF-2.0 | 20 |", "llama-server -m model-Q8_0.gguf", "repotune serve --release ."):
        assert part in card
    score = facts["scores"]["likelihood"]["model"]["bits_per_byte"]
    assert f"{score['value']:.3f} ({score['low']:.3f} to {score['high']:.3f})" in card
    assert "a\\|b" in card
    assert "\n\n\n" not in card


def test_every_table_of_the_card_is_whole(release: Path) -> None:
    card = (release / "README.md").read_text()
    tables = [block for block in card.split("\n\n") if block.startswith("|")]
    assert len(tables) == 4
    for table in tables:
        rows = [row.replace("\\|", "").count("|") for row in table.strip().split("\n")]
        assert len(rows) > 2
        assert len(set(rows)) == 1, table


def test_a_card_whose_scores_are_with_the_index_says_what_holds_without_it(release: Path) -> None:
    facts = facts_of(release)
    assert "--index" not in render_card(facts)
    likelihood = {"served": facts["scores"]["likelihood"]["model"], **facts["scores"]["likelihood"]}
    card = render_card(facts | {"scores": facts["scores"] | {"likelihood": likelihood}})
    assert "| | with its index, as served | this model | " in card and "--index FOLDER" in card
    assert "\n\n\n" not in card


def test_a_score_without_an_interval_and_no_measured_loss_still_make_a_card(release: Path) -> None:
    facts = facts_of(release)
    facts["scores"]["likelihood"]["model"]["bits_per_byte"] |= {"low": None, "high": None}
    card = render_card(facts | {"quality": {}})
    assert "Rounding the weights" not in card
    assert "None" not in card
