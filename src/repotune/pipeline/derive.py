"""From one dial to every number: vocabulary, size, length, batch. What is decided is written down once, in plan/.

The budget in hours becomes tokens through a throughput measured on this machine, so two plans may differ; a plan
that is written stays, and the run that follows it is reproducible.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from repotune.core import artefact, estimate
from repotune.core.config import Config
from repotune.core.console import duration
from repotune.core.errors import UserError
from repotune.core.flow import Work
from repotune.core.hardware import Hardware, probe
from repotune.model.configuration import LADDER, PRESETS, LoRA, ModelConfig, ladder, preset
from repotune.pipeline.speed import Speeds
from repotune.tokenizer.encoding import load_codec
from repotune.tokenizer.packing import TokenStore
from repotune.train.plan import OptimiserName, Stage, TrainPlan, default_weight_decay

PLAN_NAME = "plan.json"

# A size without a budget trains to Chinchilla's ratio, but no further than eight epochs, after which new epochs add
# little: 8 are worth 6.6 of fresh data, 16 worth 10.6 (Muennighoff et al. 2023).
_TOKENS_PER_PARAMETER = 20
_MOST_EPOCHS = 8
# Share of the budget that trains; the rest validates and writes checkpoints.
_TRAINING_SHARE = 0.93
_MEMORY_SHARE = 0.6


@dataclass(frozen=True)
class Choice:
    """A decided plan and what it was decided by. `epoch_tokens` are those an epoch sees, repeated by their weights."""

    plan: TrainPlan
    unique_tokens: int
    epoch_tokens: int
    tokens_per_second: float
    measured: bool

    @property
    def seconds(self) -> float:
        """Expected duration of the training run."""
        return self.plan.tokens / self.tokens_per_second / _TRAINING_SHARE

    @property
    def memory(self) -> float:
        """Bytes of memory at the peak of training."""
        model = self.plan.model
        activations = max(
            estimate.activation_memory(
                model.layers, model.width, model.hidden, model.heads, model.vocabulary, stage.sequence, stage.rows
            )
            for stage in self.plan.stages
        )
        return estimate.training_memory(model.parameters(), activations)


def vocabulary_size(corpus_bytes: int) -> int:
    """Entries that suit a corpus: larger ones need more text for each entry to be seen; Replit's 32,768 at most."""
    for size, limit in ((4096, 12e6), (8192, 75e6), (16_384, 450e6)):
        if corpus_bytes < limit:
            return size
    return 32_768


def choose(
    config: Config,
    vocabulary: int,
    unique_tokens: int,
    epoch_tokens: int,
    hardware: Hardware,
    base: ModelConfig | None = None,
) -> Choice:
    """Fills what `config` leaves open. Measures the machine's training throughput where torch is installed. `base` is
    the shape of the model that is gone on from."""
    speeds = Speeds(config, hardware)
    memory = hardware.memory_free if speeds.device == "cpu" else hardware.gpus[0].memory
    candidates = []
    for shape in [base] if base else _shapes(config, vocabulary):
        model = _fitted(config, shape, vocabulary)
        free = config.model.size is None and base is None
        if free and estimate.training_memory(model.parameters(), 0) > _MEMORY_SHARE * memory:
            break
        speed = speeds.expected(model) if config.budget.hours else 0.0
        tokens = _tokens(config, model, unique_tokens, epoch_tokens, speed)
        candidates.append((estimate.loss(model.parameters(), tokens, unique_tokens), model.parameters(), shape))
    if not candidates:
        raise UserError("The free memory is too little for the smallest model.", "repotune doctor shows it")
    *_, shape = min(candidates, key=lambda candidate: candidate[:2])
    model = _fitted(config, shape, vocabulary)
    batch = config.train.batch_tokens or _batch_tokens(shape)
    speed, measured = speeds.of(model, batch)
    tokens = _tokens(config, model, unique_tokens, epoch_tokens, speed)
    epochs = tokens / epoch_tokens
    plan = _train_plan(config, model, _stages(config, shape, tokens, batch), epochs, speeds.device)
    return Choice(plan, unique_tokens, epoch_tokens, speed, measured)


def evenly_repeated(store: TokenStore) -> int:
    """The tokens that, each seen as often as the others, would be worth as much as those that weights repeat unevenly.

    It is Kish's effective sample size (1965), (Σ w)² / Σ w²: all of them where weights are equal, none of weight 0.
    """
    squares = float((store.weights**2 * store.sizes).sum())
    return max(1, round(store.epoch_tokens**2 / squares)) if squares else 1


def build_plan(work: Work, config: Config) -> None:
    """Writes plan.json, what the run follows, and measured.json, what it was decided by."""
    vocabulary = load_codec(work.inputs["tokenizer"]).size
    store = TokenStore(work.inputs["tokens"], "train")
    base = shape_of_base(str(work.inputs["base"])) if "base" in work.inputs else None
    epoch_tokens = max(1, round(store.epoch_tokens))
    choice = choose(config, vocabulary, evenly_repeated(store), epoch_tokens, probe(work.folder), base)
    for line in describe(choice):
        work.console.say(f"  {line}")
    artefact.write_atomically(work.folder / PLAN_NAME, json.dumps(asdict(choice.plan), indent=2) + "\n")
    measured = {
        "tokens_per_second": round(choice.tokens_per_second),
        "measured": choice.measured,
        "unique_tokens": choice.unique_tokens,
        "epoch_tokens": choice.epoch_tokens,
        "expected_seconds": round(choice.seconds),
        "expected_memory": round(choice.memory),
    }
    artefact.write_atomically(work.folder / "measured.json", json.dumps(measured, indent=2) + "\n")


