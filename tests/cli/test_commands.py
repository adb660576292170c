import importlib
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from repotune.cli.main import build_parser, main
from repotune.core.config import load_config


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def code(here: Path) -> Path:
    """A plain folder with a little code in it."""
    folder = here / "My Code"
    folder.mkdir()
    for number in range(8):
        body = "\n".join(f"def function_{number}_{line}(value):\n    return value * {line}" for line in range(30))
        (folder / f"module_{number}.py").write_text(f"import os\n\n\n{body}\n")
    return folder


def test_help_answers_without_anything_heavy() -> None:
    program = "import sys; from repotune.cli.main import build_parser; build_parser(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "numpy", "pyarrow", "pydantic", "rich", "duckdb"} & set(loaded)


def test_a_server_is_started_without_what_makes_a_corpus() -> None:
    """They are 60 MB of each server that reads a project."""
    code = "import sys, repotune.cli.rooms, repotune.serve.run; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "pyarrow", "duckdb"} & set(loaded)


COMMANDS = ["demo", "init", "plan", "run", "status", "doctor", "serve", "editor"]
ROOMS = ["corpus", "tokenizer", "train", "evaluate", "release", "report"]


@pytest.mark.parametrize("command", COMMANDS + ROOMS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert "usage: repotune" in capsys.readouterr().out


@pytest.mark.parametrize("action", ["benchmark", "compare", "ablate", "leaks"])
def test_every_action_of_evaluate_has_help_and_a_handler(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["evaluate", action, "--help"])
    assert caught.value.code == 0
    assert f"repotune evaluate {action}" in capsys.readouterr().out
    needed = [] if action == "leaks" else ["one"]
    parsed = build_parser().parse_args(["evaluate", "--config", "other.toml", action, *needed])
    module, function = parsed.handler.split(":")
    assert callable(getattr(importlib.import_module(f"repotune.cli.{module}"), function))
    assert parsed.config == Path("other.toml")


def test_init_writes_a_configuration_that_loads(code: Path, here: Path) -> None:
    assert main(["init", "My Code", "git@host:team/web.git", "--hours", "2"]) == 0
    config = load_config(here / "repotune.toml")
    assert config.project.name == "My-Code"
    assert config.project.repositories == (str(code), "git@host:team/web.git")
    assert config.budget.hours == 2
    lines = (here / "repotune.toml").read_text().splitlines()
    assert len(lines) <= 15, "a newcomer reads it at a glance"


def test_init_never_overwrites(code: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "repotune.toml").write_text("mine")
    assert main(["init", "My Code"]) == 2
    assert (here / "repotune.toml").read_text() == "mine"
    assert "is there already" in capsys.readouterr().err


def test_init_refuses_what_is_not_there(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "nowhere"]) == 2
    assert "There is no repository nowhere." in capsys.readouterr().err
    assert not (here / "repotune.toml").exists()


@pytest.mark.parametrize(
    ("name", "model"), [("tool-1.0.tar", "tool-1.0"), ("code.jsonl", "code"), ("My Code#v1", None)]
)
def test_init_takes_every_kind_of_source(
    name: str, model: str | None, code: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with tarfile.open(here / "tool-1.0.tar", "w") as archive:
        archive.add(code, "tool-1.0")
    (here / "code.jsonl").write_text('{"content": "x = 1"}\n')
    assert main(["init", name]) == (0 if model else 2)  # a plain folder has no revisions
    if model:
        config = load_config(here / "repotune.toml")
        assert (config.project.name, config.project.repositories) == (model, (str(here / name),))
    else:
        assert "names a revision" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [["plan"], ["run"], ["status"], ["serve"], ["corpus", "why", "x.py"], ["corpus", "look"], ["train"]]
)
def test_without_a_project_every_command_points_at_init(
    command: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "There is no repotune.toml." in said
    assert "hint: repotune init" in said
    assert not list(here.iterdir())


@pytest.mark.parametrize("hours", ["0", "-1", "nan", "inf", "soon"])
def test_a_budget_is_a_positive_number(hours: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["init", ".", f"--hours={hours}"])
    assert caught.value.code == 2
    assert "--hours" in capsys.readouterr().err


def test_plan_says_time_memory_and_disk_and_changes_nothing(
    code: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["init", "My Code", "--hours", "0.01"])
    capsys.readouterr()
    assert main(["plan"]) == 0
    said = capsys.readouterr().err
    assert "8 files of code" in said
    assert "memory" in said and "disk" in said and "in all" in said
    assert main(["plan", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["steps"][0]["name"] == "corpus"
    assert plan["seconds"] > 0
    assert {path.name for path in here.iterdir()} == {"My Code", "repotune.toml"}


def test_status_before_and_after_the_first_steps(code: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["init", "My Code"])
    assert main(["status", "--json"]) == 0
    assert {step["state"] for step in json.loads(capsys.readouterr().out)} == {"missing"}
    assert main(["corpus"]) == 0
    assert main(["status", "--json"]) == 0
    states = {step["step"]: step["state"] for step in json.loads(capsys.readouterr().out)}
    assert states["corpus"] == "done"
    assert states["tokenizer"] == "missing"
    (code / "module_0.py").write_text("import sys\n\n\nprint(sys.argv, 'another content of this file')\n")
    assert main(["status"]) == 0
    assert "to be built again: repositories" in capsys.readouterr().err


def test_corpus_why_answers_for_a_file(code: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code / "blob.py").write_bytes(b"\x00\x01binary\xff" * 40)
    main(["init", "My Code"])
    main(["corpus"])
    capsys.readouterr()
    assert main(["corpus", "why", "blob.py"]) == 0
    assert "blob.py" in capsys.readouterr().out
    assert main(["corpus", "why", "modul_3.py"]) == 2
    assert main(["corpus", "look"]) == 0
    assert "blob.py" in (here / "work" / "look" / "corpus.html").read_text(encoding="utf-8")
    assert "module_3.py" in capsys.readouterr().err


def test_vocabularies_are_compared_on_the_projects_own_text(
    code: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["init", "My Code"])
    assert main(["tokenizer"]) == 0
    capsys.readouterr()
    shutil.copytree(here / "work" / "tokenizer", here / "other")
    assert main(["tokenizer", "compare", "other"]) == 0
    head, own, other = capsys.readouterr().out.splitlines()
    assert head.split("\t") == ["bytes per token", "entries", "all", "Python"]
    assert own.split("\t")[1:] == other.split("\t")[1:]
    assert float(own.split("\t")[2]) > 1
    assert main(["tokenizer", "compare", str(code)]) == 2
    assert "There is no" in capsys.readouterr().err


def test_a_step_without_its_extra_names_it_and_loses_nothing(code: Path, here: Path) -> None:
    main(["init", "My Code"])
    program = "import sys; sys.modules['torch'] = None; from repotune.cli.main import main; sys.exit(main(['run']))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 2
    assert "This needs torch, which is not installed." in run.stderr
    assert "repotune[train]" in run.stderr and "Traceback" not in run.stderr
    assert (here / "work" / "plan" / "manifest.json").is_file()


def test_an_unknown_step_lists_the_steps(code: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["init", "My Code"])
    assert main(["run", "--until", "trian"]) == 2
    assert "corpus, tokenizer, tokens" in capsys.readouterr().err


def test_doctor_reports_and_scripts_can_read_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["hardware"]["cores"] >= 1
    assert {finding["name"] for finding in data["findings"]} >= {"python", "memory", "disk", "torch", "git"}
