"""What the network sees of a document is the document, in an order that it can learn to fill in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from repotune.tokenizer.encoding import Codec
from repotune.tokenizer.packing import TokenStore
from repotune.train.infilling import Rendering

SEQUENCE = 128


def _samples(ids: list[int], codec: Codec) -> Iterator[list[int]]:
    """What stands between one header and the next, without the headers' text."""
    starts = [index for index, token in enumerate(ids) if token == codec.file_sep]
    assert starts[0] == 0
    line_end = codec.encode("\n")
    for start, stop in zip(starts, [*starts[1:], len(ids)], strict=True):
        header = ids[start:stop]
        body = next(index for index in range(1, len(header)) if codec.decode_bytes(header[1 : index + 1])[-1:] == b"\n")
        assert header[1 : body + 1] == line_end or codec.decode(header[1 : body + 1]).startswith("lib/")
        yield header[body + 1 :]


def _reassembled(sample: list[int], codec: Codec) -> str:
    """The text of a sample, its parts put back in their order."""
    if sample[0] != codec.fim_prefix:
        return codec.decode([token for token in sample if token != codec.end])
    assert sample[-1] == codec.end
    suffix, middle = sample.index(codec.fim_suffix), sample.index(codec.fim_middle)
    if suffix == 1:
        # prefix and middle stand together: their border is not marked, nor does it need to be
        return codec.decode(sample[middle + 1 : -1]) + codec.decode(sample[2:middle])
    parts = (sample[1:suffix], sample[middle + 1 : -1], sample[suffix + 1 : middle])
    return "".join(codec.decode(part) for part in parts)


@pytest.mark.parametrize("rate", [0.0, 0.5, 1.0])
def test_every_document_is_all_there(store: TokenStore, codec: Codec, rate: float) -> None:
    rendering = Rendering(codec, SEQUENCE, rate, seed=4)
    for document in range(len(store)):
        for epoch in range(3):
            samples = list(_samples(rendering.render(store, document, epoch), codec))
            text = "".join(_reassembled(sample, codec) for sample in samples)
            assert text == codec.decode(store.document(document).tolist())
            assert samples[-1][-1] == codec.end


def test_both_orders_and_whole_code_come_in_their_shares(store: TokenStore, codec: Codec) -> None:
    rendering = Rendering(codec, SEQUENCE, 0.5, seed=4)
    prefix_first = suffix_first = plain = 0
    for epoch in range(10):
        for document in range(len(store)):
            for sample in _samples(rendering.render(store, document, epoch), codec):
                infilled = sample[0] == codec.fim_prefix
                suffix_first += infilled and sample[1] == codec.fim_suffix
                prefix_first += infilled and sample[1] != codec.fim_suffix
                plain += len(codec.decode(sample)) if not infilled else 0
    assert 0.42 < prefix_first / (prefix_first + suffix_first) < 0.58
    text = 10 * sum(len(codec.decode(store.document(document).tolist())) for document in range(len(store)))
    assert 0.42 < plain / text < 0.58


def test_an_infilled_piece_fits_a_row(store: TokenStore, codec: Codec) -> None:
    rendering = Rendering(codec, SEQUENCE, 1.0, seed=4)
    lengths = [
        len(sample)
        for document in range(len(store))
        for sample in _samples(rendering.render(store, document, 0), codec)
    ]
    within = sum(length <= SEQUENCE for length in lengths)
    assert within / len(lengths) > 0.9  # a dense piece has more tokens than its document's average tells


def test_the_path_is_left_out_in_half_of_the_headers(store: TokenStore, codec: Codec) -> None:
    rendering = Rendering(codec, SEQUENCE, 1.0, seed=4)
    named = empty = 0
    for document in range(len(store)):
        ids = rendering.render(store, document, 0)
        for start in (index for index, token in enumerate(ids) if token == codec.file_sep):
            header = codec.header(store.path(document))
            named += ids[start : start + len(header)] == header
            empty += ids[start : start + 2] == codec.header("")
    assert 0.4 < named / (named + empty) < 0.6


def test_a_rendering_depends_on_seed_epoch_and_document_alone(store: TokenStore, codec: Codec) -> None:
    rendering = Rendering(codec, SEQUENCE, 0.5, seed=4)
    again = Rendering(codec, SEQUENCE, 0.5, seed=4)
    assert [rendering.render(store, 2, 0), rendering.render(store, 1, 0)] == [
        again.render(store, document, 0) for document in (2, 1)
    ]
    assert rendering.render(store, 1, 0) != rendering.render(store, 1, 1)
    assert rendering.render(store, 1, 0) != Rendering(codec, SEQUENCE, 0.5, seed=5).render(store, 1, 0)
