"""Mixed probabilities are probabilities, are fitted, and are better where code repeats."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.infer.decoding import Sampling, generate
from repotune.infer.engine import Engine
from repotune.infer.index.cursor import Cursor
from repotune.infer.index.fitting import cut_windows, fit_gate, gather
from repotune.infer.index.folder import Index, read_head
from repotune.infer.index.gate import EXPERTS, FEATURES, GATES, Gate, model_hash, read_gate, write_gate
from repotune.infer.index.looking import listen, look_up, mixed
from repotune.infer.index.mixing import MixedEngine, Mixer
from repotune.infer.opening import open_engine
from repotune.tokenizer.encoding import Codec
from repotune.tokenizer.packing import TokenStore


@pytest.fixture(scope="module")
def gate(index: Index, workspace: dict[str, Path], llama_folder: Path, codec: Codec) -> Gate:
    torch.set_num_threads(1)
    return fit_gate(index, workspace["tokens"], llama_folder, codec)


def equal_gate() -> Gate:
    return Gate("m", "t", 0, 0.0, 0.0, tuple((0.0,) * len(EXPERTS) for _ in range(FEATURES)))


def test_what_is_mixed_sums_to_one_and_leaves_special_tokens_alone(index: Index, codec: Codec) -> None:
    cursor = Cursor(index, codec.special)
    mixer = Mixer(cursor, equal_gate(), codec.special)
    cursor.open_file(codec.encode("import os\nimport sys\n"))
    cursor.move_to(codec.encode("import os\nimport"))
    logits = np.random.default_rng(0).normal(size=codec.size).astype(np.float32) * 3
    p = np.exp(logits - logits.max())
    p /= p.sum()
    mixed = np.exp(mixer.mix(logits))
    assert mixed.sum() == pytest.approx(1, abs=1e-5)
    special = sorted(codec.special)
    assert mixed[special] == pytest.approx(p[special], rel=1e-5)
    answers = cursor.own(), cursor.indexed(), cursor.indexed(4)
    assert all(answer.length for answer in answers)
    expected = p / 4
    for answer in answers:
        expected[answer.ids] += answer.shares / 4 * (1 - p[special].sum())
    expected[special] = p[special]
    assert mixed == pytest.approx(expected, rel=1e-4, abs=1e-9)


def test_what_is_looked_up_for_known_ids_is_what_is_mixed(index: Index, gate: Gate, codec: Codec) -> None:
    """Asked about each id in turn it adds up to one over the vocabulary, as the mixed distribution does."""
    prompt, special = codec.encode("import os\nimport"), sorted(codec.special)
    logits = np.random.default_rng(1).normal(size=codec.size).astype(np.float32) * 3
    p = np.exp(logits - logits.max())
    p /= p.sum()

    def cursor() -> Cursor:
        one = Cursor(index, codec.special)
        one.open_file(codec.encode("import os\nimport sys\n"))
        one.move_to(prompt)
        return one

    plain = [token for token in range(codec.size) if token not in codec.special]
    asked = []
    for token in plain:
        seen = look_up(cursor(), [token])
        asked.append(float(mixed(gate, seen, listen(seen, p[None], special))[0]))
    assert sum(asked) + p[special].sum() == pytest.approx(1, abs=1e-5)
    log_p = Mixer(cursor(), gate, codec.special).mix(logits)
    assert asked == pytest.approx(np.exp(log_p[plain]), rel=1e-4, abs=1e-12)


def test_where_nothing_is_known_the_model_speaks_alone(index: Index, codec: Codec) -> None:
    mixer = Mixer(Cursor(index, codec.special), equal_gate(), codec.special)
    mixer.cursor.move_to([codec.fim_middle])
    logits = np.linspace(-4, 4, codec.size, dtype=np.float32)
    assert np.exp(mixer.mix(logits)) == pytest.approx(np.exp(logits) / np.exp(logits).sum(), rel=1e-4)


def test_a_gate_that_was_fitted_needs_fewer_nats_on_files_that_it_was_not_fitted_on(gate: Gate) -> None:
    # The held-out files repeat three lines: own text knows all of it, a random network nothing.
    assert gate.without > 5 and gate.nats < 1
    assert np.shape(gate.weights) == (FEATURES, len(EXPERTS))


def test_what_is_fitted_is_what_is_mixed(
    index: Index, gate: Gate, workspace: dict[str, Path], llama_folder: Path, codec: Codec
) -> None:
    """The nats by the engine's steps are those that fitting computes all at once."""
    store, exact = TokenStore(workspace["tokens"], "validation"), open_engine(llama_folder, "f32")
    windows = list(cut_windows(store, codec, 128, 400))[:2]
    assert [window.ids[-1] in codec.special for window in windows] == [False, False]
    assert sum(codec.fim_middle in window.ids for window in windows) == 1
    evidence = gather(windows, exact, Cursor(index, codec.special), codec, Console(quiet=True))
    fitted = [
        gate.shares(features, present.tolist()) @ p
        for features, present, p in zip(evidence.features, evidence.present, evidence.p, strict=True)
    ]
    engine = MixedEngine(open_engine(llama_folder, "f32"), Mixer(Cursor(index, codec.special), gate, codec.special))
    stepped = []
    for window in windows:
        engine.open_file(window.before, window.behind)
        log_p = engine.prefill(window.ids[: window.first])
        for token in window.ids[window.first :]:
            stepped.append(float(np.exp(log_p[token])))
            log_p = engine.step(token)
    assert np.array(fitted) == pytest.approx(np.array(stepped), rel=1e-4, abs=1e-6)


