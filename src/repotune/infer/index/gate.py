"""How much of the next token's probability the model, the open file and the index each give.

    p(token) = Σ g_k · p_k(token)         k: the model; what followed in the file; what followed in the index after the
                                          longest context; and after the longest that occurs four times

g is a softmax of a few features: how long the contexts are, how often they occur, how much what followed agrees, and
how sure the model is (a mixture of experts with a gate: Jacobs et al. 1991; of a language model and one's neighbours:
Khandelwal et al. 2020). Its weights are fitted for a model on the validation split (`fitting.py`) and lie in the
index's folder under the model's hash. On the demo a table of weights by lengths, fitted by expectation maximisation,
was worse by 0.03 nats per token.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from repotune.core.artefact import digest, file_digest, write_atomically
from repotune.core.errors import UserError
from repotune.infer.index.cursor import Continuations, Cursor
from repotune.infer.index.segment import damaged
from repotune.tokenizer.encoding import tokenizer_files

Float = NDArray[np.float64]
Probabilities = NDArray[np.float32]

GATES = "gates"
EXPERTS = ("model", "own", "indexed", "common")
COMMON = 4  # occurrences
PER_ANSWER = 6
BY_MODEL = slice(1, None, PER_ANSWER)
"""The features that the model decides on: how sure it is, and what it gives to what each expert expects most."""
NOTHING = -1
LEAST_P = 1e-6
"""Below it features see no difference."""
_LONG = 3  # tokens: beyond that a context is seldom shared by chance
_SCHEMA = 1


def ask(cursor: Cursor) -> tuple[Continuations, ...]:
    """What each expert but the model says where `cursor` stands."""
    indexed = cursor.indexed()
    common = indexed if indexed.count >= COMMON else cursor.indexed(COMMON)  # a shorter context, or the same
    return cursor.own(), indexed, common


def describe(answers: Sequence[Continuations], p: Probabilities) -> Float:
    """The features of a position, shape (FEATURES,), where the model says `p`, shape (V,)."""
    features, expected = outline(answers)
    sure = [_log(float(p[token])) if token != NOTHING else 0.0 for token in expected]
    features[BY_MODEL] = [_log(float(p.max())), *sure]
    return features


def outline(answers: Sequence[Continuations]) -> tuple[Float, list[int]]:
    """The features of a position, shape (FEATURES,), where those that the model decides on (BY_MODEL) are 0 still; and
    the token that each answer expects most, NOTHING where it has none."""
    features, expected = [1.0, 0.0], []
    for answer in answers:
        if not answer.length:
            features += [0.0] * PER_ANSWER
            expected.append(NOTHING)
            continue
        first = int(answer.shares.argmax())
        counts = math.log1p(answer.length), math.log1p(answer.count), math.log1p(len(answer.ids))
        features += [*counts, float(answer.shares[first]), float(answer.length > _LONG), 0.0]
        expected.append(int(answer.ids[first]))
    return np.array(features), expected


def _log(p: float) -> float:
    return math.log(max(p, LEAST_P))


FEATURES = 2 + PER_ANSWER * (len(EXPERTS) - 1)


@dataclass(frozen=True)
class Gate:
    """`weights` (FEATURES × EXPERTS) of the gate for a model. `without` and `nats` are what the model needs for a
    token of the validation split alone and mixed, where the gate had been fitted on other documents."""

    model: str
    tokenizer: str
    tokens: int
    without: float
    nats: float
    weights: tuple[tuple[float, ...], ...]

    @property
    def helps(self) -> bool:
        """Whether mixing made held-out text likelier; where it does not, the model is left alone."""
        return self.nats < self.without

    def shares(self, features: Float, present: ArrayLike) -> Float:
        """What each expert gives, shape (…, EXPERTS), for features of shape (…, FEATURES); nothing where it is not
        present."""
        scores = np.where(present, features @ np.array(self.weights), -math.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        shares: Float = weights / weights.sum(-1, keepdims=True)
        return shares


def model_hash(folder: Path) -> str:
    """What a gate knows a model by: a digest of the weights and the tokenizer in `folder`, all of which is read. Packed
    weights are the same model's."""
    names = sorted(path.name for path in folder.glob("model*.safetensors"))
    if not names:
        raise UserError(f"There are no weights in {folder}.", "name the folder of a release or a checkpoint")
    return digest([(name, file_digest(folder / name)) for name in (*names, *tokenizer_files(folder))])


def write_gate(index: Path, gate: Gate) -> None:
    """Keeps `gate` in the folder of an index."""
    (index / GATES).mkdir(exist_ok=True)
    write_atomically(_path(index, gate.model), json.dumps({"schema": _SCHEMA, **asdict(gate)}) + "\n")


def read_gate(index: Path, model: str, tokenizer: str) -> Gate | None:
    """The gate of a model in the folder of an index; None where none was fitted. Raises UserError where it is damaged
    or was fitted with an index of another `tokenizer`."""
    path = _path(index, model)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        weights = tuple(tuple(float(weight) for weight in row) for row in found.pop("weights"))
        schema = found.pop("schema")
        gate = Gate(**found, weights=weights)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(path) from error
    if schema != _SCHEMA or np.shape(weights) != (FEATURES, len(EXPERTS)) or not np.isfinite(weights).all():
        raise damaged(path)
    if (gate.model, gate.tokenizer) != (model, tokenizer):
        raise UserError(f"{path} was fitted for another tokenizer or model.", "fit it again")
    return gate


def _path(index: Path, model: str) -> Path:
    return index / GATES / f"{model}.json"
