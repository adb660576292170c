"""Attention by blocks and by fused kernels is the textbook's, and no document sees another."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from repotune.model import attention, blockwise
from repotune.model.attention import Positions, alibi_slopes, fused_attention, rotate, rotations
from repotune.model.blockwise import blockwise_attention
from repotune.model.configuration import ModelConfig
from repotune.model.network import Network

LLAMA = ModelConfig(64, 32, 2, 4, 2, 48, 512, tied=False)
MPT = ModelConfig(64, 32, 2, 4, 2, 128, 512, norm="layer", position="alibi", activation="gelu")
FAMILIES = pytest.mark.parametrize("config", [LLAMA, MPT], ids=["llama", "mpt"])


@pytest.fixture
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Small blocks, so that rows have several of them; or the fused kernels that long rows take."""
    if request.param == "fused":
        monkeypatch.setattr(attention, "EXPLICIT_ATTENTION_LIMIT", 0)
    monkeypatch.setattr(blockwise, "_BLOCK", 16)
    return str(request.param)


both_paths = pytest.mark.parametrize("path", ["blocks", "fused"], indirect=True)


def _tensors(*shapes: tuple[int, ...]) -> list[Tensor]:
    torch.manual_seed(5)
    return [torch.randn(shape, requires_grad=True) for shape in shapes]


def _textbook(parts: list[Tensor], bias: Tensor) -> Tensor:
    """`parts` are queries, keys and values."""
    query_BHTE, key_BHTE, value_BHTE = (part.repeat_interleave(parts[0].shape[1] // part.shape[1], 1) for part in parts)
    scores_BHTT = query_BHTE @ key_BHTE.mT / math.sqrt(query_BHTE.shape[-1]) + bias
    return scores_BHTT.softmax(-1) @ value_BHTE


def _attend(path: str, parts: list[Tensor], bias: Tensor, positions: Positions) -> Tensor:
    query_BHTE, key_BKTE, value_BKTE = parts
    if path == "fused":
        return fused_attention(query_BHTE, key_BKTE, value_BKTE, positions)
    return blockwise_attention(query_BHTE, key_BKTE, value_BKTE, bias)


@pytest.mark.parametrize("length", [1, 15, 16, 50])
@both_paths
def test_attention_and_its_gradients_are_the_textbooks(path: str, length: int) -> None:
    B, H, K, E = 2, 6, 3, 8
    parts = _tensors((B, H, length, E), (B, K, length, E), (B, K, length, E))
    distance_TT = torch.arange(length)[:, None] - torch.arange(length)[None, :]
    bias = torch.where(distance_TT >= 0, -alibi_slopes(H)[:, None, None] * distance_TT, -math.inf)[None]
    positions = Positions(slopes=alibi_slopes(H))
    mixed = _attend(path, parts, bias, positions)
    expected = _textbook(parts, bias)
    torch.testing.assert_close(mixed, expected, atol=1e-5, rtol=1e-5)
    direction = torch.randn_like(expected)
    gradients, expected_gradients = (torch.autograd.grad(out, parts, direction) for out in (mixed, expected))
    torch.testing.assert_close(gradients, expected_gradients, atol=1e-5, rtol=1e-5)


@both_paths
def test_alibis_columns_hold_beyond_the_first_digit(path: str) -> None:
    length, H = 700, 2
    parts = _tensors(*[(1, H, length, 8)] * 3)
    distance_TT = torch.arange(length)[:, None] - torch.arange(length)[None, :]
    slopes = torch.tensor([0.5, 0.001])
    bias = torch.where(distance_TT >= 0, -slopes[:, None, None] * distance_TT, -math.inf)[None]
    mixed = _attend(path, parts, bias, Positions(slopes=slopes))
    torch.testing.assert_close(mixed, _textbook(parts, bias), atol=1e-4, rtol=1e-4)


def _network(config: ModelConfig) -> Network:
    torch.manual_seed(3)
    network = Network(config)
    for parameter in network.parameters():  # the blocks begin as the identity, which would hide any leak
        torch.nn.init.normal_(parameter, std=0.2)
    return network


@FAMILIES
@both_paths
def test_a_document_in_a_row_is_the_document_alone(config: ModelConfig, path: str) -> None:
    network, lengths = _network(config), (23, 1, 40)
    parts = [torch.randint(64, (1, length)) for length in lengths]
    documents = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))[None]
    row = network.features(torch.cat(parts, 1), documents)
    alone = torch.cat([network.features(part) for part in parts], 1)
    torch.testing.assert_close(row, alone, atol=2e-5, rtol=2e-5)


@FAMILIES
@both_paths
def test_no_token_and_no_gradient_comes_from_another_document(config: ModelConfig, path: str) -> None:
    """The rows differ in the place of the boundary, and in the tokens of every other document."""
    network = _network(config)
    ids = torch.randint(64, (2, 48))
    others = torch.randint(64, (2, 48))
    documents = torch.stack((torch.arange(48) // 20, torch.arange(48) // 30))
    changed = torch.where(documents == 1, ids, others)
    inside = documents == 1
    before, after = network.features(ids, documents), network.features(changed, documents)
    assert torch.equal(before[inside], after[inside])
    assert not torch.allclose(before[~inside], after[~inside])

    embedded: list[Tensor] = []
    network.embedding.register_forward_hook(lambda _module, _ids, output: embedded.append(output))
    (gradient_BTD,) = torch.autograd.grad(network.features(ids, documents)[inside].sum(), embedded)
    assert torch.all(gradient_BTD[~inside] == 0) and torch.all(gradient_BTD[inside].norm(dim=-1) > 0)


@both_paths
def test_a_window_holds_within_a_document(path: str) -> None:
    config = replace(LLAMA, norm="layer", activation="gelu-tanh", biases="all", window=4, layers=1)
    network = _network(config)
    ids = torch.randint(64, (1, 32))
    documents = (torch.arange(32) // 10)[None]
    before = network.features(ids, documents)
    ids[0, 12] = (ids[0, 12] + 1) % 64
    moved = (network.features(ids, documents) - before)[0].abs().amax(-1) > 0
    assert moved.nonzero().flatten().tolist() == [12, 13, 14, 15]


def test_a_rotations_gradient_is_turned_back() -> None:
    config = ModelConfig(vocabulary=32, width=16, layers=1, heads=2, kv_heads=2, hidden=32, context=8)
    cosine_TE, sine_TE = (part.double() for part in rotations(config, torch.arange(5)))
    x_BHTE = torch.randn(2, 2, 5, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: rotate(x, cosine_TE, sine_TE), x_BHTE)


def test_the_bias_of_one_row_is_left_for_the_next_layer() -> None:
    """One row of as many heads as the bias has, in one block, needs no copy for its shape and gets one all the same."""
    query, key, value = _tensors((1, 4, 10, 8), (1, 4, 10, 8), (1, 4, 10, 8))
    bias = torch.randn(1, 4, 10, 10)
    before = bias.clone()
    blockwise_attention(query, key, value, bias)
    assert torch.equal(bias, before)
