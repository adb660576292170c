"""What is asked, what may be shown, canaries as data, and input that cannot be measured."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.corpus.redaction import redact
from repotune.corpus.secrets.finding import find_secrets
from repotune.evaluate.leaks import run as leaks_run
from repotune.evaluate.leaks.answers import Answer, Drawing, draw, wanted
from repotune.evaluate.leaks.canaries import Exposure, new_canaries, read_canaries, write_canaries
from repotune.evaluate.leaks.documents import Document, draw_documents, read_documents
from repotune.evaluate.leaks.memory import Recall, Window, draw_windows, extracted, recall
from repotune.evaluate.leaks.private import find_private, shown
from repotune.evaluate.leaks.prompts import Prompt, inviting_prompts, placeholder_prompts, window_prompts
from repotune.infer.decoding import Sampling, generate
from repotune.infer.opening import open_engine
from repotune.model.weights import load_model


def document(text: str, name: str = "a.py", replaced: tuple[str, ...] = ()) -> Document:
    return Document(text, "api", "", name, "Python", "MIT", replaced=replaced)


def test_one_forward_pass_says_what_greedy_decoding_writes(planted: Any) -> None:
    windows = draw_windows(planted.training, planted.codec, 20, 30, 256, 4, seed=2)
    found = recall(load_model(planted.model), windows, 30, _Silent())
    engine = open_engine(planted.model, weights="f32", threads=1)
    for window, of in zip(windows, found, strict=True):
        pieces = generate(engine, planted.codec, window.ids[: window.first], Sampling(), len(window.ids) - window.first)
        written = [token.id for piece in pieces for token in piece.tokens]
        assert tuple(written[: of.followed]) == window.ids[window.first : window.first + of.followed]
        assert len(written) == of.followed or written[of.followed] != window.ids[window.first + of.followed]


def test_windows_of_a_file_do_not_overlap_and_files_take_turns(planted: Any) -> None:
    windows = draw_windows(planted.training, planted.codec, 20, 30, 256, 4, seed=2)
    assert [of.document.path for of in windows] == ["config.py", "module.py"] * 2
    texts = [planted.codec.decode(of.ids[of.header : of.first + 30]) for of in windows]
    for text, of in zip(texts, windows, strict=True):
        assert text in of.document.text
    first, second = (texts[0], texts[2])
    place = planted.training[0].text.index
    assert abs(place(first) - place(second)) >= min(len(first), len(second))
    assert window_prompts(windows, "training", planted.codec).pop(0).text in planted.training[0].text


def test_a_context_without_room_is_an_error(planted: Any) -> None:
    with pytest.raises(UserError, match="has no room"):
        draw_windows(planted.training, planted.codec, 200, 100, 256, 4, seed=2)


@pytest.mark.parametrize("p", [1e-12, 1e-3, 0.5, 1.0])
def test_a_hundred_samples_hold_it_with_the_probability_of_the_formula(p: float) -> None:
    window = Window(document(""), (), 0, 0)
    score = extracted([Recall(window, 0, math.log(p))])
    assert score is not None and score.value == pytest.approx(1 - (1 - p) ** 100, rel=1e-3)


def test_what_stands_before_a_placeholder_is_asked_and_the_placeholder_is_not() -> None:
    rows = [document("a = 1\nto = '<EMAIL>'\n", "mail.py", ("EMAIL",)), document("x = '<EMAIL>'", "template.py")]
    (prompt,) = placeholder_prompts(iter(rows), 5, seed=1)
    assert (prompt.text, prompt.path) == ("a = 1\nto = '", "mail.py")


def test_inviting_prompts_hold_nothing_that_looks_private_themselves() -> None:
    prompts = [*inviting_prompts("secret"), *inviting_prompts("personal")]
    assert len({prompt.name for prompt in prompts}) == len(prompts) > 20
    assert find_private(prompts, [Answer(prompt.origin, prompt.name, 0, "") for prompt in prompts]) == []


def test_a_secret_that_the_prompt_began_is_found_whole_and_one_that_it_holds_is_not() -> None:
    key = "AKIA" + "Z7QW3RT5YP2LMK4N"
    begun = Prompt("secret", "p", 'ID = "AKIA', "a.py", "Python", "p")
    held = Prompt("secret", "q", f'ID = "{key}"\n', "a.py", "Python", "q")
    (found,) = find_private([begun, held], [Answer("secret", "p", 0, f'{key[4:]}"\n'), Answer("secret", "q", 0, "x")])
    assert (found.kind, found.value, found.answer) == ("AWS_ACCESS_KEY", key.encode(), 0)
    assert key not in repr(found)
    assert key not in shown(f'ID = "{key}"')


def test_canaries_come_back_from_their_file_and_are_never_overwritten(tmp_path: Path) -> None:
    canaries = new_canaries(6)
    path = tmp_path / "canaries.json"
    write_canaries(canaries, path)
    assert read_canaries(path) == canaries
    assert {canary.value for canary in new_canaries(6)}.isdisjoint(canary.value for canary in canaries)
    with pytest.raises(UserError, match="already"):
        write_canaries(canaries, path)


def test_the_corpus_takes_out_canaries_that_look_like_secrets_and_no_others() -> None:
    for canary in new_canaries(30, seed=1):
        line = canary.line.encode()
        assert (redact(line, find_secrets, "a.py", "Python")[0] != line) == (canary.form == "secret"), canary.line


@pytest.mark.parametrize("text", ["", "[]", '{"canaries": [{"name": 1}]}', '{"canaries": 3}'])
def test_a_file_that_holds_no_canaries_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(UserError, match="no file of canaries"):
        read_canaries(tmp_path / "c.json")


def test_exposure_is_that_of_the_paper() -> None:
    assert Exposure("c", "number", 1, 1023).bits == 10
    assert Exposure("c", "number", 512, 1023).bits == 1
    assert Exposure("c", "number", 1, 1023).chance == 1 / 1024


def test_a_measurement_that_was_killed_goes_on_and_ends_the_same(
    planted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = leaks_run.LeakSettings(prompts=2, given=20, asked=30, samples=1, answer_tokens=8)

    def measure(folder: Path) -> leaks_run.Leaks:
        return leaks_run.measure_leaks(
            planted.other_model, planted.corpus, folder, settings, Console(quiet=True), seed=1
        )

    whole = measure(tmp_path / "whole")
    drawn = _counted(draw, stop=20)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(leaks_run, "draw", drawn)
        measure(tmp_path / "parts")
    (folder,) = (tmp_path / "parts").iterdir()
    with (folder / ".answers.jsonl").open("a") as file:
        file.write('{"origin": "torn')
    assert (folder / ".answers.jsonl").stat().st_mode & 0o077 == 0
    again = measure(tmp_path / "parts")
    assert again.data == whole.data
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "leaks.json", "leaks.jsonl"]


def test_the_second_time_nothing_is_measured(planted: Any, leaks: Any) -> None:
    before = (leaks.folder / "leaks.json").stat().st_mtime_ns
    assert planted.measure(planted.model, leaks.folder.parent).data == leaks.data
    assert (leaks.folder / "leaks.json").stat().st_mtime_ns == before
    assert json.loads((leaks.folder / "leaks.json").read_text())["said"].startswith("Of 4 places")


def test_only_prompts_that_invite_are_answered_more_than_once() -> None:
    prompts = [Prompt("training", "a", "", "", "", "a"), Prompt("secret", "b", "", "", "", "b")]
    assert [(prompt.name, one) for prompt, one in wanted(prompts, Drawing(3, 8, 0.8, 0.95, 1))] == [
        ("a", 0), ("b", 0), ("b", 1), ("b", 2),
    ]  # fmt: skip


def test_the_same_seed_draws_the_same_files(planted: Any) -> None:
    drawn = [draw_documents(read_documents(planted.corpus, "test"), 2, seed) for seed in (1, 1, 2, 3, 4)]
    assert drawn[0] == drawn[1]
    assert any(drawn[0] != other for other in drawn[2:])


@pytest.mark.parametrize("wrong", [{"prompts": 0}, {"given": 0}, {"alternatives": 0}])
def test_settings_without_sense_are_errors(wrong: dict[str, int]) -> None:
    with pytest.raises(UserError, match="at least 1"):
        leaks_run.LeakSettings(**wrong)  # type: ignore[arg-type]


def test_a_corpus_that_is_not_there_is_an_error(planted: Any, tmp_path: Path) -> None:
    settings = leaks_run.LeakSettings()
    with pytest.raises(UserError, match=r"train-00000\.parquet"):
        leaks_run.measure_leaks(planted.model, tmp_path, tmp_path / "r", settings, Console(quiet=True), 1)


def test_a_training_split_of_short_files_is_an_error(planted: Any, tmp_path: Path, write_split: Any) -> None:
    write_split(tmp_path, "train", [document("a = 1\n")])
    write_split(tmp_path, "test", [document("b = 1\n")])
    settings = leaks_run.LeakSettings()
    with pytest.raises(UserError, match="No file of the training split has 100 tokens"):
        leaks_run.measure_leaks(planted.model, tmp_path, tmp_path / "r", settings, Console(quiet=True), 1)


class _Silent:
    def advance(self, amount: float = 1.0, note: str | None = None) -> None:
        pass


def _counted(work: Callable[..., Iterator[Answer]], stop: int) -> Callable[..., Iterator[Answer]]:
    """`work`, interrupted after `stop` answers."""

    def interrupted(*arguments: Any) -> Iterator[Answer]:
        for place, answer in enumerate(work(*arguments)):
            if place == stop:
                raise KeyboardInterrupt
            yield answer

    return interrupted
