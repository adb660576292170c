"""What the network sees of a document is the document, in an order that it can learn to fill in."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repotune.tokenizer.encoding import Codec
from repotune.tokenizer.layout import SPECIAL_TOKENS
from repotune.tokenizer.packing import TokenStore
from repotune.train.infilling import Rendering

SEQUENCE = 128

Stored = Callable[[list[str]], TokenStore]


def _samples(rendering: Rendering, store: TokenStore, document: int, epoch: int) -> Iterator[list[int]]:
    """The pieces of a document, without their headers."""
    codec, path = rendering.codec, store.path(document)
    for piece in range(rendering.pieces(len(store.document(document)))):
        ids = rendering.render(store, document, piece, epoch)
        header = next(header for header in (codec.header(path), codec.header("")) if ids[: len(header)] == header)
        yield ids[len(header) :]


def _reassembled(sample: list[int], codec: Codec) -> bytes:
    """The text of a sample, its parts put back in their order."""
    if sample[:1] != [codec.fim_prefix]:
        return codec.decode_bytes([token for token in sample if token != codec.end])
    assert sample[-1] == codec.end
    suffix, middle = sample.index(codec.fim_suffix), sample.index(codec.fim_middle)
    if suffix == 1:
        # prefix and middle stand together: their border is not marked, nor does it need to be
        return codec.decode_bytes(sample[middle + 1 : -1]) + codec.decode_bytes(sample[2:middle])
    parts = (sample[1:suffix], sample[middle + 1 : -1], sample[suffix + 1 : middle])
    return b"".join(codec.decode_bytes(part) for part in parts)


@pytest.mark.parametrize("rate", [0.0, 0.5, 1.0])
def test_every_document_is_all_there(store: TokenStore, codec: Codec, rate: float) -> None:
    rendering = Rendering(codec, SEQUENCE, rate, seed=4)
    for document in range(len(store)):
        for epoch in range(3):
            samples = list(_samples(rendering, store, document, epoch))
            text = b"".join(_reassembled(sample, codec) for sample in samples)
            assert text == codec.decode_bytes(store.document(document).tolist())
            assert samples[-1][-1] == codec.end
            assert all(codec.end not in sample for sample in samples[:-1] if sample[0] != codec.fim_prefix)


def test_both_orders_and_whole_code_come_in_their_shares(store: TokenStore, codec: Codec) -> None:
    rendering = Rendering(codec, SEQUENCE, 0.5, seed=4)
    samples = [
        sample
        for epoch in range(10)
        for document in range(len(store))
        for sample in _samples(rendering, store, document, epoch)
    ]
    infilled = [sample for sample in samples if sample[0] == codec.fim_prefix]
    suffix_first = sum(sample[1] == codec.fim_suffix for sample in infilled)
    assert 0.45 < len(infilled) / len(samples) < 0.55
    assert 0.45 < suffix_first / len(infilled) < 0.55


def test_about_half_of_the_holes_end_where_a_line_ends(store: TokenStore, codec: Codec) -> None:
    rendering = Rendering(codec, SEQUENCE, 1.0, seed=4)
    ends = []
    for epoch, document in itertools.product(range(8), range(len(store))):
        for sample in _samples(rendering, store, document, epoch):
            suffix, middle = sample.index(codec.fim_suffix), sample.index(codec.fim_middle)
            ends.append(codec.decode(sample[suffix + 1 : middle])[:1] in ("\n", ""))
    assert 0.48 < sum(ends) / len(ends) < 0.6  # some of the others end there by chance


def test_an_infilled_piece_fits_a_row(store: TokenStore, codec: Codec) -> None:
    rendering = Rendering(codec, SEQUENCE, 1.0, seed=4)
    lengths = [len(sample) for document in range(len(store)) for sample in _samples(rendering, store, document, 0)]
    assert sum(length <= SEQUENCE for length in lengths) / len(lengths) > 0.7  # cuts move by up to half a piece
    assert max(lengths) < 2 * SEQUENCE


def test_the_path_is_left_out_in_half_of_the_headers(store: TokenStore, codec: Codec) -> None:
    rendering = Rendering(codec, SEQUENCE, 0.5, seed=4)
    named = [
        rendering.render(store, document, piece, 0)[:2] != codec.header("")
        for document in range(len(store))
        for piece in range(rendering.pieces(len(store.document(document))))
    ]
    assert 0.4 < sum(named) / len(named) < 0.6


def test_a_rendering_depends_on_seed_epoch_and_piece_alone(store: TokenStore, codec: Codec) -> None:
    rendering = Rendering(codec, SEQUENCE, 0.5, seed=4)
    again = Rendering(codec, SEQUENCE, 0.5, seed=4)
    assert [rendering.render(store, 2, 1, 0), rendering.render(store, 1, 0, 0)] == [
        again.render(store, 2, 1, 0),
        again.render(store, 1, 0, 0),
    ]
    assert rendering.render(store, 1, 0, 0) != rendering.render(store, 1, 0, 1)
    other = Rendering(codec, SEQUENCE, 0.5, seed=5)
    assert [rendering.render(store, 1, piece, 0) for piece in range(5)] != [
        other.render(store, 1, piece, 0) for piece in range(5)
    ]


def test_a_character_that_a_cut_splits_is_not_lost(stored: Stored, codec: Codec) -> None:
    text = "ü€" * 300  # not in the corpus, so each byte is a token
    store = stored([text])
    rendering = Rendering(codec, 64, 1.0, seed=4)
    for epoch in range(5):
        samples = _samples(rendering, store, 0, epoch)
        assert b"".join(_reassembled(sample, codec) for sample in samples) == text.encode()


@pytest.mark.parametrize("text", ["", "\n", "x"])
def test_the_smallest_documents_are_rendered(stored: Stored, codec: Codec, text: str) -> None:
    store = stored([text])
    for epoch in range(8):
        (sample,) = _samples(Rendering(codec, 64, 0.5, seed=4), store, 0, epoch)
        assert _reassembled(sample, codec) == text.encode()


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(
        st.sampled_from(
            [*SPECIAL_TOKENS, "def f(a, b):\n", "    return a\n", "ü€🐍", "\r\n", "\t", '"', "x = (1, 2)\n"]
        )
        | st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8),
        max_size=40,
    ),
    share=st.sampled_from([0.0, 0.5, 1.0]),
    epoch=st.integers(0, 2**40),
)
def test_any_text_renders_back_and_forges_no_special_token(
    stored: Stored, codec: Codec, parts: list[str], share: float, epoch: int
) -> None:
    text = "".join(parts)
    store = stored([text])
    rendering = Rendering(codec, 40, 1.0, seed=4, syntax_share=share)
    samples = list(_samples(rendering, store, 0, epoch))
    assert b"".join(_reassembled(sample, codec) for sample in samples) == text.encode()
    for sample in samples:
        special = [token for token in sample if token in codec.special]
        assert sorted(special) in (
            [codec.end],  # of a piece that a cut left without text
            sorted([codec.fim_prefix, codec.fim_suffix, codec.fim_middle, codec.end]),
            [],
        )


def test_a_few_holes_are_empty(store: TokenStore, codec: Codec) -> None:
    rendering = Rendering(codec, SEQUENCE, 1.0, seed=4)
    samples = [
        sample
        for epoch, document in itertools.product(range(8), range(len(store)))
        for sample in _samples(rendering, store, document, epoch)
        if sample[1] != codec.fim_suffix
    ]
    empty = sum(sample[-2] == codec.fim_middle for sample in samples)
    assert 0.01 < empty / len(samples) < 0.08
