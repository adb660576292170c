"""Bits per byte of the references: a continuous measure beside pass@k, which stays at 0 long after a model has begun to
learn (Schaeffer et al. 2023, arXiv 2304.15004: thresholds make jumps that are not there)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from repotune.core.console import Console
from repotune.evaluate.benchmarks.problem import Problem
from repotune.evaluate.benchmarks.sampling import prompt_of
from repotune.evaluate.likelihood import network_bits
from repotune.evaluate.ngram import Passage
from repotune.evaluate.scores import Score, clustered_ratio
from repotune.model.weights import load_model, read_config
from repotune.tokenizer.encoding import Codec


def reference_bits_per_byte(model: Path, problems: Sequence[Problem], codec: Codec) -> Score | None:
    """Of the checked references, each after its problem's prompt, with an interval clustered by problem; None where
    there are none. The prompt is cut so that a quarter of the context is left for a reference, which is read in
    windows where it is longer."""
    context = read_config(model).context
    passages, sizes = [], []
    for problem in problems:
        if problem.reference and problem.reference_is_checked:
            prompt = prompt_of(codec, problem, "", context - context // 4)
            reference = codec.encode(problem.reference)
            passages.append(Passage(np.array(prompt + reference), len(prompt), len(prompt) + len(reference)))
            sizes.append(float(len(problem.reference.encode())))
    if not passages:
        return None
    with Console(quiet=True).progress("references", 1) as progress:
        bits = network_bits(load_model(model), passages, [0] * len(passages), progress)
    return clustered_ratio([float(one.sum()) for one in bits], sizes)
