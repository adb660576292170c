"""The tables of repotune.toml as types. Every key has a default but the repositories.

A project states little; `repotune.pipeline.derive` fills what is None from the budget and the machine.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Section(BaseModel):
    """A table of repotune.toml: immutable, and strict about its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ProjectSettings(Section):
    """What is learnt from, and where the work lies."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    repositories: tuple[str, ...] = Field(min_length=1)
    workspace: str = "work"
    seed: int = Field(default=1, ge=0)


class QualitySettings(Section):
    """Examples of good and bad code, as paths, folders or globs, that a quality model is learnt from."""

    good: tuple[str, ...] = ()
    bad: tuple[str, ...] = ()
    threshold: float | None = Field(default=None, gt=0, lt=1)
    keep: float | None = Field(default=None, gt=0, le=1)

    @model_validator(mode="after")
    def _both_sides(self) -> QualitySettings:
        if bool(self.good) != bool(self.bad):
            raise ValueError("good and bad examples are learnt from together; name both")
        if self.threshold is not None and self.keep is not None:
            raise ValueError("threshold and keep both say what is dropped; keep one")
        if not self.good and (self.threshold is not None or self.keep is not None):
            raise ValueError("there is no quality without examples; name good and bad ones")
        return self


class ImportanceSettings(Section):
    """Files like those that the model is for, as paths, folders or globs; text that resembles them counts for more."""

    target: tuple[str, ...] = ()
    keep: float | None = Field(default=None, gt=0, le=1)
    most: float | None = Field(default=None, ge=1, le=100)

    @model_validator(mode="after")
    def _one_use(self) -> ImportanceSettings:
        if self.keep is not None and self.most is not None:
            raise ValueError("keep and most are two uses of the importance; keep one")
        if not self.target and (self.keep is not None or self.most is not None):
            raise ValueError("there is no importance without a target; name its files")
        return self


Weight = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]


Share = Annotated[float, Field(gt=0, lt=1)]


class MixtureSettings(Section):
    """How often an epoch sees a language's and a repository's files, 1 where nothing is said; or which share of it a
    repository makes up."""

    languages: dict[str, Weight] = {}
    repositories: dict[str, Weight] = {}
    shares: dict[str, Share] = {}

    @model_validator(mode="after")
    def _room_for_others(self) -> MixtureSettings:
        if sum(self.shares.values()) >= 1:
            raise ValueError("the shares leave nothing for the other repositories")
        if both := sorted(set(self.shares) & set(self.repositories)):
            raise ValueError(f"{both[0]} has a weight and a share; keep one")
        return self


class OptOutSettings(Section):
    """What must not be learnt from: repositories by name, globs over REPOSITORY/PATH, authors by address or name."""

    repositories: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()


class CorpusSettings(Section):
    """What of the repositories becomes training text."""

    languages: tuple[str, ...] | None = None
    licences: Literal["any", "permissive"] | tuple[str, ...] = "any"
    denied_licences: tuple[str, ...] = ()
    unknown_licences: Literal["keep", "drop"] | None = None
    profile: str = "starcoder2"
    parse: bool = False
    exclude: tuple[str, ...] = ()
    opt_out: OptOutSettings = OptOutSettings()
    secrets: Literal["replace", "drop", "keep"] = "replace"
    personal_data: Literal["replace", "drop", "keep"] = "replace"
    author_names: Literal["replace", "keep"] = "replace"
    contamination: tuple[str, ...] = ("humaneval", "humaneval_infilling", "multipl_e")
    near_duplicates: float = Field(default=0.7, gt=0, le=1)
    validation_share: float = Field(default=0.02, gt=0, lt=0.5)
    test_share: float = Field(default=0.02, gt=0, lt=0.5)
    quality: QualitySettings = QualitySettings()
    importance: ImportanceSettings = ImportanceSettings()
    mixture: MixtureSettings = MixtureSettings()


class TokenizerSettings(Section):
    """The vocabulary. `size` counts special tokens too; `pattern` is how text is cut before merging."""

    size: int | None = Field(default=None, ge=512, le=262_144)
    pattern: Literal["llama-3", "code"] = "llama-3"


class ModelSettings(Section):
    """A step of the ladder of sizes, such as "10m", or a preset; None lets the budget choose. A base, which is a folder
    or a name on the hub, brings shape, vocabulary and weights."""

    size: str | None = None
    base: str | None = None

    @model_validator(mode="after")
    def _one_shape(self) -> ModelSettings:
        if self.size is not None and self.base is not None:
            raise ValueError("size and base both say what the model is; keep one")
        return self


class AdapterSettings(Section):
    """Low-rank matrices that are trained in place of a base's own."""

    rank: int = Field(default=16, ge=1)
    alpha: float = Field(default=32.0, gt=0)


