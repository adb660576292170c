"""Our folders give transformers the logits they give us, and the other way round; broken folders say what is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from repotune.core.errors import UserError
from repotune.model.configuration import ModelConfig
from repotune.model.network import Network
from repotune.model.weights import load_model, read_config, read_weights, save_model
from repotune.tokenizer.layout import END, FIM_PAD, read_vocabulary, write_vocabulary

LLAMA = {"vocabulary": 101, "width": 64, "layers": 3, "heads": 4, "kv_heads": 2, "hidden": 96, "context": 64}
MPT = dict(LLAMA, heads=8, kv_heads=8, hidden=256, norm="layer", position="alibi", activation="gelu")
QWEN2 = dict(LLAMA, biases="qkv")
STARCODER2 = dict(LLAMA, norm="layer", activation="gelu-tanh", biases="all")
LLAMA_3_1 = dict(LLAMA, tied=False, rope_base=500_000.0, rope_factor=8.0, rope_trained=16)
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
        LLAMA_3_1,
        QWEN2,
        dict(QWEN2, tied=False),
        STARCODER2,
        dict(STARCODER2, window=7, tied=False),
        MPT,
        MPT_24_HEADS,
    ],
    ids=[
        "llama",
        "untied",
        "one key-value head",
        "no groups",
        "llama 3.1",
        "qwen2",
        "qwen2, untied",
        "starcoder2",
        "starcoder2, a window",
        "mpt",
        "mpt with 24 heads",
    ],
)
@torch.no_grad()
def test_transformers_computes_the_same_from_our_folder(
    tmp_path: Path, codec_folder: Path, shape: dict[str, Any], ids: torch.Tensor
) -> None:
    network = _network(shape)
    save_model(tmp_path / "model", network, codec_folder)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    torch.testing.assert_close(theirs(ids).logits, network(ids), atol=2e-4, rtol=2e-4)


SMALL = {
    "vocab_size": 101,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
LLAMA3_ROPE = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
THEIRS = {
    "llama": (transformers.LlamaForCausalLM, transformers.LlamaConfig(**SMALL, rope_theta=20_000.0)),
    "llama, tied": (transformers.LlamaForCausalLM, transformers.LlamaConfig(**SMALL, tie_word_embeddings=True)),
    "llama 3.1": (
        transformers.LlamaForCausalLM,
        transformers.LlamaConfig(
            **SMALL,
            rope_parameters=LLAMA3_ROPE | {"rope_theta": 500_000.0, "original_max_position_embeddings": 16},
        ),
    ),
    "qwen2": (transformers.Qwen2ForCausalLM, transformers.Qwen2Config(**SMALL)),
    "qwen2, tied": (transformers.Qwen2ForCausalLM, transformers.Qwen2Config(**SMALL, tie_word_embeddings=True)),
    "starcoder2": (transformers.Starcoder2ForCausalLM, transformers.Starcoder2Config(**SMALL, sliding_window=9)),
    "starcoder2, untied": (
        transformers.Starcoder2ForCausalLM,
        transformers.Starcoder2Config(**SMALL, tie_word_embeddings=False),
    ),
    "mpt": (
        transformers.MptForCausalLM,
        transformers.MptConfig(d_model=96, n_heads=6, n_layers=2, vocab_size=101, max_seq_len=64),
    ),
}


@pytest.mark.parametrize(("kind", "config"), THEIRS.values(), ids=THEIRS)
@pytest.mark.parametrize("shard", ["40KB", "1GB"], ids=["in shards", "whole"])
@torch.no_grad()
def test_we_compute_the_same_from_a_folder_of_transformers(
    tmp_path: Path, ids: torch.Tensor, kind: Any, config: Any, shard: str
) -> None:
    torch.manual_seed(1)
    theirs = kind(config).eval()
    for parameter in theirs.parameters():
        parameter.copy_(torch.randn_like(parameter) * (0.1 if parameter.dim() > 1 else 1.0))
    theirs.save_pretrained(tmp_path, max_shard_size=shard)
    assert (tmp_path / "model.safetensors.index.json").exists() == (shard == "40KB")
    torch.testing.assert_close(load_model(tmp_path)(ids), theirs(ids).logits, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("shape", [LLAMA, LLAMA_3_1, QWEN2, dict(STARCODER2, window=7), dict(MPT, kv_heads=2)])
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


def test_config_json_names_the_end_of_the_tokenizer_at_hand(tmp_path: Path, codec_folder: Path) -> None:
    ours = read_vocabulary(codec_folder)
    swapped = ours.special | {END: ours.special[FIM_PAD], FIM_PAD: ours.special[END]}
    (tmp_path / "tokenizer").mkdir()
    write_vocabulary(tmp_path / "tokenizer", replace(ours, special=dict(sorted(swapped.items(), key=lambda i: i[1]))))
    for folder, end in ((codec_folder, 0), (tmp_path / "tokenizer", 4)):
        save_model(tmp_path / "model", _network(LLAMA), folder)
        data = json.loads((tmp_path / "model" / "config.json").read_text())
        assert (data["bos_token_id"], data["eos_token_id"]) == (end, end)


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
        (_break_config(rope_scaling={"rope_type": "yarn", "factor": 8.0}), "scaled"),
        (_break_config(rope_scaling={"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 2.0}), "low_freq_factor"),
        (_break_config(rope_scaling={"rope_type": "llama3", "factor": 8.0}), "lacks original_max_position_embeddings"),
        (_break_config(partial_rotary_factor=0.5), "partial_rotary_factor"),
    ],
)
def test_a_broken_folder_says_what_is_wrong(tmp_path: Path, codec_folder: Path, damage: Any, said: str) -> None:
    save_model(tmp_path / "model", _network(LLAMA), codec_folder)
    damage(tmp_path / "model")
    with pytest.raises(UserError, match=said):
        load_model(tmp_path / "model")


@pytest.mark.parametrize("option", [{"alibi": False}, {"clip_qkv": 6}, {"alibi_bias_max": 16}, {"rope": True}])
def test_an_mpt_with_another_attention_is_refused(tmp_path: Path, codec_folder: Path, option: dict[str, Any]) -> None:
    save_model(tmp_path / "model", _network(MPT), codec_folder)
    _break_config(attn_config=option)(tmp_path / "model")
    with pytest.raises(UserError, match=next(iter(option))):
        read_config(tmp_path / "model")


def test_an_mpt_of_llm_foundry_with_one_key_value_head_or_another_norm(tmp_path: Path, codec_folder: Path) -> None:
    save_model(tmp_path / "model", _network(dict(MPT, kv_heads=1)), codec_folder)
    _break_config(attn_config={"alibi": True, "attn_type": "multiquery_attention"})(tmp_path / "model")
    assert load_model(tmp_path / "model").config.kv_heads == 1
    _break_config(norm_type="rmsnorm")(tmp_path / "model")
    with pytest.raises(UserError, match="norm_type is 'rmsnorm'"):
        read_config(tmp_path / "model")


@pytest.mark.parametrize(
    ("shape", "option"),
    [
        (QWEN2, {"use_sliding_window": True}),
        (QWEN2, {"rope_scaling": LLAMA3_ROPE | {"original_max_position_embeddings": 16}}),
        (STARCODER2, {"use_bias": False}),
        (STARCODER2, {"hidden_act": "gelu"}),
        (STARCODER2, {"sliding_window": 0}),
    ],
)
def test_options_of_other_families_that_we_lack_are_refused(
    tmp_path: Path, codec_folder: Path, shape: dict[str, Any], option: dict[str, Any]
) -> None:
    save_model(tmp_path / "model", _network(shape), codec_folder)
    _break_config(**option)(tmp_path / "model")
    with pytest.raises(UserError, match=r"use_sliding_window|rope_factor|use_bias|hidden_act|window of 0"):
        read_config(tmp_path / "model")


def test_saving_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tokenizer\.json is missing"):
        save_model(tmp_path / "model", _network(LLAMA), tmp_path)