def shape_of_base(source: str) -> ModelConfig:
    """The shape of the model in the folder `source`, or of that name on the hub."""
    from repotune.model.base import read_base_config  # with torch, which a plan without a base does not need

    return read_base_config(source)


def read_plan(folder: Path) -> TrainPlan:
    """The plan in a plan/ folder."""
    data: dict[str, Any] = json.loads((folder / PLAN_NAME).read_text(encoding="utf-8"))
    return TrainPlan.from_json(data)


def describe(choice: Choice) -> list[str]:
    """The choice in lines for a person."""
    plan, model = choice.plan, choice.plan.model
    source = "measured here" if choice.measured else "estimated"
    return [
        f"model: {model.parameters():,} parameters, {model.layers} layers of width {model.width}, "
        f"context {model.context}, vocabulary {model.vocabulary:,}",
        f"training: {plan.tokens:,} tokens, {plan.tokens / choice.epoch_tokens:.1f} epochs of "
        f"{choice.epoch_tokens:,}, {_batches_of(plan)} a step, by {plan.optimiser} on {plan.device}",
        f"speed: {choice.tokens_per_second:,.0f} tokens/s ({source}), so about {duration(choice.seconds)}",
    ]


def _train_plan(
    config: Config, model: ModelConfig, stages: tuple[Stage, ...], epochs: float, device: Literal["cpu", "cuda"]
) -> TrainPlan:
    train, continued = config.train, config.model.base is not None
    optimiser: OptimiserName = train.optimiser or ("adamw" if train.adapter else "muon")
    decay = train.weight_decay
    if decay is None and not train.adapter:
        decay = default_weight_decay(optimiser, epochs)
    return TrainPlan(
        model=model,
        stages=stages,
        optimiser=optimiser,
        learning_rate=train.learning_rate,
        weight_decay=decay,
        # A base's rate rises again over 1 % and falls by a cosine (Gupta et al. 2023, arXiv 2308.04014).
        schedule=train.schedule or ("cosine" if continued else "wsd"),
        warmup_share=(0.01 if continued else 0.05) if train.warmup_share is None else train.warmup_share,
        cooldown_share=train.cooldown_share,
        final_share=train.final_share,
        dropout=train.dropout,
        adapter=LoRA(train.adapter.rank, train.adapter.alpha) if train.adapter else None,
        infilling_rate=train.infilling_rate,
        syntax_share=train.syntax_share,
        document_attention=train.document_attention,
        checkpoint_tokens=train.checkpoint_tokens,
        device=device,
        threads=train.threads,
        tensorboard=train.tensorboard,
        seed=config.project.seed,
    )


def _stages(config: Config, shape: ModelConfig, tokens: int, batch_tokens: int) -> tuple[Stage, ...]:
    """The run's parts as [[train.stages]] cuts it, or one that is the whole."""
    sequence = config.train.sequence or _sequence(shape)
    if not config.train.stages:
        return (Stage(tokens, sequence, batch_tokens),)
    return tuple(
        Stage(
            max(1, round(tokens * stage.share)),
            stage.sequence or sequence,
            stage.batch_tokens or batch_tokens,
            stage.rope_base,
        )
        for stage in config.train.stages
    )


def _batches_of(plan: TrainPlan) -> str:
    sizes = dict.fromkeys(stage.batch_tokens for stage in plan.stages)
    return " then ".join(f"{size:,}" for size in sizes)


def _tokens(config: Config, model: ModelConfig, unique_tokens: int, epoch_tokens: int, speed: float) -> int:
    """How long to train: as stated, as the hours allow, or by Chinchilla's ratio."""
    if config.train.tokens is not None:
        return config.train.tokens
    if config.train.epochs is not None:
        return max(1, round(config.train.epochs * epoch_tokens))
    if config.budget.hours is not None:
        return max(1, round(config.budget.hours * 3600 * _TRAINING_SHARE * speed))
    return min(_TOKENS_PER_PARAMETER * model.parameters(), _MOST_EPOCHS * unique_tokens)


def _shapes(config: Config, vocabulary: int) -> list[ModelConfig]:
    """What may be trained: the size or the preset that is asked for, or the whole ladder."""
    size = config.model.size
    if size is None:
        return list(LADDER.values())
    return [preset(size) if size in PRESETS else ladder(size, vocabulary, 2048)]


def _fitted(config: Config, shape: ModelConfig, vocabulary: int) -> ModelConfig:
    """`shape` with the project's vocabulary and the context that its longest stage trains."""
    sequence = config.train.sequence or _sequence(shape)
    context = max([stage.sequence or sequence for stage in config.train.stages], default=sequence)
    return replace(shape, vocabulary=vocabulary, context=context)


def _sequence(shape: ModelConfig) -> int:
    """Tokens of context to train with: short ones are cheaper, and small models use little more."""
    width = shape.width
    wanted = 256 if width <= 256 else 512 if width <= 384 else 1024 if width <= 640 else 2048
    return min(wanted, shape.context)


def _batch_tokens(shape: ModelConfig) -> int:
    """Tokens a step, smaller for smaller models, whose runs are short and want many steps."""
    for width, tokens in ((192, 2048), (256, 4096), (384, 8192), (512, 16_384), (640, 32_768)):
        if shape.width <= width:
            return tokens
    return 131_072
