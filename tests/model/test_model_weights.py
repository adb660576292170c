"""Our folders give transformers the logits they give us, and the other way round; broken folders say what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from repotune.core.errors import UserError
from repotune.model.configuration import ModelConfig
from repotune.model.network import Network
from repotune.model.weights import load_model, read_config, read_weights, save_model

LLAMA = {"vocabulary": 101, "width": 64, "layers": 3, "heads": 4, "kv_heads": 2, "hidden": 96, "context": 64}
MPT = dict(LLAMA, heads=8, kv_heads=8, hidden=256, norm="layer", position="alibi", activation="gelu")
MPT_24_HEADS = dict(MPT, width=96, heads=24, kv_heads=24, hidden=384)

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


def _network(shape: dict[str, Any]) -> Network:
    """Random weights, norms included, large enough that no part is lost in rounding."""
    torch.manual_seed(5)
    network = Network(ModelConfig(**shape))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter) * (0.1 if parameter.dim() > 1 else 1.0))
    return network


@pytest.fixture
def ids() -> torch.Tensor:
    return torch.randint(0, 101, (2, 40), generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    "shape",
    [
        LLAMA,
        dict(LLAMA, tied=False, rope_base=500_000.0),
        dict(LLAMA, kv_heads=1, norm_epsilon=1e-6),
        dict(LLAMA, kv_heads=4),
        MPT,
        MPT_24_HEADS,
    ],
    ids=["llama", "untied", "one key-value head", "no groups", "mpt", "mpt with 24 heads"],
)
@torch.no_grad()
def test_transformers_computes_the_same_from_our_folder(
    tmp_path: Path, codec_folder: Path, shape: dict[str, Any], ids: torch.Tensor
) -> None:
    network = _network(shape)
    save_model(tmp_path / "model", network, codec_folder)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    torch.testing.assert_close(theirs(ids).logits, network(ids), atol=2e-4, rtol=2e-4)


@torch.no_grad()
def test_we_compute_the_same_from_a_folder_of_transformers_in_shards(tmp_path: Path, ids: torch.Tensor) -> None:
    shape = transformers.LlamaConfig(
        vocab_size=101,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        rope_theta=20_000.0,
    )
    theirs = transformers.LlamaForCausalLM(shape)
    theirs.save_pretrained(tmp_path, max_shard_size="50KB")
    assert (tmp_path / "model.safetensors.index.json").exists()
    torch.testing.assert_close(load_model(tmp_path)(ids), theirs(ids).logits, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_we_compute_the_same_from_an_mpt_folder_of_transformers(tmp_path: Path, ids: torch.Tensor) -> None:
    theirs = transformers.MptForCausalLM(
        transformers.MptConfig(d_model=96, n_heads=6, n_layers=2, vocab_size=101, max_seq_len=64)
    )
    theirs.save_pretrained(tmp_path)
    torch.testing.assert_close(load_model(tmp_path)(ids), theirs(ids).logits, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("shape", [LLAMA, dict(LLAMA, tied=False), dict(MPT, kv_heads=2)])
@torch.no_grad()
def test_what_is_saved_is_loaded(tmp_path: Path, codec_folder: Path, shape: dict[str, Any], ids: torch.Tensor) -> None:
    network = _network(shape)
    save_model(tmp_path / "model", network, codec_folder)
    loaded = load_model(tmp_path / "model")
    assert loaded.config == network.config
    assert (loaded.head.weight is loaded.embedding.weight) == network.config.tied
    assert torch.equal(loaded(ids), network(ids))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "model" / name).read_bytes() == (codec_folder / name).read_bytes()


def test_grouped_mpt_has_the_layout_of_replit_code_v1_5(tmp_path: Path, codec_folder: Path) -> None:
    save_model(tmp_path / "model", _network(dict(MPT, kv_heads=2)), codec_folder)
    attention = json.loads((tmp_path / "model" / "config.json").read_text())["attn_config"]
    assert attention["kv_n_heads"] == 2
    fused = read_weights(tmp_path / "model")["transformer.blocks.0.attn.Wqkv.weight"]
    assert fused.shape == (64 + 2 * 2 * 8, 64)


def _break_config(**changes: Any) -> Any:
    def change(folder: Path) -> None:
        data = json.loads((folder / "config.json").read_text()) | changes
        data = {key: value for key, value in data.items() if value is not ...}
        (folder / "config.json").write_text(json.dumps(data))

    return change


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "config.json").unlink(), "config.json is missing"),
        (lambda folder: (folder / "config.json").write_text("{"), "is damaged"),
        (lambda folder: (folder / "config.json").write_text("[]"), "no JSON object"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is missing"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\x00" * 9), "is damaged"),
        (lambda folder: (folder / "model.safetensors.index.json").write_text('{"weight_map": 3}'), "is damaged"),
        (
            lambda folder: (folder / "model.safetensors").write_bytes(
                (folder / "model.safetensors").read_bytes()[:-50]
            ),
            "is damaged",
        ),
        (_break_config(model_type="gpt2"), "model_type is 'gpt2'"),
        (_break_config(hidden_size=...), "lacks hidden_size"),
        (_break_config(hidden_size="64"), "width of at least 1"),
        (_break_config(hidden_size=32, head_dim=8), "where config.json means"),
        (_break_config(head_dim=32), "head_dim"),
        (_break_config(num_hidden_layers=4), "weights lack model.layers.3"),
        (_break_config(num_hidden_layers=2), "has no place for"),
        (_break_config(attention_bias=True), "attention_bias"),
        (_break_config(rope_scaling={"rope_type": "llama3", "factor": 8.0}), "scaled"),
    ],
)
def test_a_broken_folder_says_what_is_wrong(tmp_path: Path, codec_folder: Path, damage: Any, said: str) -> None:
    save_model(tmp_path / "model", _network(LLAMA), codec_folder)
    damage(tmp_path / "model")
    with pytest.raises(UserError, match=said):
        load_model(tmp_path / "model")


@pytest.mark.parametrize("option", [{"alibi": False}, {"clip_qkv": 6}, {"alibi_bias_max": 16}])
def test_an_mpt_with_another_attention_is_refused(tmp_path: Path, codec_folder: Path, option: dict[str, Any]) -> None:
    save_model(tmp_path / "model", _network(MPT), codec_folder)
    _break_config(attn_config=option)(tmp_path / "model")
    with pytest.raises(UserError, match=next(iter(option))):
        read_config(tmp_path / "model")


def test_saving_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tokenizer\.json is missing"):
        save_model(tmp_path / "model", _network(LLAMA), tmp_path)
