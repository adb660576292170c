from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from repotune.core.artefact import read_manifest, recover, require_artefact, unfinished_path
from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.core.flow import Step, Work, run_flow, survey
from repotune.core.settings import CorpusSettings, OptOutSettings
from repotune.corpus.build import build_corpus
from repotune.corpus.engines.local import LocalEngine
from repotune.corpus.opt_out import read_opt_out
from repotune.corpus.removal import REMOVALS_NAME, remove
from repotune.corpus.why import explain


def flow(root: Path, opt_out: OptOutSettings) -> list[Step]:
    """A corpus of real code and the shape of the steps after it."""
    settings = CorpusSettings(opt_out=opt_out, validation_share=0.1, test_share=0.1)
    given = [str(root / "api"), str(root / "web")]

    def train(work: Work) -> None:
        (work.folder / "weights").write_bytes((work.inputs["tokens"] / "summary.json").read_bytes()[::-1])

    def release(work: Work) -> None:
        (work.folder / "model").write_bytes((work.inputs["run"] / "weights").read_bytes()[::-2])

    corpus = Step(
        "corpus",
        "",
        lambda work: build_corpus(work, given, settings, partial(LocalEngine, 1)),
        settings=json.loads(settings.model_dump_json()),
    )
    return [
        corpus,
        Step("tokens", "", lambda work: shutil.copy(work.inputs["corpus"] / "summary.json", work.folder), ("corpus",)),
        Step("run", "", train, ("tokens",)),
        Step("release", "", release, ("corpus", "run")),
    ]


@pytest.fixture
def project(write, module, tmp_path):
    write(tmp_path / "api", {f"src/m{number}.py": module(number) for number in range(12)})
    write(tmp_path / "web", {f"w{number}.py": module(100 + number) for number in range(12)})
    write(tmp_path / "web", {"copy.py": module(3)})
    (tmp_path / "work").mkdir()
    run(tmp_path)
    return tmp_path


def steps(root: Path) -> list[Step]:
    return flow(root, read_opt_out(root / "opt-out.txt"))


def run(root: Path) -> None:
    run_flow(steps(root), root / "work", Console(quiet=True), seed=1)


def states(root: Path) -> list[str]:
    return [standing.state for standing in survey(steps(root), root / "work", seed=1)]


def kept(root: Path) -> dict[str, str]:
    found = {}
    for split in ("train", "validation", "test"):
        table = pq.read_table(root / "work" / "corpus" / f"{split}-00000.parquet")
        found |= {f"{row['repository']}/{row['path']}": split for row in table.to_pylist()}
    return found


def take_out(root: Path, target: str, search: Sequence[Path] = ()):
    return remove(root / "work", target, root / "opt-out.txt", search)


def file_in(root: Path, split: str) -> str:
    return next(name for name, where in kept(root).items() if where == split and name.startswith("web/w"))


def test_a_file_is_taken_out_and_all_else_stays_byte_for_byte(project):
    folder = project / "work" / "corpus"
    target = file_in(project, "train")
    before, others = (
        kept(project),
        {name: (folder / name).read_bytes() for name in ("validation-00000.parquet", "test-00000.parquet")},
    )
    rows = pq.read_table(folder / "train-00000.parquet").to_pylist()
    removal = take_out(project, target)
    assert removal.line == f"path: {target}" and removal.files == {"train": 1} and removal.size > 0
    assert kept(project) == {name: split for name, split in before.items() if name != target}
    assert {name: (folder / name).read_bytes() for name in others} == others
    left = pq.read_table(folder / "train-00000.parquet").to_pylist()
    assert left == [row for row in rows if f"{row['repository']}/{row['path']}" != target]
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["dropped"]["opted_out"]["files"] == 1
    assert summary["funnel"][-1]["files"] == len(left) + 2 + 2 == sum(s["files"] for s in summary["splits"].values())
    assert str(explain(folder, target)[0]) == f"{target} is dropped by opted_out: path: {target}"
    assert require_artefact(folder).settings["opt_out"]["paths"] == [target]


def test_the_corpus_is_done_and_what_follows_is_stale(project):
    assert states(project) == ["done"] * 4
    take_out(project, file_in(project, "train"))
    assert states(project) == ["done", "stale", "stale", "stale"]
    run(project)
    assert states(project) == ["done"] * 4


def test_a_rebuild_leaves_it_out_too(project):
    target = file_in(project, "train")
    take_out(project, target)
    shutil.rmtree(project / "work" / "corpus")
    run(project)
    assert target not in kept(project)
    assert explain(project / "work" / "corpus", target)[0].rule == "opted_out"


def test_a_repository_and_a_folder_are_taken_out_whole(project):
    expected = {name for name in kept(project) if name.startswith("web/")}
    splits = {kept(project)[name] for name in kept(project) if name not in expected}
    if splits != {"train", "validation", "test"}:
        with pytest.raises(UserError, match="split would be empty"):
            take_out(project, "web")
        return
    removal = take_out(project, "web")
    assert removal.line == "repository: web" and sum(removal.files.values()) == len(expected)
    assert not any(name.startswith("web/") for name in kept(project))


