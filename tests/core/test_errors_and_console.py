import re

import pytest

from repotune.core.console import Console, duration, size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (60, "1 min"), (200, "3 min 20 s"), (7200, "2 h"), (7500, "2 h 5 min"), (-1, "0 s")],
)
def test_a_duration_reads_as_a_person_says_it(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2.5e9, "2.5 GB"), (3e12, "3.0 TB")]
)
def test_a_size_is_in_powers_of_a_thousand(count: float, text: str) -> None:
    assert size(count) == text


def test_messages_go_to_stderr_and_brackets_stay_text(capsys: pytest.CaptureFixture[str]) -> None:
    Console().say("a path with [red]brackets[/red]")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "[red]brackets[/red]" in captured.err


def test_an_error_ends_with_its_hint(capsys: pytest.CaptureFixture[str]) -> None:
    Console().error("It broke.", "repotune doctor")
    assert re.search(r"error: It broke\.\n\nhint: repotune doctor\n", capsys.readouterr().err)


def test_progress_off_a_terminal_is_a_line_with_share_and_eta(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 10.5, 21.0, 22.0, 40.0])
    monkeypatch.setattr("repotune.core.console.time.monotonic", lambda: next(clock))
    with Console().progress("reading", total=10, unit="files") as progress:
        progress.advance(0.01)  # too little to tell when it ends
        progress.advance(1.99)  # 21 s in: a line
        progress.advance(1)  # a second later: none
        progress.advance(2, note="loss 3.1")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "  reading: 0 % of 10 files",
        "  reading: 20 % of 10 files, ETA 1 min 24 s",
        "  reading: 50 % of 10 files, ETA 40 s  loss 3.1",
    ]
