"""A launcher that stays holds commands as one that is started for each, and outlives them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from repotune.evaluate.sandbox.command import Finished, SandboxError, run_command
from repotune.evaluate.sandbox.confinement import Level
from repotune.evaluate.sandbox.execution import Limits
from repotune.evaluate.sandbox.probe import probe
from repotune.evaluate.sandbox.standing import StandingLauncher

LEVEL = probe().level
pytestmark = pytest.mark.skipif(LEVEL < Level.CONFINED, reason=f"this machine only reaches {LEVEL.name}")


@pytest.fixture(params=[each for each in (Level.CONFINED, Level.FULL) if each <= LEVEL], ids=lambda each: each.name)
def level(request: pytest.FixtureRequest) -> Level:
    chosen: Level = request.param
    return chosen


@pytest.fixture
def launcher() -> Iterator[StandingLauncher]:
    with StandingLauncher() as opened:
        yield opened


@pytest.fixture
def folder() -> Iterator[Path]:
    """pytest's own is closed to other uids, which matters at the level confined."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def shell(
    script: str,
    folder: Path,
    launcher: StandingLauncher,
    level: Level = LEVEL,
    limits: Limits | None = None,
    stdin: bytes = b"",
) -> Finished:
    return run_command(
        ["sh", "-c", script],
        folder,
        level=level,
        limits=limits or Limits(),
        environment={"GREETING": "hello"},
        stdin=stdin,
        launcher=launcher,
    )


def test_commands_come_through_one_after_the_other(launcher: StandingLauncher, folder: Path, level: Level) -> None:
    for number in range(3):
        finished = shell(f"cat; echo $GREETING >&2; exit {number}", folder, launcher, level, stdin=b"in\n")
        assert (finished.status, finished.output, finished.exceeded) == (number, "in\nhello\n", None)


def test_a_command_knows_neither_the_launcher_nor_the_one_before(
    launcher: StandingLauncher, folder: Path, level: Level
) -> None:
    shell("sleep 1000 &", folder, launcher, level)
    finished = shell("ls /proc/self/fd | wc -l; kill -9 $PPID; kill -9 -1; echo x > /usr/new", folder, launcher, level)
    assert finished.status != 0
    assert shell("echo alive", folder, launcher, level).output == "alive\n"
    assert launcher._process is not None
    assert launcher._process.poll() is None


def test_limits_end_a_command_and_not_the_launcher(launcher: StandingLauncher, folder: Path) -> None:
    assert shell("while :; do :; done", folder, launcher, limits=Limits(cpu_seconds=0.3)).exceeded == "cpu"
    assert shell("sleep 1000", folder, launcher, limits=Limits(wall_seconds=0.3)).exceeded == "wall"
    assert shell("echo alive", folder, launcher).output == "alive\n"


def test_a_launcher_that_was_killed_is_started_again(launcher: StandingLauncher, folder: Path) -> None:
    assert shell("echo 1", folder, launcher).output == "1\n"
    assert launcher._process is not None
    launcher._process.kill()
    launcher._process.wait()
    assert shell("echo 2", folder, launcher).output == "2\n"


def test_a_launcher_killed_over_a_command_says_nothing_of_the_command(
    launcher: StandingLauncher, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("repotune.evaluate.sandbox.command._BACKSTOP_SECONDS", -9.0)
    with pytest.raises(SandboxError):
        shell("sleep 1000", folder, launcher, limits=Limits(wall_seconds=9.5))


def test_nothing_is_left_when_it_is_closed(folder: Path) -> None:
    with StandingLauncher() as launcher:
        shell("true", folder, launcher)
        process = launcher._process
    assert process is not None
    assert process.returncode is not None
