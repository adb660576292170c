"""The chunked loss is cross entropy, with its gradients."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from repotune.model.configuration import ModelConfig
from repotune.model.network import Network
from repotune.train import loss as loss_module
from repotune.train.loss import head_loss, token_losses


@pytest.mark.parametrize("kept", [1, 600 * 97, 2**26], ids=["a chunk", "two chunks", "all"])
@pytest.mark.parametrize("count", [1, 511, 512, 1300])
def test_loss_and_gradients_are_those_of_cross_entropy(count: int, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_module, "_KEPT", kept)
    torch.manual_seed(1)
    targets_BT = torch.randint(97, (1, count))
    results = []
    for chunked in (True, False):
        torch.manual_seed(2)
        features_BTD = torch.randn(1, count, 16, requires_grad=True)
        head_VD = torch.randn(97, 16, requires_grad=True)
        if chunked:
            loss = head_loss(features_BTD, head_VD, targets_BT)
        else:
            loss = F.cross_entropy((features_BTD @ head_VD.T).flatten(0, 1), targets_BT.flatten())
        (3 * loss).backward()
        results.append((loss.detach(), features_BTD.grad, head_VD.grad))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_it_holds_under_autocast(small_model: ModelConfig) -> None:
    torch.manual_seed(1)
    network = Network(small_model)
    ids_BT = torch.randint(small_model.vocabulary, (2, 33))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = head_loss(network.features(ids_BT[:, :-1]), network.head.weight, ids_BT[:, 1:])
    loss.backward()
    gradient = network.embedding.weight.grad
    assert gradient is not None and gradient.dtype == torch.float32
    network.zero_grad()
    logits_BTV = network(ids_BT[:, :-1])
    F.cross_entropy(logits_BTV.flatten(0, 1), ids_BT[:, 1:].flatten()).backward()
    exact = network.embedding.weight.grad
    assert exact is not None
    assert F.cosine_similarity(gradient.flatten(), exact.flatten(), dim=0) > 0.999
    plain = float(token_losses(network, ids_BT[:, :-1], ids_BT[:, 1:]).mean())
    assert float(loss.detach()) == pytest.approx(plain, rel=1e-3)