class BudgetSettings(Section):
    """The one dial: wall-clock hours for training on this machine."""

    hours: float | None = Field(default=None, gt=0)


class StageSettings(Section):
    """A part of the run, as a share of its tokens; rows and batches are the run's where nothing is said."""

    share: float = Field(gt=0, le=1)
    sequence: int | None = Field(default=None, ge=32)
    batch_tokens: int | None = Field(default=None, ge=32)
    rope_base: float | None = Field(default=None, gt=1)


class TrainSettings(Section):
    """The training run. Amounts are in tokens; None is derived."""

    tokens: int | None = Field(default=None, gt=0)
    epochs: float | None = Field(default=None, gt=0)
    sequence: int | None = Field(default=None, ge=32)
    batch_tokens: int | None = Field(default=None, ge=32)
    stages: tuple[StageSettings, ...] = ()
    optimiser: Literal["muon", "adamw", "lionw"] | None = None
    adapter: AdapterSettings | None = None
    learning_rate: float | None = Field(default=None, gt=0)
    weight_decay: float | None = Field(default=None, ge=0)
    schedule: Literal["wsd", "cosine", "inverse-sqrt", "infinite"] | None = None
    warmup_share: float | None = Field(default=None, ge=0, lt=1)
    cooldown_share: float = Field(default=0.5, ge=0, le=1)
    final_share: float | None = Field(default=None, ge=0, le=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    infilling_rate: float = Field(default=0.5, ge=0, le=1)
    syntax_share: float = Field(default=0.5, ge=0, le=1)
    document_attention: bool = True
    checkpoint_tokens: int | None = Field(default=None, gt=0)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(default=None, ge=1)
    tensorboard: bool = False

    @model_validator(mode="after")
    def _whole(self) -> TrainSettings:
        if self.tokens is not None and self.epochs is not None:
            raise ValueError("tokens and epochs both say how long to train; keep one")
        if self.stages and abs(sum(stage.share for stage in self.stages) - 1) > 0.001:
            raise ValueError("the shares of the stages must be 1 together")
        return self


class EvaluateSettings(Section):
    """How much is measured on the held-out files."""

    items: int = Field(default=75, ge=1)
    likelihood_bytes: int = Field(default=200_000, ge=1)


class ReleaseSettings(Section):
    """What is shipped beside the Hugging Face folder."""

    gguf: tuple[Literal["f32", "f16", "q8_0", "q4_0"], ...] = ("f32", "q8_0")
    packed: tuple[Literal["int8", "int4"], ...] = ("int8",)


class ServeSettings(Section):
    """Where the server listens, on loopback until told otherwise; what computes, and what it reads.

    `engine` is one of ours, or the http address of a server that speaks OpenAI's dialect, at which `model` is the
    model's name; auto is the quickest on this machine. `weights` auto are those whose loss the release accepts.
    Completions that repeat `repeat_tokens` or more of the project's `index` say so, and are withheld where that code is
    not under one of `allowed_licences` (SPDX ids; with none, nothing is)."""

    host: str = "127.0.0.1"
    port: int = Field(default=8750, ge=0, le=65535)
    engine: Literal["auto", "ours", "openvino", "torch"] | Annotated[str, Field(pattern=r"^https?://[^/\s]")] = "auto"
    model: str | None = None
    weights: Literal["auto", "f32", "bf16", "int8", "int4", "fp8"] = "auto"
    index: bool = True
    repeat_tokens: int = Field(default=48, ge=8)
    allowed_licences: tuple[str, ...] = ()

    @field_validator("engine", mode="before")
    @classmethod
    def _known_engine(cls, value: Any) -> Any:
        if value not in ("auto", "ours", "openvino", "torch") and not str(value).startswith(("http://", "https://")):
            raise ValueError("auto, ours, openvino, torch, or the address of a server, as in http://127.0.0.1:8000")
        return value

    @property
    def remote(self) -> str | None:
        """The address of the server that is asked in place of an engine here, without /v1; None where none is."""
        return self.engine.rstrip("/").removesuffix("/v1") if "://" in self.engine else None

    @model_validator(mode="after")
    def _one_place(self) -> ServeSettings:
        if self.model is not None and self.remote is None:
            raise ValueError("model names what is served elsewhere; set engine to that server's address")
        if self.remote is not None and self.weights != "auto":
            raise ValueError("weights are chosen by the server that engine names; leave them out")
        return self
