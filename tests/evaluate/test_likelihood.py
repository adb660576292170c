"""Every byte once, from enough context, with the probabilities that the network gives."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from repotune.core.console import Console
from repotune.evaluate.completions import hole_ids, item_prompt
from repotune.evaluate.likelihood import cut_passages, even_share, header_ids, network_bits, windows
from repotune.evaluate.ngram import Passage
from repotune.evaluate.own_code.held_out import HeldOut
from repotune.evaluate.own_code.items import draw_items
from repotune.model.weights import load_model


@given(st.integers(2, 8), st.integers(0, 300), st.integers(1, 300), st.integers(24, 64))
def test_windows_score_each_id_once_from_half_a_context(header: int, before: int, scored: int, context: int) -> None:
    ids = np.arange(header + before + scored)
    passage = Passage(ids, header + before, len(ids))
    seen = []
    for window in windows(passage, header, context):
        assert len(window.ids) - 1 <= context
        assert window.ids[:header].tolist() == list(range(header))
        assert np.all(np.diff(window.ids[header:]) == 1)
        available = window.ids[window.first] - header
        assert window.first - header >= min(available, (context + 1 - header) // 2 - 1)
        assert window.place == len(seen)
        seen += window.ids[window.first :].tolist()
    assert seen == list(range(passage.start, passage.stop))


def test_bits_are_the_networks_own(workspace, held_out: list[HeldOut]) -> None:
    """A file that fits into the context: one forward pass and a softmax by hand."""
    network = load_model(workspace.folders["run"] / "initial")
    header = workspace.codec.header("a.py")
    body = workspace.codec.encode(held_out[0].text)[:100]
    passage = Passage(np.array(header + body), len(header) + 20, len(header) + 100)
    short = Passage(np.array(header + body[:7]), len(header), len(header) + 7)
    with Console(quiet=True).progress("", 1) as progress:
        bits, bits_of_short = network_bits(network, [passage, short], [len(header)] * 2, progress)
    with torch.inference_mode():
        p = torch.softmax(network(torch.tensor([header + body]))[0], dim=-1)
    expected = [-math.log2(p[len(header) + i - 1, body[i]].item()) for i in range(100)]
    assert bits == pytest.approx(expected[20:], abs=1e-3)
    assert bits_of_short == pytest.approx(expected[:7], abs=1e-3)


def test_bits_of_a_hole_are_the_same_whatever_else_is_in_the_batch(workspace, held_out: list[HeldOut]) -> None:
    network = load_model(workspace.folders["run"] / "checkpoints" / "00000060")
    codec, passages = workspace.codec, []
    for item in draw_items(held_out, ["rest", "body", "nothing"], 12, seed=1):
        prompt, hole = item_prompt(codec, item, 256), hole_ids(codec, item, 256)
        passages.append(Passage(np.array(prompt + hole), len(prompt), len(prompt) + len(hole)))
    with Console(quiet=True).progress("", 1) as progress:
        together = network_bits(network, passages, [passage.start for passage in passages], progress)
        alone = [network_bits(network, [passage], [passage.start], progress)[0] for passage in passages]
    for passage, one, other in zip(passages, together, alone, strict=True):
        assert len(one) == passage.stop - passage.start
        assert one == pytest.approx(other, abs=1e-4)


def test_a_long_file_is_scored_whole(workspace, held_out: list[HeldOut]) -> None:
    network = load_model(workspace.folders["run"] / "checkpoints" / "00000060")
    (_, passage, length) = cut_passages(held_out[:1], workspace.codec, 256, 10**9, seed=1)[0]
    assert length == len(held_out[0].text.encode())
    assert len(passage.ids) > 3 * 256
    header = len(header_ids(workspace.codec, held_out[0].path, 256))
    with Console(quiet=True).progress("", 1) as progress:
        (bits,) = network_bits(network, [passage], [header], progress)
    assert len(bits) == len(passage.ids) - header
    assert bits.min() > 0
    assert bits.sum() / length < 4  # 60 steps taught it something: an even guess needs 8 bits a byte at 1.25 tokens


def test_bytes_are_shared_out_evenly(workspace, held_out: list[HeldOut]) -> None:
    files = [*held_out, HeldOut("é = 1\n", "short.py", "Python", "r")]
    cuts = cut_passages(files, workspace.codec, 256, 12_000, seed=1)
    lengths = {file.path: length for file, _, length in cuts}
    assert lengths["short.py"] == 7
    assert sum(lengths.values()) <= 12_000
    rest = [length for path, length in lengths.items() if path != "short.py"]
    assert max(rest) - min(rest) < 20
    for file, passage, length in cuts:
        text = workspace.codec.decode_bytes(passage.ids[passage.start : passage.stop].tolist())
        assert len(text) == length
        assert text in file.text.encode()


@given(st.lists(st.integers(0, 1000), max_size=20), st.integers(1, 5000))
def test_an_even_share_uses_what_there_is(sizes: list[int], total: int) -> None:
    share = even_share(sizes, total)
    used = sum(min(size, share) for size in sizes)
    assert used <= max(total, len(sizes))
    assert used == sum(sizes) or used + len(sizes) > total or share == 1


def test_too_long_a_path_is_left_out(workspace) -> None:
    assert header_ids(workspace.codec, "deep/" * 100, 256) == workspace.codec.header("")
