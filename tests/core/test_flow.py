import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from repotune.core import artefact
from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.core.flow import Step, Work, discard_unfinished, locked, run_flow, survey

QUIET = Console(quiet=True)


def writer(text: str, ran: list[str] | None = None, name: str = "out.txt") -> Callable[[Work], None]:
    def run(work: Work) -> None:
        if ran is not None:
            ran.append(work.folder.name)
        (work.folder / name).write_text(text)

    return run


def two_steps(ran: list[str], first: str = "a", setting: int = 1) -> list[Step]:
    def double(work: Work) -> None:
        ran.append("second")
        (work.folder / "out.txt").write_text((work.inputs["first"] / "out.txt").read_text() * 2)

    return [
        Step("first", "First", writer(first, ran), settings={"n": setting}),
        Step("second", "Second", double, inputs=("first",)),
    ]


def test_a_step_that_is_done_is_skipped(tmp_path: Path) -> None:
    ran: list[str] = []
    run_flow(two_steps(ran), tmp_path, QUIET, seed=1)
    run_flow(two_steps(ran), tmp_path, QUIET, seed=1)
    assert ran == ["first", "second"]
    assert (tmp_path / "second" / "out.txt").read_text() == "aa"
    assert not list((tmp_path / ".unfinished").iterdir())


def test_a_changed_setting_rebuilds_that_step_and_what_its_new_contents_touch(tmp_path: Path) -> None:
    ran: list[str] = []
    run_flow(two_steps(ran), tmp_path, QUIET, seed=1)
    run_flow(two_steps(ran, setting=2), tmp_path, QUIET, seed=1)
    assert ran == ["first", "second", "first"], "the same contents leave the second step done"
    run_flow(two_steps(ran, first="b", setting=3), tmp_path, QUIET, seed=1)
    assert ran[3:] == ["first", "second"]
    assert (tmp_path / "second" / "out.txt").read_text() == "bb"


def test_another_seed_rebuilds(tmp_path: Path) -> None:
    ran: list[str] = []
    run_flow(two_steps(ran)[:1], tmp_path, QUIET, seed=1)
    run_flow(two_steps(ran)[:1], tmp_path, QUIET, seed=2)
    assert ran == ["first", "first"]


def test_volatile_files_do_not_count_as_contents(tmp_path: Path) -> None:
    def step(text: str, setting: int) -> Step:
        return Step("only", "Only", writer(text), settings={"n": setting}, volatile=frozenset({"out.txt"}))

    first = run_flow([step("took 1 s", 1)], tmp_path, QUIET, seed=1)[0]
    second = run_flow([step("took 2 s", 2)], tmp_path, QUIET, seed=1)[0]
    assert first.contents == second.contents
    assert first.fingerprint != second.fingerprint


def test_a_failing_step_leaves_the_finished_folder_as_it_was(tmp_path: Path) -> None:
    def fail(work: Work) -> None:
        (work.folder / "out.txt").write_text("half")
        raise UserError("No.")

    run_flow([Step("only", "Only", writer("whole"))], tmp_path, QUIET, seed=1)
    with pytest.raises(UserError):
        run_flow([Step("only", "Only", fail, settings={"n": 2})], tmp_path, QUIET, seed=1)
    assert (tmp_path / "only" / "out.txt").read_text() == "whole"
    assert artefact.require_artefact(tmp_path / "only")


def test_a_resumable_step_finds_what_it_left_and_others_do_not(tmp_path: Path) -> None:
    def run(work: Work) -> None:
        seen.append((work.folder / "part.txt").exists())
        (work.folder / "part.txt").write_text("x")
        if len(seen) == 1:
            raise UserError("Stopped.")

    for resumable in (True, False):
        seen: list[bool] = []
        step = Step(f"step{resumable}", "Step", run, resumable=resumable)
        with pytest.raises(UserError):
            run_flow([step], tmp_path, QUIET, seed=1)
        assert survey([step], tmp_path, seed=1)[0].state == "unfinished"
        run_flow([step], tmp_path, QUIET, seed=1)
        assert seen == [False, resumable]


