from __future__ import annotations

import gzip
import json
import pickle
import sysconfig
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repotune.core.errors import UserError
from repotune.core.settings import CorpusSettings
from repotune.corpus import contamination
from repotune.corpus.benchmarks import find_benchmarks, read_benchmarks
from repotune.corpus.contamination import build_index, decontamination, load_index, state_of_benchmarks

PROMPT = '''def longest_plateau(heights: list[int]) -> int:
    """Of the heights measured along a ridge, in the order walked, return the length of
    the longest stretch over which the height neither rises nor falls.
    >>> longest_plateau([3, 3, 5, 5, 5, 2])
    3
    """
'''
SOLUTION = """    best = run = 0
    previous = None
    for height in heights:
        run = run + 1 if height == previous else 1
        best, previous = max(best, run), height
    return best
"""
TEST = """def check(candidate):
    assert candidate([3, 3, 5, 5, 5, 2]) == 3
    assert candidate([]) == 0 and candidate([7, 7, 7, 7, 1, 1]) == 4
"""
HARNESS = (
    "import math\nfrom typing import List, Dict, Tuple, Optional, Any, Union, Callable\nMETADATA = {'author': 'x'}\n"
)


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    """JSON lines with one item of its own words and five that share a harness."""
    rows = [{"task_id": "ridge/0", "prompt": PROMPT, "canonical_solution": SOLUTION, "test": TEST}]
    words = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau".split
    rows += [
        {"task_id": f"ridge/{n}", "prompt": HARNESS + " ".join(f"{word}{n}" for word in words())} for n in range(1, 6)
    ]
    path = tmp_path / "ridge.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return path


def stdlib(name: str) -> str:
    return (Path(sysconfig.get_paths()["stdlib"]) / name).read_text()


def items(path: Path, text: str) -> set[tuple[str, str]]:
    return {(item, part) for _, item, part in load_index((path,)).matches(text.encode())}


def hidden(text: str) -> str:
    """`text` amid a file of the standard library."""
    lines = stdlib("json/decoder.py").splitlines(keepends=True)
    return "".join([*lines[:150], text, *lines[150:]])


def test_a_verbatim_copy_is_found_in_a_larger_file(benchmark: Path) -> None:
    assert items(benchmark, hidden(PROMPT + SOLUTION)) == {("ridge/0", "prompt"), ("ridge/0", "solution")}


def test_tests_alone_are_found(benchmark: Path) -> None:
    assert items(benchmark, hidden(TEST)) == {("ridge/0", "test")}


def test_a_copy_in_another_layout_and_language_is_found(benchmark: Path) -> None:
    comment = "\n".join(f"   // {line.strip().upper()}" for line in PROMPT.splitlines())
    assert items(benchmark, hidden(comment)) == {("ridge/0", "prompt")}


def test_a_copy_with_renamed_variables_is_found_by_its_docstring(benchmark: Path) -> None:
    renamed = (PROMPT + SOLUTION).replace("longest_plateau", "f").replace("best", "b").replace("run", "r")
    assert items(benchmark, hidden(renamed)) == {("ridge/0", "prompt")}


def test_clean_code_boilerplate_and_pieces_are_not_found(benchmark: Path) -> None:
    assert items(benchmark, hidden("")) == set()
    assert items(benchmark, hidden(HARNESS * 3)) == set()
    assert items(benchmark, "for height in heights:\n    run = run + 1 if height == previous else 1\n") == set()
    assert items(benchmark, "") == set()


def test_the_step_drops_with_benchmark_and_item_and_the_summary_counts(benchmark: Path) -> None:
    settings = CorpusSettings(contamination=(str(benchmark),))
    (step,) = decontamination(settings)
    step = pickle.loads(pickle.dumps(step))
    out = step(pa.RecordBatch.from_pydict({"text": ["x = 1", hidden(PROMPT)]}))
    assert out.column("rule").to_pylist() == [None, "contamination"]
    assert json.loads(out.column("value")[1].as_py()) == {"ridge": ["ridge/0"]}
    assert out.column("threshold")[1].as_py() == "less than 25% of the 10-word sequences of an item"


