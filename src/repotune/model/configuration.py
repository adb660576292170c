"""Shapes of networks: the ladder of sizes to train from scratch, and presets of published models.

    config = ladder("10m", vocabulary=8192, context=1024)
    config.parameters()                  # 10,270,848

A network is always written as transformers loads it, so its parts are those of a family that transformers knows:

    llama         RMSNorm, RoPE, SwiGLU, no biases; ours, and Code Llama's and Llama 3's
    qwen2         the same with biases on queries, keys and values: Qwen2.5-Coder's
    starcoder2    LayerNorm, RoPE, GELU by tanh, biases everywhere, perhaps a sliding window
    mpt           LayerNorm, ALiBi, GELU, no biases, tied: Replit's and MosaicML's
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from repotune.core.errors import UserError

Family = Literal["llama", "qwen2", "starcoder2", "mpt"]

_FAMILIES: dict[tuple[str, str, str, str], Family] = {
    ("rms", "rope", "swiglu", "none"): "llama",
    ("rms", "rope", "swiglu", "qkv"): "qwen2",
    ("layer", "rope", "gelu-tanh", "all"): "starcoder2",
    ("layer", "alibi", "gelu", "none"): "mpt",
}


@dataclass(frozen=True)
class ModelConfig:
    """A network's shape. Raises UserError where the numbers do not fit together.

    `vocabulary` rows of the embedding; `width` of the residual stream; `heads` query heads over `kv_heads` key-value
    heads (grouped-query attention, Ainslie et al. 2023); `hidden` width of the feed-forward layer; `context` in tokens.

    `biases` stand nowhere, on queries, keys and values, or on every product and norm. A token sees the last `window`
    tokens, itself among them, or all. Where `rope_factor` is above 1, rotations that turn less than once in
    `rope_trained` tokens, the context before it was stretched, are slowed by it (Llama 3.1).
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
    activation: Literal["swiglu", "gelu", "gelu-tanh"] = "swiglu"
    biases: Literal["none", "qkv", "all"] = "none"
    tied: bool = True
    window: int | None = None
    rope_base: float = 10_000.0
    rope_factor: float = 1.0
    rope_trained: int = 8192
    norm_epsilon: float = 1e-5

    def __post_init__(self) -> None:
        for name in ("vocabulary", "width", "layers", "heads", "kv_heads", "hidden", "context", "rope_trained"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise UserError(f"A model needs a {name} of at least 1, not {value!r}.")
        if self.width % self.heads:
            raise UserError(f"A width of {self.width} does not divide among {self.heads} heads.")
        if self.heads % self.kv_heads:
            raise UserError(f"{self.heads} heads do not divide among {self.kv_heads} key-value heads.")
        if self.parts not in _FAMILIES:
            known = "; ".join(" + ".join(parts) for parts in _FAMILIES)
            raise UserError(f"No model family has {' + '.join(self.parts)} biases.", f"known: {known}")
        if self.position == "rope" and self.head_width % 2:
            raise UserError(f"Rotary positions need an even head width, not {self.head_width}.")
        if not (self.rope_base > 0 and self.norm_epsilon > 0 and self.rope_factor >= 1):
            raise UserError("A model needs a positive rope_base and norm_epsilon, and a rope_factor of at least 1.")
        self._check_family()

    def _check_family(self) -> None:
        """What one family has and another has not, since the others' config.json has no place for it."""
        if self.family == "mpt" and not self.tied:
            raise UserError("A model with ALiBi is written as MPT, whose embeddings are tied.", "set tied to true")
        if self.family == "mpt" and self.hidden % self.width:
            raise UserError(f"MPT's hidden width is a multiple of its width, and {self.hidden} is not of {self.width}.")
        if self.window is not None and (self.family != "starcoder2" or self.window < 1):
            raise UserError(f"A window of {self.window!r} is not for {self.family}.", "StarCoder2 has one")
        if self.rope_factor != 1 and self.family != "llama":
            raise UserError(f"A rope_factor of {self.rope_factor:g} is not for {self.family}.", "Llama has one")

    @property
    def parts(self) -> tuple[str, str, str, str]:
        """What tells one family from another."""
        return self.norm, self.position, self.activation, self.biases

    @property
    def family(self) -> Family:
        return _FAMILIES[self.parts]

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    def parameters(self) -> int:
        """Trainable numbers; tied embeddings count once."""
        attention = 2 * self.width * (self.heads + self.kv_heads) * self.head_width
        feed_forward = (3 if self.activation == "swiglu" else 2) * self.width * self.hidden
        norm = self.width * (2 if self.biases == "all" else 1)
        biases = 0 if self.biases == "none" else (self.heads + 2 * self.kv_heads) * self.head_width
        if self.biases == "all":
            biases += 2 * self.width + self.hidden
        embeddings = self.vocabulary * self.width * (1 if self.tied else 2)
        return embeddings + self.layers * (attention + feed_forward + biases + 2 * norm) + norm

    def flops_per_token(self, sequence: int) -> int:
        """Forward and backward: 6 per parameter that multiplies, and 12·layers·width·sequence for attention
        (PaLM, appendix B). The embedding look-up multiplies nothing; a tied matrix multiplies once, as the head."""
        look_up = 0 if self.tied else self.vocabulary * self.width
        seen = min(sequence, self.window or sequence)
        return 6 * (self.parameters() - look_up) + 12 * self.layers * self.width * seen


ADAPTED = ("query", "key", "value", "output", "gate", "up", "down")


@dataclass(frozen=True)
class LoRA:
    """Which of the blocks' matrices are adapted, by how wide a pair, whose product counts alpha / rank. Raises
    UserError for numbers and names that cannot be."""

    rank: int = 16
    alpha: float = 32.0
    targets: tuple[str, ...] = ADAPTED

    def __post_init__(self) -> None:
        if self.rank < 1 or not self.alpha > 0:
            raise UserError(f"An adapter needs a rank and an alpha above 0, not {self.rank} and {self.alpha:g}.")
        unknown = sorted(set(self.targets) - set(ADAPTED))
        if unknown or not self.targets:
            raise UserError(f"Adapters cannot stand at {', '.join(unknown) or 'nothing'}.", f"at: {', '.join(ADAPTED)}")


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
    "qwen2.5-coder-1.5b": ModelConfig(
        151_936, 1536, 28, 12, 2, 8960, context=32_768, biases="qkv", rope_base=1_000_000.0, norm_epsilon=1e-6
    ),
    "starcoder2-3b": ModelConfig(
        49_152,
        3072,
        30,
        24,
        2,
        12_288,
        context=16_384,
        norm="layer",
        activation="gelu-tanh",
        biases="all",
        window=4096,
        rope_base=999_999.4420358813,
    ),
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
