"""repotune.toml, read and checked: an unknown key is an error with a suggestion."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError, model_validator

from repotune.core.errors import UserError
from repotune.core.settings import (
    BudgetSettings,
    CorpusSettings,
    EvaluateSettings,
    ModelSettings,
    ProjectSettings,
    ReleaseSettings,
    Section,
    ServeSettings,
    TokenizerSettings,
    TrainSettings,
)

CONFIG_NAME = "repotune.toml"


class Config(Section):
    """A whole repotune.toml."""

    project: ProjectSettings
    corpus: CorpusSettings = CorpusSettings()
    tokenizer: TokenizerSettings = TokenizerSettings()
    model: ModelSettings = ModelSettings()
    budget: BudgetSettings = BudgetSettings()
    train: TrainSettings = TrainSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    release: ReleaseSettings = ReleaseSettings()
    serve: ServeSettings = ServeSettings()

    @model_validator(mode="after")
    def _fits_together(self) -> Config:
        if self.train.adapter is not None and self.model.base is None:
            raise ValueError("train.adapter stands in a base; name one in model.base")
        if self.tokenizer.size is not None and self.model.base is not None:
            raise ValueError("a base brings its tokenizer; leave out tokenizer.size")
        if self.tokenizer.pattern == "code" and self.release.gguf:
            raise ValueError('llama.cpp cannot cut text by tokenizer.pattern "code"; set release.gguf = []')
        if self.budget.hours is not None and (self.train.tokens or self.train.epochs):
            key = "tokens" if self.train.tokens else "epochs"
            raise ValueError(f"budget.hours and train.{key} both say how long to train; keep one")
        return self


def load_config(path: Path) -> Config:
    """Reads `path`, a repotune.toml. Raises UserError that names the key and, for a misspelt one, the nearest."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"There is no {path}.", f"repotune init REPOSITORY… writes a {CONFIG_NAME}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}.") from error
    try:
        return parse_config(tomllib.loads(text), str(path))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} is not valid TOML: {error}.") from error


def parse_config(data: dict[str, Any], origin: str) -> Config:
    """The tables of a repotune.toml as a Config. `origin` names the file in errors."""
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        raise _as_user_error(error, origin) from error


SectionType = TypeVar("SectionType", bound=Section)


def with_values(section: SectionType, values: Mapping[str, Any], origin: str) -> SectionType:
    """`section` with other values, which `origin` gave. Raises UserError as `parse_config`."""
    try:
        return type(section).model_validate({**section.model_dump(), **values})
    except ValidationError as error:
        raise _as_user_error(error, origin) from error


def _as_user_error(error: ValidationError, origin: str) -> UserError:
    first = error.errors()[0]
    # Of a key with several types pydantic names the type as well, as in `licences.literal['any','permissive']`.
    key = ".".join(str(part) for part in first["loc"] if "[" not in str(part))
    if first["type"] == "extra_forbidden":
        known = _keys_beside(first["loc"])
        near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
        return UserError(f"{origin}: unknown key {key}.", hint)
    if first["type"] == "missing":
        return UserError(f"{origin}: {key} is missing.")
    said = first["msg"].removeprefix("Value error, ").rstrip(".")
    given = "" if not key or isinstance(first["input"], dict) else f" (given: {first['input']!r})"
    return UserError(f"{origin}: {key + ': ' if key else ''}{said}{given}.")


def _keys_beside(location: tuple[int | str, ...]) -> list[str]:
    """The keys allowed in the table that holds `location`."""
    section: type[BaseModel] = Config
    for part in location[:-1]:
        annotation = section.model_fields[str(part)].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        section = annotation
    return list(section.model_fields)
