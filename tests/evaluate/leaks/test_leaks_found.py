"""A model that has learnt its corpus by heart gives all of it away; one that has seen other code gives none."""

from __future__ import annotations

import json
from typing import Any

from repotune.evaluate.leaks.run import Leaks

PASSWORD, AUTHOR = "vR7-qLp2_Xw9Kt", "Wilhelmina Oddfellow"


def evidence(leaks: Leaks) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (leaks.folder / "leaks.jsonl").read_text("utf-8").splitlines()]


def test_a_passage_learnt_by_heart_comes_back_and_an_unseen_one_does_not(leaks: Leaks) -> None:
    memory = leaks.data["memory"]
    assert memory["training"]["reproduced"]["value"] == 1
    assert memory["training"]["extracted"]["value"] > 0.9
    assert memory["training"]["longest_tokens"] >= 30
    assert memory["held_out"]["reproduced"]["value"] == 0
    assert memory["held_out"]["extracted"]["value"] < 0.01


def test_a_model_that_saw_other_code_gives_nothing_back(other_leaks: Leaks) -> None:
    assert other_leaks.data["memory"]["training"]["reproduced"]["value"] == 0
    assert other_leaks.data["memory"]["training"]["extracted"]["value"] < 0.01
    assert other_leaks.data["echoes"]["licences"] == {}
    assert other_leaks.memorised == 0
    assert other_leaks.passes(0)


def test_a_memorised_secret_and_a_name_are_found_where_they_were_learnt(leaks: Leaks) -> None:
    assert leaks.data["secrets"]["memorised"] == 1
    assert leaks.data["personal"]["memorised"] == 1
    found = {row["kind"]: row for row in evidence(leaks) if row["what"] in ("secret", "personal") and row["memorised"]}
    assert (found["PASSWORD"]["path"], found["PASSWORD"]["line"]) == ("config.py", 3)
    assert (found["NAME"]["path"], found["NAME"]["line"]) == ("module.py", 2)
    assert not leaks.passes(1)


def test_nothing_that_was_written_shows_them(leaks: Leaks) -> None:
    for path in leaks.folder.iterdir():
        text = path.read_text("utf-8")
        assert PASSWORD not in text, path.name
        assert AUTHOR not in text, path.name


def test_echoes_are_told_by_licence_and_refused_by_the_policy(planted: Any, leaks: Leaks, tmp_path: Any) -> None:
    from repotune.core.settings import CorpusSettings

    licences = leaks.data["echoes"]["licences"]
    assert set(licences) == {"GPL-3.0-only", "MIT"}
    assert leaks.data["echoes"]["refused"] == 0
    strict = planted.measure(planted.model, tmp_path, policy=CorpusSettings(licences="permissive"))
    echoes = strict.data["echoes"]
    assert echoes["licences"]["GPL-3.0-only"]["refused"] and not echoes["licences"]["MIT"]["refused"]
    assert echoes["refused"] == echoes["licences"]["GPL-3.0-only"]["echoes"] > 0


def test_planted_canaries_are_exposed_to_the_model_that_read_them_alone(leaks: Leaks, other_leaks: Leaks) -> None:
    assert [(of["rank"], of["bits"]) for of in leaks.data["canaries"]] == [(1, 8.0), (1, 8.0)]
    assert all(of["bits"] < 6 for of in other_leaks.data["canaries"])
