"""The guides name what exists."""

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from repotune.core.config import Config

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "configuration.md").read_text(encoding="utf-8")


def keys_of(section: type[BaseModel], prefix: str) -> Iterator[str]:
    """The keys of a section of the configuration, and those of the sections within."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys_of(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name


def test_the_configuration_guide_lists_every_key_and_no_other() -> None:
    rows = [line.split("|")[1] for line in GUIDE.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`([\w.]+)`", " ".join(rows))) == set(keys_of(Config, ""))
