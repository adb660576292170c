"""Shapes of networks: the ladder of sizes to train from scratch, and presets of published models.

    config = ladder("10m", vocabulary=8192, context=1024)
    config.parameters()                  # 10,270,848

Two families exist, since a network is always written as transformers loads it: Llama's (RMSNorm, RoPE, SwiGLU; tied or
not) and MPT's (LayerNorm without bias, ALiBi, GELU; always tied), the family of Replit's and MosaicML's code models.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from repotune.core.errors import UserError

Family = Literal["llama", "mpt"]

_FAMILIES: dict[tuple[str, str, str], Family] = {("rms", "rope", "swiglu"): "llama", ("layer", "alibi", "gelu"): "mpt"}


@dataclass(frozen=True)
class ModelConfig:
    """A network's shape. Raises UserError where the numbers do not fit together.

    `vocabulary` rows of the embedding; `width` of the residual stream; `heads` query heads over `kv_heads` key-value
    heads (grouped-query attention, Ainslie et al. 2023); `hidden` width of the feed-forward layer; `context` in tokens.
    """

    vocabulary: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    hidden: int
    context: int
    norm: Literal["rms", "layer"] = "rms"
    position: Literal["rope", "alibi"] = "rope"
    activation: Literal["swiglu", "gelu"] = "swiglu"
    tied: bool = True
    rope_base: float = 10_000.0
    norm_epsilon: float = 1e-5

    def __post_init__(self) -> None:
        for name in ("vocabulary", "width", "layers", "heads", "kv_heads", "hidden", "context"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise UserError(f"A model needs a {name} of at least 1, not {value!r}.")
        if self.width % self.heads:
            raise UserError(f"A width of {self.width} does not divide among {self.heads} heads.")
        if self.heads % self.kv_heads:
            raise UserError(f"{self.heads} heads do not divide among {self.kv_heads} key-value heads.")
        parts = (self.norm, self.position, self.activation)
        if parts not in _FAMILIES:
            known = "; ".join(" + ".join(family) for family in _FAMILIES)
            raise UserError(f"No model family has {' + '.join(parts)}.", f"known: {known}")
        if self.position == "rope" and self.head_width % 2:
            raise UserError(f"Rotary positions need an even head width, not {self.head_width}.")
        if self.family == "mpt" and not self.tied:
            raise UserError("A model with ALiBi is written as MPT, whose embeddings are tied.", "set tied to true")
        if not (self.rope_base > 0 and self.norm_epsilon > 0):
            raise UserError("A model needs a positive rope_base and norm_epsilon.")

    @property
    def family(self) -> Family:
        return _FAMILIES[(self.norm, self.position, self.activation)]

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    def parameters(self) -> int:
        """Trainable numbers; tied embeddings count once."""
        embeddings = self.vocabulary * self.width * (1 if self.tied else 2)
        attention = 2 * self.width * (self.heads + self.kv_heads) * self.head_width
        feed_forward = (3 if self.activation == "swiglu" else 2) * self.width * self.hidden
        return embeddings + self.layers * (attention + feed_forward + 2 * self.width) + self.width

    def flops_per_token(self, sequence: int) -> int:
        """Forward and backward: 6 per parameter that multiplies, and 12·layers·width·sequence for attention
        (PaLM, appendix B). The embedding look-up multiplies nothing; a tied matrix multiplies once, as the head."""
        look_up = 0 if self.tied else self.vocabulary * self.width
        return 6 * (self.parameters() - look_up) + 12 * self.layers * self.width * sequence


def _llama(vocabulary: int, width: int, layers: int, heads: int, kv_heads: int, hidden: int) -> ModelConfig:
    return ModelConfig(vocabulary, width, layers, heads, kv_heads, hidden, context=2048, tied=width <= 1024)


def _mpt(
    vocabulary: int, width: int, layers: int, heads: int, context: int, kv_heads: int | None = None
) -> ModelConfig:
    return ModelConfig(
        vocabulary,
        width,
        layers,
        heads,
        kv_heads or heads,
        4 * width,
        context,
        norm="layer",
        position="alibi",
        activation="gelu",
    )


# Each size at the vocabulary meant for it: the embedding then stays between a sixth and a third of the parameters.
# Embeddings are tied up to 350m, where a second matrix would cost more than a tenth of the model.
LADDER: dict[str, ModelConfig] = {
    "1m": _llama(2048, width=128, layers=4, heads=4, kv_heads=2, hidden=352),
    "2m": _llama(4096, width=192, layers=4, heads=6, kv_heads=2, hidden=384),
    "5m": _llama(4096, width=256, layers=6, heads=4, kv_heads=2, hidden=640),
    "10m": _llama(8192, width=384, layers=5, heads=6, kv_heads=2, hidden=896),
    "30m": _llama(16384, width=512, layers=8, heads=8, kv_heads=2, hidden=1408),
    "60m": _llama(16384, width=640, layers=12, heads=10, kv_heads=2, hidden=1728),
    "125m": _llama(32768, width=768, layers=16, heads=12, kv_heads=4, hidden=2048),
    "350m": _llama(32768, width=1024, layers=24, heads=16, kv_heads=4, hidden=3456),
    "1b": _llama(32768, width=2048, layers=20, heads=32, kv_heads=8, hidden=5632),
    "3b": _llama(32768, width=3072, layers=28, heads=24, kv_heads=8, hidden=8192),
}

# The shapes as published; StoryWriter is MPT-7B at a context of 65k.
PRESETS: dict[str, ModelConfig] = {
    "replit-code-v1-3b": _mpt(32768, width=2560, layers=32, heads=32, context=2048),
    "replit-code-v1.5-3b": _mpt(32768, width=3072, layers=32, heads=24, context=4096, kv_heads=8),
    "mpt-7b": _mpt(50432, width=4096, layers=32, heads=32, context=2048),
    "storywriter-65k": _mpt(50432, width=4096, layers=32, heads=32, context=65536),
    "llama-3-8b": ModelConfig(128256, 4096, 32, 32, 8, 14336, context=8192, tied=False, rope_base=500_000.0),
}


def ladder(size: str, vocabulary: int, context: int) -> ModelConfig:
    """The Llama-shaped network of `size`, such as "10m". Raises UserError that lists the sizes for another one."""
    if size not in LADDER:
        raise UserError(f"There is no model size {size!r}.", f"sizes: {', '.join(LADDER)}")
    return replace(LADDER[size], vocabulary=vocabulary, context=context)


def preset(name: str) -> ModelConfig:
    """The shape of a published model, such as "replit-code-v1.5-3b". Raises UserError that lists them for another."""
    if name not in PRESETS:
        raise UserError(f"There is no preset {name!r}.", f"presets: {', '.join(PRESETS)}")
    return PRESETS[name]
