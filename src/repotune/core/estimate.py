"""What a plan will cost and what it can reach, as formulas. Pure: no measurement happens here."""

from __future__ import annotations

import math

# The data-constrained scaling law of Muennighoff et al. 2023 (arXiv 2305.16264), constants from their repository.
_LN_A, _LN_B, _LN_E = 6.255414, 7.3049974, 0.6254804
_EXPONENT = 0.3526596
_REPEAT_DATA, _REPEAT_PARAMETERS = 15.387756, 5.309743
_OPTIMAL_RATIO = (math.exp(_LN_B - _LN_A)) ** (1 / _EXPONENT)  # D_opt / N_opt, since both exponents are equal

# Bytes a parameter occupies in training: float32 weight and gradient, and two float32 moments (Muon keeps one).
_TRAINING_BYTES_PER_PARAMETER = 16
# Hugging Face folder in f32, GGUF in f32 and q8_0, two kept checkpoints with their optimiser state.
_DISK_BYTES_PER_PARAMETER = 4 + 4 + 1.1 + 3 * 12


def loss(parameters: float, tokens: float, unique_tokens: float) -> float:
    """Expected nats per token after `tokens` of training on a corpus of `unique_tokens` (Muennighoff et al. 2023).

    Meant for choosing between sizes: its absolute level is that of web text and of larger models.
    """
    unique = float(min(tokens, unique_tokens))
    repeats = tokens / unique - 1
    unique_parameters = min(parameters, unique / _OPTIMAL_RATIO)
    excess = parameters / unique_parameters - 1
    effective_data = unique + unique * _REPEAT_DATA * (1 - math.exp(-repeats / _REPEAT_DATA))
    effective_parameters = unique_parameters + unique_parameters * _REPEAT_PARAMETERS * (
        1 - math.exp(-excess / _REPEAT_PARAMETERS)
    )
    of_size = math.exp(_LN_A) / math.pow(effective_parameters, _EXPONENT)
    of_data = math.exp(_LN_B) / math.pow(effective_data, _EXPONENT)
    return math.exp(_LN_E) + of_size + of_data


def training_memory(parameters: int, activation_bytes: float) -> float:
    """Bytes of memory a training run needs: weights, gradients, optimiser state and activations."""
    return parameters * _TRAINING_BYTES_PER_PARAMETER + activation_bytes


def activation_memory(
    layers: int, width: int, hidden: int, heads: int, vocabulary: int, sequence: int, rows: int
) -> float:
    """Bytes kept for the backward pass of `rows` sequences: about 12 widths and 3 hiddens a layer and token in two
    bytes, the attention's squares, and the logits in float32 twice.
    """
    per_token = layers * (12 * width + 3 * hidden) * 2 + layers * heads * sequence * 2 * 2 + vocabulary * 8
    return float(rows * sequence * per_token)


def workspace_disk(corpus_bytes: float, parameters: int) -> float:
    """Bytes the workspace takes: the corpus in Parquet (a third), its tokens, and what is kept of the model."""
    return corpus_bytes * (1 / 3 + 2 / 3.5) + parameters * _DISK_BYTES_PER_PARAMETER
