"""Compilers that stay ready: a crash or a hang is theirs, not the program's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from repotune.core.errors import UserError
from repotune.evaluate.languages.cache import prepared, run_tool
from repotune.evaluate.languages.commands import Commands
from repotune.evaluate.languages.compiling import CommandCompiler, first_error
from repotune.evaluate.languages.gcc import Gcc
from repotune.evaluate.languages.java import Java
from repotune.evaluate.languages.language import load_languages
from repotune.evaluate.languages.running import LanguageSandbox
from repotune.evaluate.languages.server import Answer, CompileServer
from repotune.evaluate.sandbox.confinement import Level
from repotune.evaluate.sandbox.execution import MIB, Limits, Verdict
from repotune.evaluate.sandbox.probe import probe

LEVEL = probe().level
pytestmark = pytest.mark.skipif(LEVEL < Level.CONFINED, reason=f"this machine only reaches {LEVEL.name}")

needs_java = pytest.mark.skipif(shutil.which("javac") is None, reason="this machine has no Java")
ECHO = """
my ($head, @blocks);
sub block { read(STDIN, my $head, 4) == 4 or exit; read(STDIN, my $text, unpack("N", $head)); $text }
$| = 1;
while (1) {
    my ($name, $text) = (block(), block());
    exit if $text eq "die";
    sleep 1000 if $text eq "hang";
    print map { pack("N/a*", $_) } $text eq "bad" ? ($text, "") : ("", $name, $text, "");
}
"""


@pytest.fixture
def server() -> CompileServer:
    return CompileServer(["perl", "-e", ECHO], [], LEVEL, Limits())


def test_a_server_answers_and_stays(server: CompileServer) -> None:
    assert server.compile("a.x", "good", 30) == Answer("", {"a.x": b"good"})
    assert server.compile("a.x", "bad", 30) == Answer("bad", {})
    large = "x" * 300_000
    assert server.compile("b.x", large, 30) == Answer("", {"b.x": large.encode()})
    server.close()


@pytest.mark.parametrize("fault", ["die", "hang"])
def test_a_server_that_dies_or_hangs_says_nothing_and_is_started_again(server: CompileServer, fault: str) -> None:
    assert server.compile("a.x", fault, 1.0 if fault == "hang" else 30) is None
    assert server.compile("a.x", "good", 30) == Answer("", {"a.x": b"good"})
    server.close()


def test_a_file_outside_the_folder_is_not_written(tmp_path: Path) -> None:
    for name in ("../escaped", "/tmp/escaped", "a/../../escaped"):
        outcome = Answer("", {name: b""}).put_into(tmp_path / "inside")
        assert outcome is not None
        assert outcome.verdict == Verdict.HARNESS_ERROR
    assert Answer("", {"org/x/A.class": b"1"}).put_into(tmp_path / "inside") is None
    assert (tmp_path / "inside/org/x/A.class").read_bytes() == b"1"


@needs_java
def test_a_program_is_judged_also_when_the_compiler_has_died() -> None:
    java = load_languages()["java"]
    right = java.control.texts()[Verdict.PASSED]
    with LanguageSandbox(java, LEVEL, workers=1) as sandbox:
        verdicts = [next(sandbox.run([right])).verdict]
        compiler = sandbox._workers[0].compiler
        assert isinstance(compiler, Java)
        assert compiler._server._process is not None
        compiler._server._process.kill()
        verdicts.append(next(sandbox.run([right])).verdict)
    assert verdicts == [Verdict.PASSED, Verdict.PASSED]


@needs_java
def test_a_compiler_lives_through_runs_and_ends_with_its_sandbox() -> None:
    java = load_languages()["java"]
    processes = []
    with LanguageSandbox(java, LEVEL, workers=1) as sandbox:
        compiler = sandbox._workers[0].compiler
        assert isinstance(compiler, Java)
        for _ in range(2):
            assert next(sandbox.run(["class Problem { int }"])).verdict == Verdict.COMPILE_ERROR
            process = compiler._server._process
            assert process is not None
            assert process.poll() is None
            processes.append(process)
    assert processes[0] is processes[1]
    assert processes[0].poll() is not None


@needs_java
def test_java_programs_have_half_of_the_memory_for_objects_however_large_each_is() -> None:
    program = "class Problem { public static void main(String[] a) { long[][] all = new long[COUNT][1 << 17]; } }"
    with LanguageSandbox(load_languages()["java"], LEVEL, Limits(memory=1024 * MIB), workers=1) as sandbox:
        verdicts = [
            outcome.verdict for outcome in sandbox.run(program.replace("COUNT", each) for each in ("300", "600"))
        ]
    assert verdicts == [Verdict.PASSED, Verdict.MEMORY]


@pytest.mark.skipif(shutil.which("g++") is None, reason="this machine has no g++")
def test_the_compiled_header_is_only_for_programs_that_include_it(tmp_path: Path) -> None:
    commands = Commands(load_languages()["cpp"], LEVEL)
    compiler = Gcc(CommandCompiler(commands))
    bare = "int main() { std::vector<int> v; }\n"
    for place, (text, verdict) in enumerate(
        [(bare, Verdict.COMPILE_ERROR), (f"#include <bits/stdc++.h>\n{bare}", None)]
    ):
        folder = tmp_path / str(place)
        folder.mkdir()
        outcome = compiler.compile(text, "", folder)
        assert (outcome and outcome.verdict) == verdict
        assert not (folder / "program.cpp").exists()
    commands.close()


@pytest.mark.skipif(shutil.which("go") is None, reason="this machine has no Go")
@pytest.mark.parametrize("name", ["proof", "program", "main"])
def test_a_go_program_cannot_import_what_runs_its_tests(name: str) -> None:
    go = load_languages()["go"]
    right = go.control.texts()[Verdict.PASSED]
    with LanguageSandbox(go, LEVEL, workers=1) as sandbox:
        outcome = next(sandbox.run([right.replace("import (", f'import (\n _ "{name}"', 1)]))
    assert outcome.verdict == Verdict.COMPILE_ERROR
    assert f"could not import {name}" in outcome.detail


def test_what_is_prepared_is_kept_until_it_is_made_of_something_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    calls = []

    def prepare(folder: Path) -> None:
        calls.append(folder)
        (folder / "made").write_text(str(len(calls)))

    assert (prepared("thing", ["1"], prepare) / "made").read_text() == "1"
    assert (prepared("thing", ["1"], prepare) / "made").read_text() == "1"
    assert (prepared("thing", ["2"], prepare) / "made").read_text() == "2"
    assert len(list((tmp_path / "repotune/languages").iterdir())) == 2


def test_what_cannot_be_prepared_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(UserError, match="failed while it was made ready: no luck"):
        prepared("thing", [], lambda folder: _ignored(run_tool(["sh", "-c", "echo no luck >&2; exit 1"], folder)))
    assert not list((tmp_path / "repotune/languages").iterdir())


def _ignored(_: str) -> None:
    pass


def test_a_tool_that_is_missing_is_said() -> None:
    with pytest.raises(UserError, match="could not be run"):
        run_tool(["no-such-tool"], Path("/"))


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("In file included\nprogram.cpp:3:1: error: expected ';'\n", "program.cpp:3:1: error: expected ';'"),
        ("---\nexpected: 1\nactual: 2", "expected: 1"),
        ("Traceback\n  File\nAssertionError\n", "AssertionError"),
        ("", ""),
    ],
)
def test_the_line_that_says_most_is_told(output: str, told: str) -> None:
    assert first_error(output) == told