def test_an_unfinished_run_under_another_configuration_is_refused_with_the_difference(tmp_path: Path) -> None:
    def fail(work: Work) -> None:
        (work.folder / "part.txt").write_text("hours of work")
        raise UserError("Stopped.")

    def step(tokens: int) -> Step:
        return Step("run", "Run", fail, settings={"train": {"tokens": tokens, "seed": 1}}, resumable=True)

    with pytest.raises(UserError, match="Stopped"):
        run_flow([step(5)], tmp_path, QUIET, seed=1)
    with pytest.raises(UserError, match=r"train\.tokens: 5 → 6") as caught:
        run_flow([step(6)], tmp_path, QUIET, seed=1)
    assert "--discard run" in (caught.value.hint or "")
    assert (artefact.unfinished_path(tmp_path / "run") / "part.txt").read_text() == "hours of work"
    discard_unfinished(tmp_path, "run")
    with pytest.raises(UserError, match="Stopped"):
        run_flow([step(6)], tmp_path, QUIET, seed=1)


@pytest.mark.parametrize("damage", ["shorter", "missing"])
def test_a_folder_whose_files_are_not_whole_is_built_again(tmp_path: Path, damage: str) -> None:
    ran: list[str] = []
    step = Step("only", "Only", writer("whole", ran))
    run_flow([step], tmp_path, QUIET, seed=1)
    file = tmp_path / "only" / "out.txt"
    if damage == "shorter":
        file.write_text("who")
    else:
        file.unlink()
    run_flow([step], tmp_path, QUIET, seed=1)
    assert ran == ["only", "only"]
    assert file.read_text() == "whole"


def test_a_damaged_manifest_says_so(tmp_path: Path) -> None:
    step = Step("only", "Only", writer("whole"))
    run_flow([step], tmp_path, QUIET, seed=1)
    (tmp_path / "only" / "manifest.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        run_flow([step], tmp_path, QUIET, seed=1)


def test_a_full_disk_is_a_sentence_and_the_old_folder_stays(tmp_path: Path) -> None:
    def fill(work: Work) -> None:
        with Path("/dev/full").open("w") as file:
            file.write("x" * 100_000)

    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    run_flow([Step("only", "Only", writer("whole"))], tmp_path, QUIET, seed=1)
    with pytest.raises(UserError, match="No space left"):
        run_flow([Step("only", "Only", fill, settings={"n": 2})], tmp_path, QUIET, seed=1)
    assert (tmp_path / "only" / "out.txt").read_text() == "whole"


def test_two_at_once_are_refused_and_the_lock_dies_with_its_holder(tmp_path: Path) -> None:
    program = "import sys, time; from pathlib import Path; from repotune.core.flow import locked\n"
    program += "with locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match=f"process {holder.pid}"), locked(tmp_path):
            pass
        holder.kill()
        holder.wait()
    with locked(tmp_path):
        pass


KILLED_AT = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    from repotune.core import artefact
    from repotune.core.console import Console
    from repotune.core.flow import Step, run_flow

    workspace, text, fatal = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    calls = 0

    def counting(real):
        def call(*arguments, **keywords):
            global calls
            calls += 1
            if calls == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **keywords)
        return call

    # Every system call that changes what is on the disk is a place to die.
    for name in ("rename", "replace", "unlink", "mkdir"):
        setattr(Path, name, counting(getattr(Path, name)))
    os.fsync = counting(os.fsync)
    artefact.shutil.rmtree = counting(artefact.shutil.rmtree)

    def run(work):
        (work.folder / "out.txt").write_text(text)

    run_flow([Step("only", "Only", run, settings={"text": text})], workspace, Console(quiet=True), seed=1)
    """
)


def test_killed_at_any_change_on_disk_the_old_folder_or_the_new_one_is_whole(tmp_path: Path) -> None:
    def run(text: str, fatal: int) -> int:
        command = [sys.executable, "-c", KILLED_AT, str(tmp_path), text, str(fatal)]
        return subprocess.run(command, check=False, timeout=60).returncode

    assert run("old", fatal=0) == 0
    deaths = 0
    for fatal in range(1, 100):
        code = run(f"new{fatal}", fatal)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        deaths += 1
        artefact.recover(tmp_path / "only")
        assert artefact.read_manifest(tmp_path / "only") is not None, f"nothing whole after death at call {fatal}"
        left = (tmp_path / "only" / "out.txt").read_text()
        assert left in ("old", f"new{fatal}")
        assert run("old", fatal=0) == 0
        assert (tmp_path / "only" / "out.txt").read_text() == "old"
    assert deaths > 8, "the test reached every place"


def test_the_manifest_names_what_the_folder_was_made_from(tmp_path: Path) -> None:
    manifests = run_flow(two_steps([]), tmp_path, QUIET, seed=7)
    data = json.loads((tmp_path / "second" / "manifest.json").read_text())
    assert data["inputs"] == {"first": manifests[0].contents}
    assert data["seed"] == 7
    assert data["files"] == {"out.txt": 2}
    assert data["version"] and data["host"] and data["finished"]
