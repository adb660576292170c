"""Commands: what they may, what they may not, and what is said of them."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from repotune.core.errors import UserError
from repotune.evaluate.sandbox.command import Finished, launch, run_command
from repotune.evaluate.sandbox.confinement import Level
from repotune.evaluate.sandbox.execution import MIB, Limits
from repotune.evaluate.sandbox.probe import probe

LEVEL = probe().level
pytestmark = pytest.mark.skipif(LEVEL < Level.CONFINED, reason=f"this machine only reaches {LEVEL.name}")


@pytest.fixture(
    params=[level for level in (Level.CONFINED, Level.FULL) if level <= LEVEL], ids=lambda level: level.name
)
def level(request: pytest.FixtureRequest) -> Level:
    chosen: Level = request.param
    return chosen


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """pytest's own is closed to other uids, which matters at the level confined."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def shell(
    script: str,
    folder: Path,
    level: Level = LEVEL,
    limits: Limits | None = None,
    stdin: bytes = b"",
    **environment: str,
) -> Finished:
    return run_command(
        ["sh", "-c", script],
        folder,
        level=level,
        limits=limits or Limits(),
        environment=environment,
        stdin=stdin,
    )


def test_output_status_and_input_come_through(tmp_path: Path, level: Level) -> None:
    finished = shell("cat; echo $GREETING >&2; exit 3", tmp_path, level, stdin=b"in\n", GREETING="hello")
    assert (finished.status, finished.output, finished.exceeded) == (3, "in\nhello\n", None)


def test_the_folder_is_the_place_to_write(tmp_path: Path, level: Level) -> None:
    (tmp_path / "source").write_text("text")
    finished = shell("cat source > copy && mkdir deep && echo $TMPDIR && touch $HOME/x", tmp_path, level)
    assert finished.output.strip() == str(tmp_path)
    assert (tmp_path / "copy").read_text() == "text"


def test_nothing_else_can_be_written_or_read(tmp_path: Path, level: Level) -> None:
    inside, secret = tmp_path / "inside", tmp_path / "secret"
    inside.mkdir()
    secret.write_text("the secret")
    secret.chmod(0o644)
    finished = shell(f"cat {secret} /etc/shadow; echo x > {tmp_path}/new; echo x > /usr/new; ls /root", inside, level)
    assert "the secret" not in finished.output
    assert "root:" not in finished.output
    assert finished.status != 0
    assert sorted(each.name for each in tmp_path.iterdir()) == ["inside", "secret"]


def test_a_link_leads_nowhere(tmp_path: Path, level: Level) -> None:
    inside, secret = tmp_path / "inside", tmp_path / "secret"
    inside.mkdir()
    secret.write_text("the secret")
    finished = shell(f"ln -s {secret} link; cat link; ln {secret} hard; cat hard; echo x >> link", inside, level)
    assert "the secret" not in finished.output
    assert secret.read_text() == "the secret"


def test_what_is_named_readable_is_read_only(tmp_path: Path, level: Level) -> None:
    inside, library = tmp_path / "inside", tmp_path / "library"
    inside.mkdir()
    library.mkdir()
    (library / "file").write_text("given")
    library.chmod(0o755)
    finished = run_command(
        ["sh", "-c", f"cat {library}/file; echo x > {library}/new"],
        inside,
        level=level,
        limits=Limits(),
        environment={},
        readable=[library],
    )
    assert finished.output.startswith("given")
    assert not (library / "new").exists()


def test_processor_time_ends_a_loop(tmp_path: Path, level: Level) -> None:
    finished = shell("while :; do :; done", tmp_path, level, Limits(cpu_seconds=1))
    assert (finished.status, finished.exceeded) == (None, "cpu")


def test_sleep_ends_at_the_wall_limit_with_all_it_started(tmp_path: Path, level: Level) -> None:
    # A time of this test alone: a short number is also in the ports that other tests' processes are told.
    seconds = f"4321.{uuid4().int}"
    finished = shell(f"setsid sleep {seconds} & sleep {seconds}", tmp_path, level, Limits(wall_seconds=0.5))
    assert finished.exceeded == "wall"
    assert not [each for each in Path("/proc").glob("[0-9]*/cmdline") if seconds.encode() in _read(each)]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_output_is_bounded_and_the_command_goes_on(tmp_path: Path, level: Level) -> None:
    finished = shell("yes | head -c 3000000; touch done", tmp_path, level, Limits(output=1000))
    assert (len(finished.output), finished.exceeded, finished.status) == (1000, "output", 0)
    assert (tmp_path / "done").exists()


def test_memory_and_files_are_bounded(tmp_path: Path, level: Level) -> None:
    limits = Limits(memory=64 * MIB, file_size=MIB)
    finished = shell(
        "head -c 9000000 /dev/zero > big; x=$(yes | head -c 500000000); echo ${#x}", tmp_path, level, limits
    )
    assert (tmp_path / "big").stat().st_size <= MIB
    assert not finished.output.rstrip().endswith("00000")


def test_the_kernel_ends_it_first_when_memory_runs_out(tmp_path: Path) -> None:
    finished = shell("cat /proc/self/oom_score_adj; echo -500 > /proc/self/oom_score_adj", tmp_path)
    if not probe().proc:
        pytest.skip("there is no /proc to read it from")
    assert finished.output.startswith("1000\n")
    assert finished.status != 0


def test_a_signal_is_told(tmp_path: Path, level: Level) -> None:
    finished = shell("kill -SEGV $$", tmp_path, level)
    assert (finished.status, finished.signal) == (None, signal.SIGSEGV)


def test_killing_the_launcher_ends_the_command(tmp_path: Path, level: Level) -> None:
    reading, writing = os.pipe()
    with launch(["sh", "-c", "echo on; exec sleep 4322"], tmp_path, level, Limits(), {}, [], writing) as process:
        os.close(writing)
        assert process.stdout is not None
        assert process.stdout.readline() == b"on\n"
        process.kill()
        assert process.stdout.read() == b""  # the pipe ends with the last process that could write to it
    os.close(reading)


def test_a_command_that_is_not_there_ends_as_in_a_shell(tmp_path: Path) -> None:
    finished = run_command(["no-such-command"], tmp_path, level=LEVEL, limits=Limits(), environment={})
    assert finished.status == 127
    assert "no-such-command" in finished.output


def test_an_environment_of_ours_is_not_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "the secret")
    assert "the secret" not in shell("env; cat /proc/*/environ | tr '\\0' ' '", tmp_path).output


def test_a_missing_folder_is_the_users_to_mend(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not there"):
        shell("true", tmp_path / "nowhere")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's programs change their uid")
def test_a_folder_that_another_uid_cannot_reach_is_refused_where_it_matters(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "inside").mkdir()
    with pytest.raises(UserError, match="closed to other users"):
        shell("true", tmp_path / "inside", Level.CONFINED)
    assert shell("true", tmp_path / "inside", LEVEL).status == 0 or LEVEL < Level.FULL
