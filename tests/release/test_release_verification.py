"""`repotune release verify`: whole answers of what ships, beside those of the exact weights."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.evaluate.scores import Score
from repotune.infer.cpu.packed import packed_name, write_packed
from repotune.infer.cpu.packing import pack_network
from repotune.model.weights import load_model
from repotune.release.verification import Verified, verify_release

QUIET = Console(quiet=True)


def test_packed_weights_and_drafts_are_tried_on_the_same_holes(workspace: Path) -> None:
    rounded, drafted = verify_release(workspace / "release", workspace / "corpus", 3, QUIET)
    assert (rounded.name, rounded.against, drafted.name, drafted.against) == (
        "int8",
        "f32",
        "int8 with drafts",
        "int8",
    )
    assert rounded.items == drafted.items == drafted.same > 15
    assert 0 < rounded.same <= rounded.items
    assert not drafted.lost
    assert (drafted.exact, drafted.similarity) == (Score(0.0, 0.0, 0.0), Score(0.0, 0.0, 0.0))


def test_weights_of_another_model_are_seen(workspace: Path, tmp_path: Path) -> None:
    """No file's name says what is in it, only its answers do."""
    shutil.copytree(workspace / "release", release := tmp_path / "release")
    network = load_model(release)
    for parameter in network.parameters():
        parameter.data.neg_()
    write_packed(pack_network(network, 8), release / packed_name(8))
    rounded, drafted = verify_release(release, workspace / "corpus", 3, QUIET)
    assert rounded.same < rounded.items / 2
    assert drafted.same == drafted.items


def test_a_loss_is_one_that_is_no_chance() -> None:
    worse, maybe = Score(-0.1, -0.15, -0.05), Score(-0.1, -0.25, 0.05)
    row = Verified("int4", "f32", 100, 20, 30, 80, worse, maybe, exactly=False)
    assert row.lost
    assert not replace(row, exact=maybe).lost
    assert replace(row, exact=maybe, similarity=worse).lost
    assert replace(row, exactly=True, exact=maybe).lost


def test_a_release_without_packed_weights_is_refused(workspace: Path, tmp_path: Path) -> None:
    shutil.copytree(workspace / "release", release := tmp_path / "release")
    (release / packed_name(8)).unlink()
    with pytest.raises(UserError, match="no packed weights"):
        verify_release(release, workspace / "corpus", 3, QUIET)


def test_nothing_asked_for_is_refused(workspace: Path) -> None:
    with pytest.raises(UserError, match="0 holes of each kind cannot be asked for"):
        verify_release(workspace / "release", workspace / "corpus", 0, QUIET)
