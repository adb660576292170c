"""Every recipe is a whole repotune.toml whose network has the published number of parameters and can be trained so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from repotune.core.config import Config, load_config
from repotune.model.configuration import LADDER, PRESETS, ModelConfig
from repotune.model.network import Network
from repotune.train.plan import Stage, TrainPlan

RECIPES = {path.stem: path for path in sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))}
# What the weights on the hub hold; replit-code-v1-3b was announced with 2.7B.
PUBLISHED = {
    "llama-3-8b": 8_030_261_248,
    "mpt-7b": 6_649_286_656,
    "qwen2.5-coder-1.5b": 1_543_714_304,
    "replit-code-v1-3b": 2_600_000_000,
    "replit-code-v1.5-3b": 3_320_000_000,
    "starcoder2-3b": 3_030_371_328,
    "storywriter-65k": 6_649_286_656,
}
UNITS = {"m": 1e6, "b": 1e9}


def shape_of(config: Config) -> ModelConfig:
    """The network that a recipe means, as the plan makes it."""
    name, vocabulary = config.model.size, config.tokenizer.size
    assert name is not None and vocabulary is not None and config.train.sequence is not None
    return replace(PRESETS.get(name) or LADDER[name], vocabulary=vocabulary, context=config.train.sequence)


def test_there_is_a_recipe_for_every_preset_and_every_size_from_5m_on() -> None:
    assert set(RECIPES) == set(PRESETS) | set(LADDER) - {"1m", "2m"}
    assert set(PUBLISHED) == set(PRESETS)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_builds_the_network_that_it_names(name: str) -> None:
    config = load_config(RECIPES[name])
    assert config.project.name == config.model.size == name
    with torch.device("meta"):
        network = Network(shape_of(config))
    count = sum(parameter.numel() for parameter in network.parameters())
    if name in PUBLISHED:
        assert shape_of(config) == PRESETS[name]
        assert count == pytest.approx(PUBLISHED[name], rel=0.002)
    else:
        assert count == pytest.approx(float(name[:-1]) * UNITS[name[-1]], rel=0.06)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_makes_a_plan(name: str) -> None:
    config = load_config(RECIPES[name])
    train, model = config.train, shape_of(config)
    assert train.tokens is not None and train.sequence is not None
    batch = train.batch_tokens or 131_072
    parts = [(part.share, part.sequence or train.sequence, part.batch_tokens or batch) for part in train.stages]
    stages = [
        Stage(round(share * train.tokens), rows, size) for share, rows, size in parts or [(1, train.sequence, batch)]
    ]
    named = ("optimiser", "learning_rate", "weight_decay", "schedule", "warmup_share", "cooldown_share", "final_share")
    settings = {key: getattr(train, key) for key in (*named, "dropout", "infilling_rate")}
    plan = TrainPlan(model, tuple(stages), **{key: value for key, value in settings.items() if value is not None})
    assert plan.tokens == pytest.approx(train.tokens, rel=1e-6)
    assert plan.learning_rate_at(plan.steps // 2) > 0
