from __future__ import annotations

from pathlib import Path

import pytest

from repotune.cli.main import main


@pytest.fixture
def project(write, module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write(tmp_path / "api", {f"src/m{number}.py": module(number) for number in range(20)})
    monkeypatch.chdir(tmp_path)
    assert main(["init", "api"]) == 0
    config = tmp_path / "repotune.toml"
    config.write_text(config.read_text().replace("[corpus]", "[corpus]\nvalidation_share = 0.2\ntest_share = 0.2"))
    assert main(["corpus"]) == 0
    return tmp_path


def test_remove_says_what_it_did_and_the_corpus_stays_done(project, capsys):
    target = next(f"api/src/m{number}.py" for number in range(20) if kept(f"m{number}.py", capsys))
    assert main(["corpus", "remove", target]) == 0
    said = capsys.readouterr()
    assert f"path: {target} is taken out: 1 of " in said.err and said.out == ""
    assert f"path: {target}" in (project / "opt-out.txt").read_text()
    assert main(["corpus", "why", target]) == 0
    assert capsys.readouterr().out == f"{target} is dropped by opted_out: path: {target}\n"
    assert main(["corpus"]) == 0
    assert "done before" in capsys.readouterr().err


def test_an_opt_out_written_by_hand_makes_the_corpus_stale(project, capsys):
    (project / "opt-out.txt").write_text("path: api/src/m1.py\n")
    assert main(["status"]) == 0
    assert "opt_out.paths" in capsys.readouterr().err
    assert main(["corpus"]) == 0
    assert not kept("m1.py", capsys)


def test_remove_needs_a_path_and_one_that_is_there(project, capsys):
    assert main(["corpus", "remove"]) == 2
    assert "needs a path" in capsys.readouterr().err
    assert main(["corpus", "remove", "nothing.py"]) == 2
    assert not (project / "opt-out.txt").exists()


def kept(path: str, capsys: pytest.CaptureFixture[str]) -> bool:
    capsys.readouterr()
    assert main(["corpus", "why", path]) == 0
    return "is kept" in capsys.readouterr().out