def test_a_build_leaves_contaminated_files_out(
    build: Callable[..., Any], write: Callable[..., None], module: Callable[..., str], tmp_path: Path, benchmark: Path
) -> None:
    clean: Mapping[str, str] = {f"{number}.py": module(number) for number in range(4)}
    write(tmp_path / "api", clean | {"seen.py": module(8) + PROMPT + SOLUTION, "also.py": TEST + module(9)})
    corpus = build(tmp_path / "api", contamination=(str(benchmark),))
    assert set(corpus.kept) == set(clean)
    assert {row["rule"] for row in corpus.dropped.values()} == {"contamination"}
    assert corpus.summary["contamination"] == {
        "ridge": {"searched": 6, "files": 2, "items": 1, "found": ["ridge/0"]},
    }


def test_without_benchmarks_nothing_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REPOTUNE_DATA", raising=False)
    assert decontamination(CorpusSettings()) == []


def test_built_in_names_are_looked_for_in_the_data_folder(
    tmp_path: Path, benchmark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data/humaneval").mkdir(parents=True)
    packed = tmp_path / "data/humaneval/HumanEval.jsonl.gz"
    packed.write_bytes(gzip.compress(benchmark.read_bytes()))
    monkeypatch.setenv("REPOTUNE_DATA", str(tmp_path / "data"))
    before = state_of_benchmarks(CorpusSettings())
    assert find_benchmarks(CorpusSettings().contamination) == [tmp_path / "data/humaneval"]
    assert {part.benchmark for part in read_benchmarks([packed])} == {"HumanEval"}
    packed.write_bytes(gzip.compress(benchmark.read_bytes() + b"\n"))
    assert state_of_benchmarks(CorpusSettings()) != before


def test_a_folder_of_files_is_a_benchmark_of_files(tmp_path: Path) -> None:
    (tmp_path / "hidden/b").mkdir(parents=True)
    (tmp_path / "hidden/b/t.py").write_text(TEST)
    index = build_index(read_benchmarks([tmp_path / "hidden"]))
    assert list(index.matches(hidden(TEST).encode())) == [("hidden", "b/t.py", "file")]


def test_an_infilling_task_is_one_program_wherever_it_was_cut(tmp_path: Path) -> None:
    code = PROMPT + SOLUTION
    rows = [
        {
            "task_id": f"r/{cut}",
            "prompt": code[:cut],
            "canonical_solution": code[cut : cut + 9],
            "suffix": code[cut + 9 :],
        }
        for cut in (40, 90)
    ]
    (tmp_path / "i.jsonl").write_text("\n".join(map(json.dumps, rows)))
    index = build_index(read_benchmarks([tmp_path / "i.jsonl"]))
    assert index.names == (("i", "r/40", "program"),) and index.matches(code.encode())


def test_a_row_without_known_fields_is_looked_for_by_all_its_texts(tmp_path: Path) -> None:
    (tmp_path / "o.jsonl").write_text(json.dumps({"frage": PROMPT, "zahl": 3}))
    assert [part.part for part in read_benchmarks([tmp_path / "o.jsonl"])] == ["frage"]


@pytest.mark.parametrize("content", [b"[1]\n", b"{\n", b"\xff\n"])
def test_what_is_no_benchmark_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.jsonl").write_bytes(content)
    with pytest.raises(UserError, match=r"Line 1 of the benchmark .*bad\.jsonl"):
        decontamination(CorpusSettings(contamination=(str(tmp_path / "bad.jsonl"),)))


def test_a_damaged_archive_and_a_missing_file_are_errors(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl.gz").write_bytes(b"\x1f\x8b no")
    with pytest.raises(UserError, match="cannot be read"):
        decontamination(CorpusSettings(contamination=(str(tmp_path / "bad.jsonl.gz"),)))
    with pytest.raises(UserError, match="is not there") as caught:
        decontamination(CorpusSettings(contamination=("none.jsonl",)), tmp_path)
    assert "humaneval" in str(caught.value.hint)


@given(st.text(max_size=400))
def test_no_text_crashes_the_search(text: str) -> None:
    index = build_index([contamination.Part("a", "1", "prompt", PROMPT), contamination.Part("a", "2", "prompt", text)])
    assert ("a", "1", "prompt") in index.matches((text + "\n" + PROMPT).encode(errors="replace"))