def test_a_split_is_never_left_empty(project):
    for name, split in kept(project).items():
        if split == "test":
            last = name
            if list(kept(project).values()).count("test") == 1:
                break
            take_out(project, name)
    before = (project / "opt-out.txt").read_text() if (project / "opt-out.txt").exists() else ""
    with pytest.raises(UserError, match="the test split would be empty"):
        take_out(project, last)
    assert ((project / "opt-out.txt").read_text() if before else "") == before
    assert last in kept(project)


def test_models_that_saw_it_are_named_even_after_other_removals(project):
    first, second = [name for name, split in kept(project).items() if split == "train"][:2]
    away = project / "elsewhere" / "model"
    shutil.copytree(project / "work" / "release", away)
    (away / "manifest.json").unlink()
    contents = require_artefact(project / "work" / "corpus").contents
    (away / "release.json").write_text(json.dumps({"created_from": {"corpus": contents, "run": "x"}}))
    take_out(project, first)
    removal = take_out(project, second, [project / "elsewhere"])
    told = {(model.folder.name, model.step, model.seen) for model in removal.models}
    assert told == {("run", "run", "yes"), ("release", "release", "yes"), ("model", "release", "yes")}
    history = json.loads((project / "work" / "corpus" / REMOVALS_NAME).read_text())
    assert history[0]["corpus"] == contents and len(history) == 2


def test_a_model_whose_inputs_are_gone_may_have_seen_it(project):
    first, second = [name for name, split in kept(project).items() if split == "train"][:2]
    take_out(project, first)
    run_flow(steps(project)[:2], project / "work", Console(quiet=True), seed=1)
    told = {(model.step, model.seen) for model in take_out(project, second).models}
    assert told == {("run", "perhaps"), ("release", "yes")}


def test_a_model_made_since_has_not_seen_what_was_taken_out_before(project):
    first, second = [name for name, split in kept(project).items() if split == "train"][:2]
    take_out(project, first)
    run(project)
    models = take_out(project, second).models
    assert {model.step for model in models} == {"run", "release"}
    other = project / "other"
    shutil.copytree(project / "work", other)
    shutil.rmtree(other / "corpus")
    assert all(model.seen == "yes" for model in models)


def test_duplicates_of_it_are_told(project):
    name, copy = ("api/src/m3.py", "web/copy.py")
    dropped, stays = (name, copy) if copy in kept(project) else (copy, name)
    assert take_out(project, dropped).copies == (stays,)
    assert take_out(project, stays).returning == ()
    assert states(project)[0] == "done"


def test_what_is_out_already_changes_nothing_but_the_list(project):
    dropped = "web/copy.py" if "web/copy.py" not in kept(project) else "api/src/m3.py"
    before = require_artefact(project / "work" / "corpus").contents
    removal = take_out(project, dropped)
    assert not removal.files and removal.size == 0
    assert require_artefact(project / "work" / "corpus").contents == before
    assert states(project) == ["done"] * 4
    assert read_opt_out(project / "opt-out.txt").paths == (dropped,)


@pytest.mark.parametrize(
    ("target", "said"), [("m99.py", "knows no file"), ("", "knows no file"), ("/", "knows no file")]
)
def test_nothing_known_is_an_error(project, target, said):
    with pytest.raises(UserError, match=said):
        take_out(project, target)
    assert not (project / "opt-out.txt").exists()


def test_more_than_one_thing_is_an_error(write, module, tmp_path):
    for name in ("api", "web"):
        write(tmp_path / name, {f"{name}{number}.py": module(ord(name[0]) * 100 + number) for number in range(5)})
        write(tmp_path / name, {"same.py": module(ord(name[0]))})
    (tmp_path / "work").mkdir()
    run_flow(flow(tmp_path, OptOutSettings())[:1], tmp_path / "work", Console(quiet=True), seed=1)
    with pytest.raises(UserError, match=r"may be any of api/same.py, web/same.py"):
        take_out(tmp_path, "same.py")


KILLED = """
import os, sys
from pathlib import Path
from repotune.corpus.removal import remove
root, target, last = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
count = 0
def audit(event, arguments):
    global count
    if event in ("os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir") and str(root) in str(arguments):
        count += 1
        if count == last:
            os._exit(9)
sys.addaudithook(audit)
remove(root / "work", target, root / "opt-out.txt")
print(count)
"""


def test_a_kill_at_any_moment_leaves_the_old_corpus_or_the_new_one(project):
    target = file_in(project, "train")
    old, saved = kept(project), project / "saved"
    shutil.copytree(project / "work", saved)

    def attempt(last: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", KILLED, str(project), target, str(last)]
        return subprocess.run(command, capture_output=True, text=True)

    whole = attempt(0)
    assert whole.returncode == 0, whole.stderr
    moments = int(whole.stdout)
    for last in sorted({1, 2, 4, moments // 2, moments - 5, moments - 3, moments - 2, moments - 1, moments}):
        shutil.rmtree(project / "work")
        shutil.copytree(saved, project / "work")
        (project / "opt-out.txt").unlink(missing_ok=True)
        assert attempt(last).returncode == 9, last
        recover(project / "work" / "corpus")
        assert read_manifest(project / "work" / "corpus") is not None, last
        assert kept(project) in (old, {name: split for name, split in old.items() if name != target}), last
        assert target not in kept(project) or states(project)[0] != "done" or not (project / "opt-out.txt").exists()
        remove(project / "work", target, project / "opt-out.txt")
        assert target not in kept(project) and states(project)[0] == "done"
        assert not unfinished_path(project / "work" / "corpus").exists()