def test_rows_at_once_and_taken_back_are_the_steps(index: Index, gate: Gate, llama_folder: Path, codec: Codec) -> None:
    def opened() -> MixedEngine:
        return MixedEngine(open_engine(llama_folder, "f32"), Mixer(Cursor(index, codec.special), gate, codec.special))

    prompt, more = codec.encode("import os\nimport re\n"), codec.encode("import sys\nimport os")
    one, other = opened(), opened().another()
    one.prefill(prompt)
    other.prefill(prompt)
    steps = np.stack([one.step(token) for token in more])
    other.extend(more[::-1])
    other.rewind(len(more))
    assert np.allclose(other.extend(more), steps, atol=1e-4)
    assert one.stats().prompts == 1 and one.vocabulary == codec.size


def test_a_random_network_goes_on_as_the_file_does(index: Index, gate: Gate, llama_folder: Path, codec: Codec) -> None:
    def write(engine: Engine) -> str:
        prompt = [*codec.header("a.py"), *codec.encode("alpha = beta(gamma)\n" * 4 + "alpha = beta")]
        return "".join(piece.text for piece in generate(engine, codec, prompt, Sampling(), 12))

    engine = open_engine(llama_folder, "f32")
    mixed = MixedEngine(engine, Mixer(Cursor(index, codec.special), gate, codec.special))
    assert write(mixed).startswith("(gamma)\nalpha") and "gamma" not in write(engine)


def test_a_gate_is_kept_for_its_model_alone(gate: Gate, index_folder: Path, llama_folder: Path) -> None:
    assert read_gate(index_folder, gate.model, gate.tokenizer) is None
    write_gate(index_folder, gate)
    assert gate.model == model_hash(llama_folder)
    assert read_gate(index_folder, gate.model, gate.tokenizer) == gate
    assert read_gate(index_folder, "another", gate.tokenizer) is None
    with pytest.raises(UserError, match="another tokenizer"):
        read_gate(index_folder, gate.model, "another")


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"schema": 1, "weights": [[1]]}'])
def test_a_damaged_gate_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / GATES).mkdir()
    (tmp_path / GATES / "model.json").write_text(text)
    with pytest.raises(UserError, match="damaged"):
        read_gate(tmp_path, "model", "tokenizer")


def test_weights_that_are_no_numbers_are_damage(tmp_path: Path, gate: Gate) -> None:
    write_gate(tmp_path, gate)
    path = tmp_path / GATES / f"{gate.model}.json"
    found = json.loads(path.read_text())
    found["weights"][0][0] = float("nan")
    path.write_text(json.dumps(found))
    with pytest.raises(UserError, match="damaged"):
        read_gate(tmp_path, gate.model, gate.tokenizer)


def test_an_index_of_other_tokens_is_refused(
    index: Index, workspace: dict[str, Path], llama_folder: Path, codec: Codec
) -> None:
    foreign = Index(index.folder, replace(read_head(index.folder), tokenizer="another"))
    with pytest.raises(UserError, match="not the index of"):
        fit_gate(foreign, workspace["tokens"], llama_folder, codec)
