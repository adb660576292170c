"""Languages as data: what is read, and what is refused."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from repotune.core.errors import UserError
from repotune.corpus.languages import LANGUAGES
from repotune.evaluate.languages.language import load_languages, read_language
from repotune.evaluate.languages.toolchains import toolchains
from repotune.evaluate.sandbox.execution import MIB, Limits

BASH = (files("repotune.evaluate.languages") / "definitions" / "sh.toml").read_text("utf-8")


def test_the_languages_are_those_of_the_benchmarks_by_names_that_the_corpus_knows() -> None:
    languages = load_languages()
    assert " ".join(languages) == "cpp cs d go java jl js lua php pl py r rb rkt rs scala sh swift ts"
    names = {"Bash": "Shell"} | {each.name: each.name for each in languages.values() if each.name != "Bash"}
    assert set(names.values()) <= set(LANGUAGES)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("run =", "rum ="), "rum"),
        (("{secret}", "secret"), "prove"),
        (('run = ["bash", "program.sh"]', 'run = "bash program.sh"'), "run is 'bash program.sh'"),
        (("[control]", "[controls]"), "control"),
        (("right =", "rite ="), "rite"),
        (('name = "Bash"', "name = 3"), "name is 3"),
        (('name = "Bash"', 'name = "Bash"\nout_of_memory = "("'), "out_of_memory|unterminated"),
        (('name = "Bash"', "name = Bash"), "Invalid value"),
    ],
)
def test_a_definition_that_does_not_fit_is_an_error(change: tuple[str, str], said: str) -> None:
    assert change[0] in BASH
    with pytest.raises(UserError, match=said):
        read_language("sh", BASH.replace(*change))


def test_limits_are_raised_only_where_a_runtime_needs_more() -> None:
    java, bash = load_languages()["java"], load_languages()["sh"]
    assert java.limits(Limits(processes=8)).processes == 64
    assert java.limits(Limits(processes=99)).processes == 99
    assert bash.limits(Limits(processes=8)) == Limits(processes=8)


def test_a_heap_leaves_half_of_the_memory_to_the_runtime() -> None:
    command = load_languages()["java"].command(["no-such-java", "-Xmx{heap}m"], Limits(memory=1024 * MIB))
    assert command == ["no-such-java", "-Xmx512m"]


def test_a_program_outside_the_system_is_named_by_its_place_and_may_be_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "bash"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    bash = load_languages()["sh"]
    assert bash.command(["bash", "x"], Limits()) == [str(program), "x"]
    assert bash.places() == [tmp_path]


def test_doctor_is_told_of_every_language_what_is_there_and_what_brings_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = toolchains()
    assert [each.language for each in told] == sorted((each.language for each in told), key=str.lower)
    perl = next(each for each in told if each.language == "Perl")
    assert perl.version is None or perl.version.startswith("5.")
    assert all(each.hint for each in told)
    monkeypatch.setenv("PATH", str(tmp_path))
    swift = next(each for each in toolchains() if each.language == "Swift")
    assert swift.hint == "https://www.swift.org/install"
