"""The guides name what exists."""

import re
from pathlib import Path

from pydantic import BaseModel

from repotune.core.config import Config

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "configuration.md").read_text(encoding="utf-8")


def test_the_configuration_guide_lists_every_key_and_no_other() -> None:
    keys = set()
    for name, field in Config.model_fields.items():
        assert isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        keys |= {f"{name}.{key}" for key in field.annotation.model_fields}
    rows = [line.split("|")[1] for line in GUIDE.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`([\w.]+)`", " ".join(rows))) == keys
