"""Tokens a CPU-second trains: repotune's step against transformers' Trainer and litgpt's pretraining, same shape.

    pip install accelerate lightning && pip install --no-deps litgpt
    python benchmarks/train_peers.py            # also compiled: litgpt as its pretraining does by default, and ours
    python benchmarks/train_peers.py --quick    # eager steps alone

A Llama of 12M parameters (width 320, 6 layers, 5 heads, hidden 864, 8,192 entries, untied), 4 rows of 512 tokens of
the standard library, AdamW, gradients clipped, bf16 beside float32 weights, one thread. The Trainer is the real one
with bf16 on a CPU, timed from its step's begin to its end, without its loading of data. litgpt's GPT takes the steps of
its pretrain.py: Fabric with bf16-mixed, chunked cross entropy, clipping, AdamW. Steps alternate; medians of CPU time.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from typing import Any

import torch
from contest import Text, Turns, against, compete, stepping
from torch import Tensor
from torch.utils.data import IterableDataset

from repotune.model.configuration import ModelConfig
from repotune.model.network import Network
from repotune.train.allocation import keep_freed_memory
from repotune.train.optimisers import build_optimisers, set_learning_rate
from repotune.train.step import Precision, take_step

VOCABULARY, WIDTH, LAYERS, HEADS, HIDDEN, SEQUENCE, ROWS = 8192, 320, 6, 5, 864, 512, 4
RATE, DECAY = 3e-4, 0.1
BAR = 1.5


def trainer(text: Text, turns: Turns) -> None:
    """transformers' own loop; a callback lets it wait for its turn before each step."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    from transformers import (
        LlamaConfig,
        LlamaForCausalLM,
        PrinterCallback,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    class Rows(IterableDataset[dict[str, Tensor]]):
        def __iter__(self) -> Iterator[dict[str, Tensor]]:
            number = 0
            while True:
                ids_BT, _ = text.batch(number)
                yield from ({"input_ids": row, "labels": row} for row in ids_BT)
                number += 1

    class TakingTurns(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            turns.wait()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            turns.stop()

        def on_log(self, _arguments: Any, _state: Any, _control: Any, logs: dict[str, float], **__: Any) -> None:
            if "loss" in logs:
                turns.done(logs["loss"])

    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=WIDTH,
            intermediate_size=HIDDEN,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            num_key_value_heads=HEADS,
            max_position_embeddings=SEQUENCE,
            tie_word_embeddings=False,
        )
    )
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            use_cpu=True,
            bf16=True,
            per_device_train_batch_size=ROWS,
            max_steps=1_000_000,
            learning_rate=RATE,
            weight_decay=DECAY,
            lr_scheduler_type="constant",
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
        )
        loop = Trainer(model, arguments, train_dataset=Rows(), callbacks=[TakingTurns()])
        loop.remove_callback(PrinterCallback)  # it prints to stdout
        loop.train()


def litgpt_eager(text: Text, turns: Turns) -> None:
    litgpt(text, turns, compiled=False)


def litgpt_compiled(text: Text, turns: Turns) -> None:
    litgpt(text, turns, compiled=True)


def litgpt(text: Text, turns: Turns, compiled: bool) -> None:
    """The inner loop of litgpt/pretrain.py, which cannot be stopped between two steps."""
    from lightning import Fabric
    from litgpt.model import GPT, Config
    from litgpt.utils import chunked_cross_entropy

    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    config = Config(
        block_size=SEQUENCE,
        padded_vocab_size=VOCABULARY,
        n_layer=LAYERS,
        n_head=HEADS,
        n_embd=WIDTH,
        rotary_percentage=1.0,
        parallel_residual=False,
        bias=False,
        norm_class_name="RMSNorm",
        mlp_class_name="LLaMAMLP",
        intermediate_size=HIDDEN,
    )
    model: Any = GPT(config)
    model = fabric.setup(torch.compile(model) if compiled else model)
    optimiser = fabric.setup_optimizers(
        torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=DECAY, fused=True)
    )

    def step(ids: Tensor, targets: Tensor) -> float:
        loss = chunked_cross_entropy(model(ids), targets)
        fabric.backward(loss)
        fabric.clip_gradients(model, optimiser, max_norm=1.0)
        optimiser.step()
        optimiser.zero_grad()
        return float(loss.detach())

    stepping(step, text, turns)


def ours_eager(text: Text, turns: Turns) -> None:
    ours(text, turns, compiled=False)


def ours_compiled(text: Text, turns: Turns) -> None:
    ours(text, turns, compiled=True)


def ours(text: Text, turns: Turns, compiled: bool) -> None:
    keep_freed_memory()
    network = Network(ModelConfig(VOCABULARY, WIDTH, LAYERS, HEADS, HEADS, HIDDEN, SEQUENCE, tied=False))
    features = torch.compile(network.features) if compiled else network.features
    optimisers = build_optimisers(network, "adamw", DECAY)
    set_learning_rate(optimisers, RATE)
    precision = Precision.of("cpu")

    def step(ids: Tensor, targets: Tensor) -> float:
        return take_step(network, features, optimisers, (ids, targets), ROWS, precision)[0]

    stepping(step, text, turns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    contestants = {"transformers Trainer": trainer, "litgpt": litgpt_eager, "repotune": ours_eager}
    bars = {"transformers Trainer": BAR, "litgpt": BAR}
    if not quick:
        contestants |= {"litgpt compiled": litgpt_compiled, "repotune compiled": ours_compiled}
        bars["litgpt compiled"] = BAR
    records = compete(contestants, Text(VOCABULARY, ROWS, SEQUENCE), steps=5 if quick else 10)
    fastest = "repotune" if quick else max(("repotune", "repotune compiled"), key=lambda name: records[name].speed(1))
    print(json.dumps({"name": f"train_peers, {fastest}"} | against(records, fastest, bars, ROWS * SEQUENCE)))


if __name__ == "__main__":
    main()
