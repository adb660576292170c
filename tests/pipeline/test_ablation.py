"""A real ablation at a tiny scale: what variants share is built once, and what differs is compared."""

from __future__ import annotations

import json
import sysconfig
from pathlib import Path

import pytest
import torch

from repotune.core.artefact import read_manifest
from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.core.flow import locked
from repotune.evaluate.own_code.held_out import read_held_out
from repotune.pipeline.ablation import Ablation, Scale, Variants, ablate, read_variants

CONFIG = """
[project]
name = "ablated"
repositories = ["code"]
[corpus]
contamination = []
test_share = 0.2
[tokenizer]
size = 1024
[train]
sequence = 64
batch_tokens = 1024
threads = 1
device = "cpu"
[evaluate]
items = 1
likelihood_bytes = 4000
"""
VARIANTS = """
[kept-duplicates]
corpus.near_duplicates = 1.0

[rarely-infilled]
train.infilling_rate = 0.1
"""
SCALE = Scale("1m", 4096)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """json/ and email/ of the standard library, and near copies of some of their files."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("project")
    library = Path(sysconfig.get_paths()["stdlib"])
    for package in ("json", "email"):
        for source in sorted((library / package).glob("*.py")):
            target = folder / "code" / package / source.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    for source in sorted((folder / "code" / "email").glob("[a-h]*.py")):
        copy = folder / "code" / "copies" / source.name
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(source.read_text("utf-8").replace("self", "this", 2) + "\n# a copy\n", "utf-8")
    (folder / "repotune.toml").write_text(CONFIG)
    (folder / "variants.toml").write_text(VARIANTS)
    return folder


@pytest.fixture(scope="module")
def ablated(project: Path) -> Ablation:
    variants = read_variants(project / "variants.toml")
    return ablate(project / "repotune.toml", variants, SCALE, [1], project / "ablation", Console(quiet=True))


def test_each_variant_is_compared_with_the_baseline(ablated: Ablation) -> None:
    assert set(ablated.differences) == {"kept-duplicates", "rarely-infilled"}
    record = json.loads((ablated.folder / "ablation.json").read_text())
    assert record["bits_per_byte"] == {
        name: [round(value, 6) for value in values] for name, values in ablated.differences.items()
    }
    (verdict,) = ablated.verdicts
    assert record["pooled"] is None
    assert "kept-duplicates is" in verdict and "rarely-infilled is" in verdict and "baseline" in verdict
    assert (ablated.folder / record["comparisons"][0] / "comparison.json").is_file()
    assert all(value != 0 for (value,) in ablated.differences.values())


def test_what_is_the_same_is_built_once(ablated: Ablation) -> None:
    shared = json.loads((ablated.folder / "ablation.json").read_text())["shared"]
    assert shared == {
        "baseline-1": [],
        "kept-duplicates-1": [],
        "rarely-infilled-1": ["corpus", "tokenizer", "tokens"],
    }
    one, other = (ablated.folder / name / "tokens" / "index.json" for name in ("baseline-1", "rarely-infilled-1"))
    assert one.samefile(other)
    plans = [read_manifest(ablated.folder / name / "plan") for name in shared]
    assert (
        plans[0] and plans[2] and plans[0].settings["train"]["tokens"] == plans[2].settings["train"]["tokens"] == 4096
    )


def test_nobody_is_measured_on_what_a_variant_learnt(ablated: Ablation) -> None:
    (name,) = json.loads((ablated.folder / "ablation.json").read_text())["comparisons"]
    data = json.loads((ablated.folder / name / "comparison.json").read_text())["data"]
    held_out = read_held_out(ablated.folder / "baseline-1" / "corpus")
    assert data["left_out"] > 0 and data["files"] + data["left_out"] == len(held_out)
    samples = [json.loads(line) for line in (ablated.folder / name / "samples.jsonl").read_text().splitlines()]
    assert samples
    for kept in ("baseline-1", "kept-duplicates-1"):
        tested = {file.path for file in read_held_out(ablated.folder / kept / "corpus")}
        assert {sample["path"] for sample in samples} <= tested


def test_a_second_seed_shares_all_but_the_training(ablated: Ablation, project: Path) -> None:
    variants: Variants = {"rarely-infilled": {"train": {"infilling_rate": 0.1}}}
    again = ablate(project / "repotune.toml", variants, SCALE, [1, 2], ablated.folder, Console(quiet=True))
    record = json.loads((again.folder / "ablation.json").read_text())
    assert record["shared"]["baseline-2"] == ["corpus", "tokenizer", "tokens"]
    first, second = again.differences["rarely-infilled"]
    assert first != second
    assert len(record["comparisons"]) == 2
    pooled = record["pooled"]["differences"]["rarely-infilled"]["likelihood"]["bits_per_byte"]
    assert pooled["value"] == pytest.approx((first + second) / 2, abs=1e-5)
    assert len(again.verdicts) == 3 and again.verdicts[-1].startswith("Over seeds 1 and 2: On ")
    fewer = sum(value < 0 for value in (first, second))
    assert again.verdicts[-1].endswith(
        f"Fewer bits per byte than baseline, by training: rarely-infilled in {fewer} of 2."
    )


def test_a_second_one_at_once_is_refused(project: Path, tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(UserError, match="Another repotune"):
        ablate(project / "repotune.toml", {"a": {"corpus": {"parse": True}}}, SCALE, [1], tmp_path, Console(quiet=True))


@pytest.mark.parametrize(
    ("variants", "match"),
    [
        ({"a": {"project": {"seed": 2}}}, "changes project"),
        ({"a": {"corpus": {"opt_out": {"paths": []}}}}, r"changes corpus\.opt_out"),
        ({"a": {"train": {"tokens": 5}}}, r"changes train\.tokens"),
        ({"a": {"budget": {"hours": 5}}}, "changes budget"),
        ({"a": {"corpus": {"nearduplicates": 0.5}}}, r"variant a: unknown key corpus\.nearduplicates"),
        ({"a": {"corpus": 5}}, "variant a: corpus"),
        ({"baseline": {"corpus": {"parse": True}}}, "cannot be called 'baseline'"),
        ({"../a": {"corpus": {"parse": True}}}, "cannot be called"),
    ],
)
def test_what_is_no_variant_is_said_before_anything_is_built(
    variants: Variants, match: str, project: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=match):
        ablate(project / "repotune.toml", variants, SCALE, [1], tmp_path / "ablation", Console(quiet=True))
    assert not (tmp_path / "ablation").exists()


def test_what_is_no_list_of_variants_is_said(project: Path, tmp_path: Path) -> None:
    for text, match in (("", "names no variants"), ("a = 1", "names no variants"), ("[a", "not valid TOML")):
        (tmp_path / "v.toml").write_text(text)
        with pytest.raises(UserError, match=match):
            read_variants(tmp_path / "v.toml")
    with pytest.raises(UserError, match="cannot be read"):
        read_variants(tmp_path / "absent.toml")
    with pytest.raises(UserError, match="seeds"):
        ablate(project / "repotune.toml", {"a": {}}, SCALE, [1, 1], tmp_path / "x", Console(quiet=True))
    based = tmp_path / "repotune.toml"
    based.write_text('[project]\nname = "a"\nrepositories = ["code"]\n[model]\nbase = "b"\n')
    with pytest.raises(UserError, match="goes on from a base"):
        ablate(based, {"a": {}}, SCALE, [1], tmp_path / "x", Console(quiet=True))
    with pytest.raises(UserError, match="a token"):
        Scale("1m", 0)
