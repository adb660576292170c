"""Which languages this machine has, and how it comes by the others: for `repotune doctor`."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from repotune.evaluate.languages.language import Language, load_languages

_MANAGERS = {
    "debian": ("apt-get", "apt-get install"),
    "fedora": ("dnf", "dnf install"),
    "brew": ("brew", "brew install"),
}


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A language, the version that is here or None, and what to do where it is missing."""

    language: str
    version: str | None
    hint: str


def toolchains() -> list[Toolchain]:
    """All languages, in the order of their names."""
    languages = sorted(load_languages().values(), key=lambda language: language.name.lower())
    return [Toolchain(each.name, each.version(), how_to_install(each)) for each in languages]


def how_to_install(language: Language) -> str:
    """The command of this machine's package manager, or where else to get it."""
    for manager, (program, command) in _MANAGERS.items():
        if manager in language.packages and shutil.which(program):
            return f"{command} {language.packages[manager]}"
    return language.packages.get("other", f"install {language.name} and put it on PATH")
