"""How fast this machine trains: measured for a model that is small enough to try, by arithmetic for the others."""

from __future__ import annotations

from typing import Literal

from repotune.core.config import Config
from repotune.core.errors import UserError
from repotune.core.hardware import Hardware, available_cores
from repotune.model.configuration import ModelConfig, ladder

# Share of the matrix rate that training reaches where nothing was measured: 247 of 400 GFLOP/s in bf16 on a 2-core
# EPYC, 375 of 3,100 on a Xeon with AMX, 44 % for 3B on an H100 (LLM Foundry's table).
_UTILISATION = 0.35
# bf16 over float32 products, on CPUs that have them: 400 over 160 GFLOP/s measured with AVX-512 BF16.
_BF16_GAIN = 2.5
# A100 in bf16, dense, from its data sheet: the most common card, and a cautious guess for newer ones.
_GPU_FLOPS = 312e12
# Below this many tokens a second a trial would take longer than the plan is worth.
_SLOWEST_MEASURED = 400.0
_REFERENCE = ("2m", 4096, 256)  # size, vocabulary, sequence of the model that stands for the others


class Speeds:
    """Tokens per second of training for models on one machine."""

    def __init__(self, config: Config, hardware: Hardware) -> None:
        self.device = choose_device(config, hardware)
        self._threads = config.train.threads or available_cores()
        peak = hardware.fp32_flops * (_BF16_GAIN if hardware.bf16 else 1)
        self._flops = _UTILISATION * (peak if self.device == "cpu" else _GPU_FLOPS)
        self._reference_flops: float | None = None

    def expected(self, model: ModelConfig) -> float:
        """By operations per token, from one measurement of a small model."""
        if self._reference_flops is None:
            small = ladder(*_REFERENCE)
            speed, measured = self.of(small, batch_tokens=4096)
            self._reference_flops = speed * small.flops_per_token(small.context) if measured else self._flops
        return self._reference_flops / model.flops_per_token(model.context)

    def of(self, model: ModelConfig, batch_tokens: int) -> tuple[float, bool]:
        """(tokens per second, whether measured). Without torch, or for a model too slow to try, it is computed."""
        computed = self._flops / model.flops_per_token(model.context)
        if computed < _SLOWEST_MEASURED:
            return computed, False
        try:
            from repotune.train.throughput import measure
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            return computed, False
        return measure(model, model.context, batch_tokens, self.device, self._threads), True


def choose_device(config: Config, hardware: Hardware) -> Literal["cpu", "cuda"]:
    """ "cuda" where a GPU is found, unless the project says otherwise."""
    if config.train.device == "cuda" and not hardware.gpus:
        raise UserError("train.device is cuda, but no GPU is found here.", "repotune doctor shows what is found")
    if config.train.device == "auto":
        return "cuda" if hardware.gpus else "cpu"
    return config.train.device
