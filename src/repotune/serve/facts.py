"""What a release says of itself in release.json, as far as the server and its page need it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from repotune.core.errors import UserError


class Amount(BaseModel):
    """How much of the training code is of one kind."""

    files: int
    bytes: int


class ReleaseFacts(BaseModel):
    """The parts of release.json that are shown."""

    model_config = ConfigDict(extra="ignore")

    name: str
    parameters: int
    context: int
    licences: dict[str, Amount]
    languages: dict[str, Amount]
    verdict: str
    weights: Literal["int8", "int4"] = "int8"
    model_hash: str = ""

    def main_language(self) -> str:
        """The language with the most bytes; empty where there is none."""
        return max(self.languages, key=lambda name: self.languages[name].bytes, default="")

    def licence_shares(self) -> list[tuple[str, float]]:
        """Licences with their share of the bytes, the largest first."""
        total = sum(amount.bytes for amount in self.licences.values()) or 1
        shares = [(name, amount.bytes / total) for name, amount in self.licences.items()]
        return sorted(shares, key=lambda share: (-share[1], share[0]))


def read_facts(release_folder: Path) -> ReleaseFacts:
    """The facts of a release. Raises UserError where `release_folder` holds none, or a damaged one."""
    path = release_folder / "release.json"
    try:
        return ReleaseFacts.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{release_folder} holds no release.", "repotune run makes one") from None
    except (OSError, ValidationError) as error:
        raise UserError(f"{path} cannot be read: {error}.", "repotune run makes it again") from error
