from __future__ import annotations

from functools import partial

import pytest

from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.core.flow import Step, run_flow
from repotune.core.settings import CorpusSettings
from repotune.corpus.build import build_corpus
from repotune.corpus.engines.local import LocalEngine
from repotune.corpus.why import explain


@pytest.fixture
def corpus(write, module, tmp_path):
    files = {f"src/m{number}.py": module(number) for number in range(3)}
    dropped = {"src/copy.py": module(0) + "\n", "src/wide.py": "x = '" + "a b" * 50 + "'", "web/m1.js": "\0"}
    write(tmp_path / "api", files | dropped)
    step = Step(
        "corpus",
        "",
        lambda work: build_corpus(work, [str(tmp_path / "api")], CorpusSettings(), partial(LocalEngine, 1)),
    )
    run_flow([step], tmp_path, Console(quiet=True), seed=1)
    return tmp_path / "corpus"


def said(corpus, path: str) -> list[str]:
    return [str(found) for found in explain(corpus, path)]


def test_a_kept_file_names_its_split(corpus):
    (found,) = explain(corpus, "m0.py")
    assert found.kept and found.split in ("train", "validation", "test")
    first, *measured = str(found).splitlines()
    assert first == f"api/src/m0.py is kept, in {found.split}"
    assert "  lines 47" in measured and "  indentation 'spaces'" in measured and "  test_path no" in measured
    assert not [line for line in measured if "visible_text" in line]


def test_a_dropped_file_names_rule_value_and_threshold(corpus):
    assert said(corpus, "wide.py") == ["api/src/wide.py is dropped by mean_line: 156, where at most 100 is asked"]
    assert said(corpus, "copy.py") == ["api/src/copy.py is dropped: exact duplicate of api/src/m0.py (equal text)"]
    assert said(corpus, "m1.js") == ["api/web/m1.js is dropped by binary: NUL characters, where text is asked"]


@pytest.mark.parametrize("path", ["m2.py", "src/m2.py", "api/src/m2.py", "./src/m2.py", "/src//m2.py"])
def test_a_path_is_known_by_its_end(corpus, path):
    assert [found.path for found in explain(corpus, path)] == ["src/m2.py"]


def test_names_are_compared_whole(corpus):
    with pytest.raises(UserError):
        explain(corpus, "2.py")


def test_a_file_in_a_folder_that_is_never_read_is_explained_by_it(corpus):
    assert said(corpus, "web/node_modules/x.js")[0].startswith(
        "web/node_modules/x.js is dropped by excluded: node_modules"
    )


@pytest.mark.parametrize(("path", "near"), [("src/m3.py", "m2.py"), ("wied.py", "src/wide.py")])
def test_an_unknown_path_suggests_the_nearest(corpus, path, near):
    with pytest.raises(UserError, match="knows no file") as caught:
        explain(corpus, path)
    assert near in caught.value.hint


def test_a_corpus_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(UserError, match="not there"):
        explain(tmp_path / "corpus", "a.py")
