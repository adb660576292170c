"""What is served is judged: the same answers and probabilities as the server's, and nothing in them that leaked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from repotune.core.console import Console
from repotune.evaluate.completions import hole_ids, item_prompt
from repotune.evaluate.ngram import Passage
from repotune.evaluate.own_code.held_out import HeldOut
from repotune.evaluate.own_code.items import Item, draw_items
from repotune.evaluate.served import Served, read_served
from repotune.infer.assistance import assist
from repotune.infer.index.folder import open_index
from repotune.infer.index.mixing import MixedEngine
from repotune.infer.opening import open_engine
from repotune.infer.served import open_served
from repotune.model.weights import load_model
from repotune.tokenizer.packing import TokenStore
from repotune.train.state import best_checkpoint

UNHEARD_OF = "quixotic_zebra = marmalade_of(41)"


@pytest.fixture(scope="module")
def served(indexed) -> Served:
    found = read_served(indexed.folders["index"], best_checkpoint(indexed.folders["run"]), indexed.codec)
    assert found is not None  # a network of sixty steps is helped by anything
    return found


def hole(held_out: list[HeldOut], expected: str) -> Item:
    """A line's hole in a held-out file; of its text nothing stands around it."""
    text = held_out[0].text
    at = text.index("\n", len(text) // 2) + 1
    file = replace(held_out[0], text=f"{text[:at]}{expected}\n{text[at:]}")
    return Item("line", file, text[:at], "\n" + text[at:], expected)


def test_no_held_out_file_is_in_the_index(indexed, held_out: list[HeldOut]) -> None:
    """Neither by name nor by a text of another name; what is in it is the training split."""
    (segment,) = open_index(indexed.folders["index"]).segments
    rows = list(segment.living())
    train = TokenStore(indexed.folders["tokens"], "train")
    assert [source.path for _, source, _ in rows] == [train.path(number) for number in range(len(train))]
    texts = {segment.document(number).tobytes() for number, _, _ in rows}
    for split in ("validation", "test"):
        store = TokenStore(indexed.folders["tokens"], split)
        assert len(store) > 5
        for number in range(len(store)):
            assert store.path(number) not in {source.path for _, source, _ in rows}
            assert store.document(number).astype(segment.text.dtype).tobytes() not in texts
    assert {file.path for file in held_out} == {store.path(number) for number in range(len(store))}


def test_what_stood_in_the_hole_cannot_be_known(indexed, served: Served, held_out: list[HeldOut]) -> None:
    """Holes that differ in nothing but what stood there get the same prompt, the same open file and the same answer."""
    items = [hole(held_out, expected) for expected in (UNHEARD_OF, "return None")]
    engine = open_served(best_checkpoint(indexed.folders["run"]))
    prompts = [item_prompt(indexed.codec, item, engine.context) for item in items]
    assert prompts[0] == prompts[1] and served.beside(items[0]) == served.beside(items[1])
    assert served.complete(engine, items[0], prompts[0]) == served.complete(engine, items[1], prompts[1])
    before, behind = served.beside(items[0])
    around = indexed.codec.decode([*behind, *before, *prompts[0]])
    assert around.count("def ") > 5 and "quixotic" not in around and "marmalade" not in around


def test_an_id_is_looked_up_before_it_is_known(indexed, served: Served, held_out: list[HeldOut]) -> None:
    """What is said of an id depends on none that come later: two passages are alike as far as they begin alike."""
    ids = indexed.codec.encode(held_out[0].text)[:300]
    other = [*ids[:200], *ids[:100]]
    one, two = (served.look_up(Passage(np.array(of), 50, 300)) for of in (ids, other))
    assert np.array_equal(one.features[:150], two.features[:150]) and np.array_equal(one.shares[:150], two.shares[:150])
    assert np.array_equal(one.features[150], two.features[150]) and not np.array_equal(one.features, two.features)


def test_bits_are_those_of_the_engine_that_is_served(indexed, served: Served, held_out: list[HeldOut]) -> None:
    """Read all at once, and written token by token through the server's door, with the file open around the hole."""
    codec, folder = indexed.codec, best_checkpoint(indexed.folders["run"])
    engine = assist(open_engine(folder, "f32"), codec.special, served.index, served.gate)
    assert isinstance(engine, MixedEngine)
    items = [item for item in draw_items(held_out, ["line", "arguments", "block"], 4, seed=1) if item.expected]
    passages, headers, seen, stepped = [], [], [], []
    for item in items:
        prompt, ids = item_prompt(codec, item, engine.context), hole_ids(codec, item, engine.context)
        passages.append(Passage(np.array(prompt + ids), len(prompt), len(prompt) + len(ids)))
        headers.append(len(prompt))
        seen.append(served.look_up(passages[-1], served.beside(item)))
        engine.open_file(*served.beside(item))
        log_p, bits = engine.prefill(prompt), []
        for token in ids:
            bits.append(-float(log_p[token]) / np.log(2))
            log_p = engine.step(token)
        engine.end()
        stepped.append(bits)
    with Console(quiet=True).progress("reading", 1, "tokens") as progress:
        alone, together = served.bits(load_model(folder), passages, headers, seen, progress)
    for ours, theirs in zip(together, stepped, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-4)
    assert sum(map(sum, together)) < sum(map(sum, alone))


def test_what_an_editor_gets_is_written_by_the_served_engine(indexed, served: Served, held_out: list[HeldOut]) -> None:
    """A line that the open file has twice already is written once more; the model alone cannot."""
    folder = best_checkpoint(indexed.folders["run"])
    file = HeldOut("", "a.py", "Python", "library")
    item = Item("rest", file, f"{UNHEARD_OF}\n" * 3 + UNHEARD_OF[:9], "\n", UNHEARD_OF[9:])
    engine = open_served(folder)
    prompt = item_prompt(indexed.codec, item, engine.context)
    assert served.complete(engine, item, prompt) == item.expected


def test_an_index_that_does_not_help_is_not_served(indexed, tmp_path) -> None:
    folder, model = indexed.folders["index"], indexed.folders["run"] / "initial"
    assert read_served(folder, model, indexed.codec) is None  # no gate was fitted for this one
    index = open_index(folder)
    assert not isinstance(assist(open_served(model), indexed.codec.special, index, None), MixedEngine)
