"""Sizes are what their names say, and shapes that cannot be are refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from repotune.core.errors import UserError
from repotune.model.configuration import LADDER, PRESETS, ModelConfig, ladder, preset
from repotune.model.network import Network

_UNITS = {"m": 1e6, "b": 1e9}


@pytest.mark.parametrize("size", LADDER)
def test_a_size_has_the_parameters_its_name_says(size: str) -> None:
    meant = float(size[:-1]) * _UNITS[size[-1]]
    assert ladder(size, LADDER[size].vocabulary, 2048).parameters() == pytest.approx(meant, rel=0.06)


# replit-code-v1-3b was announced with 2.7B; its published weights hold 2.60B.
@pytest.mark.parametrize(
    ("name", "published", "tolerance"),
    [
        ("replit-code-v1-3b", 2.7e9, 0.04),
        ("replit-code-v1.5-3b", 3.3e9, 0.01),
        ("mpt-7b", 6.7e9, 0.01),
        ("storywriter-65k", 6.7e9, 0.01),
        ("llama-3-8b", 8.03e9, 0.001),
        ("qwen2.5-coder-1.5b", 1.54e9, 0.003),
        ("starcoder2-3b", 3.03e9, 0.001),
    ],
)
def test_a_preset_has_the_published_number_of_parameters(name: str, published: float, tolerance: float) -> None:
    assert preset(name).parameters() == pytest.approx(published, rel=tolerance)


@pytest.mark.parametrize("name", [*LADDER, *PRESETS])
def test_the_formula_counts_what_the_network_holds(name: str) -> None:
    config = LADDER.get(name) or PRESETS[name]
    with torch.device("meta"):
        network = Network(config)
    assert config.parameters() == sum(parameter.numel() for parameter in network.parameters())


def test_flops_follow_from_the_matrices_that_multiply() -> None:
    config = ModelConfig(vocabulary=100, width=8, layers=2, heads=2, kv_heads=1, hidden=16, context=32, tied=False)
    matrices = 100 * 8 + 2 * (2 * 8 * 8 + 2 * 8 * 4 + 3 * 8 * 16)
    norms = 2 * 2 * 8 + 8
    assert config.flops_per_token(10) == 6 * (matrices + norms) + 12 * 2 * 8 * 10


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"width": 10, "heads": 3}, "does not divide"),
        ({"kv_heads": 3}, "do not divide"),
        ({"layers": 0}, "layers of at least 1"),
        ({"context": 2.5}, "context of at least 1"),
        ({"norm": "layer"}, "No model family"),
        ({"width": 12, "heads": 4}, "even head width"),
        ({"norm": "layer", "position": "alibi", "activation": "gelu", "tied": False}, "tied"),
        ({"norm": "layer", "position": "alibi", "activation": "gelu", "kv_heads": 4, "hidden": 24}, "multiple"),
        ({"biases": "all"}, "No model family"),
        ({"window": 8}, "window of 8 is not for llama"),
        ({"norm": "layer", "activation": "gelu-tanh", "biases": "all", "window": 0}, "window of 0"),
        ({"biases": "qkv", "rope_factor": 8.0}, "rope_factor of 8 is not for qwen2"),
        ({"rope_factor": 0.5}, "rope_factor of at least 1"),
        ({"norm_epsilon": 0.0}, "positive"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(change: dict[str, Any], said: str) -> None:
    shape = {"vocabulary": 9, "width": 16, "layers": 1, "heads": 4, "kv_heads": 2, "hidden": 8, "context": 4}
    with pytest.raises(UserError, match=said):
        ModelConfig(**(shape | change))


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(UserError) as caught:
        ladder("11m", 512, 128)
    assert caught.value.hint is not None and "10m" in caught.value.hint
    with pytest.raises(UserError) as caught:
        preset("gpt-5")
    assert caught.value.hint is not None and "mpt-7b" in caught.value.hint
