"""A plan's numbers fit together, and the schedule has its shape."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from repotune.core.errors import UserError
from repotune.model.configuration import ModelConfig
from repotune.train.plan import TrainPlan
from repotune.train.schedules import trapezoid


def test_a_plan_survives_json_with_every_number_decided(small_model: ModelConfig) -> None:
    plan = TrainPlan(small_model, tokens=100_000, sequence=64, batch_tokens=1000)
    data = json.loads(json.dumps(asdict(plan)))
    assert None not in (data["learning_rate"], data["weight_decay"], data["checkpoint_tokens"])
    assert TrainPlan(**{**data, "model": ModelConfig(**data["model"])}) == plan


def test_a_batch_is_whole_rows_and_passes_divide_it(small_model: ModelConfig) -> None:
    plan = TrainPlan(small_model, tokens=100_000, sequence=64, batch_tokens=64 * 130 + 5)
    assert (plan.rows, plan.step_tokens) == (130, 8320)
    assert plan.steps * plan.step_tokens >= plan.tokens > (plan.steps - 1) * plan.step_tokens
    assert plan.pass_rows == 26  # the largest divisor of 130 within 64 rows
    assert plan.rows % plan.pass_rows == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tokens": 0}, "tokens of at least 1"),
        ({"sequence": 65}, "longer than the context"),
        ({"batch_tokens": 63}, "does not hold one sequence"),
        ({"optimiser": "sgd"}, "no optimiser"),
        ({"device": "tpu"}, "cpu or cuda"),
        ({"infilling_rate": 1.1}, "shares"),
        ({"warmup_share": 0.6}, "more than the whole run"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(small_model: ModelConfig, change: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        TrainPlan(**({"model": small_model, "tokens": 1000, "sequence": 64, "batch_tokens": 128} | change))


def test_the_schedule_rises_stays_and_falls_to_nothing() -> None:
    shares = [trapezoid(done, 1000, 0.1, 0.3) for done in range(0, 1001, 50)]
    assert shares[0] == 0.0
    assert shares[2:15] == [1.0] * 13
    assert shares[-1] == 0.0
    assert shares[17] == pytest.approx(0.5)
    assert trapezoid(0, 1000, 0.0, 0.0) == trapezoid(1000, 1000, 0.0, 0.0) == 1.0
