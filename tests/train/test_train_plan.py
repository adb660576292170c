"""A plan's numbers fit together, whatever its stages."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from repotune.core.errors import UserError
from repotune.model.configuration import LoRA, ModelConfig
from repotune.train.plan import Stage, TrainPlan


def test_a_plan_survives_json_with_every_number_decided(small_model: ModelConfig) -> None:
    plan = TrainPlan(small_model, (Stage(50_000, 32, 500), Stage(50_000, 64, 1000)))
    data = json.loads(json.dumps(asdict(plan)))
    assert None not in {key: value for key, value in data.items() if key not in ("threads", "adapter")}.values()
    assert TrainPlan.from_json(data) == plan
    adapted = replace(plan, adapter=LoRA(rank=4))
    assert TrainPlan.from_json(json.loads(json.dumps(asdict(adapted)))) == adapted


def test_a_batch_is_whole_rows_and_passes_divide_it(small_model: ModelConfig) -> None:
    stage = Stage(tokens=100_000, sequence=64, batch_tokens=64 * 130 + 5)
    assert (stage.rows, stage.step_tokens) == (130, 8320)
    assert stage.steps * stage.step_tokens >= stage.tokens > (stage.steps - 1) * stage.step_tokens
    assert stage.pass_rows("cpu") == 26  # the largest divisor of 130 within 64 rows


def test_stages_follow_one_another_in_tokens(small_model: ModelConfig) -> None:
    plan = TrainPlan(small_model, (Stage(320, 16, 32), Stage(640, 16, 64), Stage(128, 64, 64)), checkpoint_tokens=256)
    assert (plan.tokens, plan.sequence, plan.steps) == (1088, 64, 22)
    assert [plan.stage(step).batch_tokens for step in (1, 10, 11, 20, 21, 22)] == [32, 32, 64, 64, 64, 64]
    assert [plan.stage(step).sequence for step in (20, 21)] == [16, 64]
    assert [plan.tokens_after(step) for step in (0, 1, 10, 11, 20, 22)] == [0, 32, 320, 384, 960, 1088]
    assert [step for step in range(1, 23) if plan.ends_with_checkpoint(step)] == [8, 13, 17, 21, 22]


def test_the_rate_falls_in_tokens_and_not_in_steps(small_model: ModelConfig) -> None:
    plan = TrainPlan(
        small_model, (Stage(500, 10, 10), Stage(500, 10, 100)), learning_rate=1.0, warmup_share=0.0, cooldown_share=0.5
    )
    assert all(plan.learning_rate_at(step) == 1.0 for step in range(1, 51))
    assert [round(plan.learning_rate_at(step), 3) for step in range(51, 56)] == [0.9, 0.7, 0.5, 0.3, 0.1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tokens": 0}, "tokens of at least 1"),
        ({"sequence": 65}, "longer than the context"),
        ({"batch_tokens": 63}, "does not hold one sequence"),
        ({"optimiser": "sgd"}, "no optimiser"),
        ({"device": "tpu"}, "cpu or cuda"),
        ({"infilling_rate": 1.1}, "infilling_rate is a share"),
        ({"warmup_share": 0.6}, "more than the whole run"),
        ({"schedule": "stairs"}, "no schedule"),
        ({"dropout": 1.5}, "dropout is a share"),
        ({"final_share": 2.0}, "final_share is a share"),
        ({"syntax_share": -0.1}, "syntax_share is a share"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(small_model: ModelConfig, change: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        TrainPlan.simple(**({"model": small_model, "tokens": 1000, "sequence": 64, "batch_tokens": 128} | change))


def test_a_run_without_a_stage_is_refused(small_model: ModelConfig) -> None:
    with pytest.raises(UserError, match="at least one stage"):
        TrainPlan(small_model, ())
