"""Scales end at round numbers, marks stand where the numbers say, and text stays text."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repotune.report.plots import Scale, axis, bar, curve, nice_scale, strip, thinned

numbers = st.floats(-1e9, 1e9).filter(lambda x: x == 0 or abs(x) > 1e-6)
UNIT = Scale(0, 10, (0, 5, 10))


def parse(markup: str) -> ElementTree.Element:
    return ElementTree.fromstring(markup)


@given(st.lists(numbers, min_size=1, max_size=20), st.integers(2, 8))
def test_a_scale_holds_its_values_between_round_ticks(values: list[float], most: int) -> None:
    scale = nice_scale(values, most)
    slack = 1e-6 * (scale.high - scale.low)
    assert scale.low - slack <= min(values) and max(values) <= scale.high + slack
    assert (scale.ticks[0], scale.ticks[-1]) == (scale.low, scale.high)
    assert 2 <= len(scale.ticks) <= most + 2
    step = scale.ticks[1] - scale.ticks[0]
    assert step / 10 ** math.floor(math.log10(step) + 1e-6) == pytest.approx(1, rel=1e-3) or any(
        step / 10 ** math.floor(math.log10(step) + 1e-6) == pytest.approx(factor, rel=1e-3) for factor in (2, 5, 10)
    )


def test_a_scale_is_what_one_would_draw_by_hand() -> None:
    assert nice_scale([1.14, 3.77], 4, zero=True).ticks == (0, 1, 2, 3, 4)
    assert nice_scale([0.0, 0.215], 4).ticks == (0, 0.1, 0.2, 0.3)
    assert nice_scale([-3, 12], 3).ticks == (-5, 0, 5, 10, 15)
    assert nice_scale([7, 7]).low <= 7 < nice_scale([7, 7]).high
    assert nice_scale([math.nan, math.inf]).ticks[0] == 0


def test_a_strip_stands_where_its_numbers_say() -> None:
    drawn = parse(strip(4, 2.5, 7, UNIT, True, "Model: 4"))
    whisker = next(line for line in drawn.iter("line") if line.get("class") == "whisker")
    assert (whisker.get("x1"), whisker.get("x2")) == ("25.0%", "70.0%")
    assert drawn.find("circle").get("cx") == "40.0%"  # type: ignore[union-attr]
    assert drawn.get("class") == "strip strong"
    assert drawn.findtext("title") == "Model: 4"


def test_a_score_without_an_interval_has_no_whisker() -> None:
    whisker = next(
        line for line in parse(strip(4, None, None, UNIT, False, "")).iter("line") if line.get("class") == "whisker"
    )
    assert whisker.get("x1") == whisker.get("x2") == "40.0%"


@given(st.floats(-2, 2))
def test_a_bar_stays_in_its_track(share: float) -> None:
    fill = parse(bar(share, "")).findall("rect")[1]
    assert 0 <= float(fill.get("width", "").rstrip("%")) <= 100


def test_a_curve_draws_every_number_that_is_one() -> None:
    line = [(0.0, 4.0), (10.0, math.nan), (20.0, 2.0)]
    drawn = parse(curve(line, [(20.0, 3.0)], names=("a", "b"), title="T", description="D", x_label=str, identity="c"))
    assert drawn.find(".//polyline").get("points") == "0.0,0.0 100.0,100.0"  # type: ignore[union-attr]
    assert [circle.get("cx") for circle in drawn.iter("circle")] == ["100.0%"]
    assert drawn.get("aria-labelledby") == "c-title c-about"
    assert {drawn.find("title").get("id"), drawn.find("desc").get("id")} == {"c-title", "c-about"}  # type: ignore[union-attr]


def test_text_in_a_plot_stays_text() -> None:
    hostile = "</title><script>alert(1)</script>\"'&"
    drawings = [
        strip(1, 0, 2, UNIT, False, hostile),
        bar(0.5, hostile),
        axis(UNIT, lambda _: hostile),
        curve([(0, 1), (1, 2)], [(1, 2)], names=(hostile, hostile), title=hostile, description=hostile,
              x_label=lambda _: hostile, identity="x"),
    ]  # fmt: skip
    for drawing in drawings:
        assert "script" not in {element.tag for element in parse(drawing).iter()}
        assert hostile in "".join(parse(drawing).itertext())


@given(st.lists(st.tuples(numbers, numbers), max_size=200), st.integers(1, 50))
def test_thinning_keeps_the_mean(points: list[tuple[float, float]], most: int) -> None:
    few = thinned(points, most)
    assert len(few) == min(len(points), most)
    if points and len(points) % most == 0:
        assert sum(y for _, y in few) / len(few) == pytest.approx(sum(y for _, y in points) / len(points), abs=1)


def test_ticks_at_the_ends_stay_inside() -> None:
    classes = re.findall(r'<text class="(\w+)"', axis(UNIT, str))
    assert classes == ["first", "between", "last"]
