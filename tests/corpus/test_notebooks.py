from __future__ import annotations

import ast
import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repotune.corpus.notebooks import is_notebook, language_of_notebook, script_of_notebook
from repotune.corpus.reading import decode


def cell(kind: str, *lines: str, **more: object) -> dict[str, object]:
    return {
        "cell_type": kind,
        "source": [line + "\n" for line in lines],
        "outputs": [{"text": "SECRET OUTPUT"}],
        **more,
    }


def notebook(*cells: object, **metadata: object) -> str:
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4})


def test_prose_becomes_comments_and_outputs_are_gone():
    text = notebook(
        cell("markdown", "# Title", "", "prose ![p](data:image/png;base64," + "A" * 90 + ")"),
        cell("code", "x = 1", "x"),
        cell("code", "  "),
        cell("raw", "note"),
    )
    assert script_of_notebook(text, "Python") == "# # Title\n#\n# prose ![p](data:)\n\nx = 1\nx\n\n# note\n"


def test_what_only_ipython_understands_is_commented_so_that_the_script_parses():
    text = notebook(
        cell("code", "%matplotlib inline", "!pip install x", "files = !ls", "help?", "?help", "y = 7 % 3", "z = '!'"),
        cell("code", "for each in y:", "    !rm {each}", "    %time f()"),
        cell("code", "%%time", "slow()"),
        cell("code", "%%bash", "ls -l | wc"),
    )
    script = script_of_notebook(text, "Python")
    ast.parse(script)
    assert script == (
        "# %matplotlib inline\n# !pip install x\n# files = !ls\n# help?\n# ?help\ny = 7 % 3\nz = '!'\n\n"
        "for each in y:\n    pass  # !rm {each}\n    pass  # %time f()\n\n"
        "# %%time\nslow()\n\n# %%bash\n# ls -l | wc\n"
    )


def test_format_3_keeps_cells_in_worksheets():
    cells = [
        {"cell_type": "heading", "source": "Title"},
        {"cell_type": "code", "input": ["puts 1"], "language": "ruby", "outputs": []},
    ]
    text = json.dumps({"worksheets": [{"cells": cells}], "metadata": {}, "nbformat": 3})
    assert language_of_notebook(text.encode()) == "Ruby"
    assert script_of_notebook(text, "Ruby") == "# Title\n\nputs 1\n"


@pytest.mark.parametrize(
    ("metadata", "language"),
    [
        ({}, "Python"),
        ({"language_info": {"name": "python"}}, "Python"),
        ({"kernelspec": {"name": "python3"}}, "Python"),
        ({"kernelspec": {"name": "ir", "language": "R"}}, "R"),
        ({"kernelspec": {"name": "ir"}}, "R"),
        ({"language_info": {"name": "julia-1.9"}}, "Julia"),
        ({"language_info": {"name": "C++17"}}, "C++"),
        ({"language_info": {"name": "bash"}}, "Shell"),
        ({"language_info": {"name": "brainfog"}}, ""),
        ({"language_info": 5, "kernelspec": []}, "Python"),
    ],
)
def test_the_kernel_tells_the_language(metadata, language):
    assert language_of_notebook(notebook(cell("code", "x"), **metadata).encode()) == language


def test_comments_are_the_languages_own():
    text = notebook(cell("markdown", "prose"), cell("code", "%%time", "val x = 1"))
    assert script_of_notebook(text, "Scala") == "// prose\n\n%%time\nval x = 1\n"


@pytest.mark.parametrize(
    "text", ["{", "{}", '{"cells": 5}', '{"cells": {}}', '{"cell": []}', "[]", "null", "{" * 100_000]
)
def test_what_jupyter_does_not_write_is_no_notebook(text):
    assert script_of_notebook(text, "Python") is None


def test_decoding_turns_notebooks_into_scripts_and_drops_broken_ones():
    data = [notebook(cell("code", "x = 1")).encode(), b'{"cells": [', notebook().encode(), b"x = 2\n", b"x = 3\n"]
    data.append(notebook(cell("code", "x = 4\n" * 200_000)).encode())
    paths = ["a.ipynb", "broken.ipynb", "empty.ipynb", "script.ipynb", "plain.py", "large.ipynb"]
    batch = pa.RecordBatch.from_pydict({"data": data, "path": paths, "language": ["Python"] * 6})
    rows = decode(batch).to_pylist()
    assert [row["text"] for row in rows] == ["x = 1\n", "", "", "x = 2\n", "x = 3\n", ""]
    assert [row["rule"] for row in rows] == [None, "notebook", "empty", None, None, "file_size"]


def test_a_notebook_in_a_repository_is_learnt_from_as_a_script(tmp_path, write, module, build):
    files = {f"m{number}.py": module(number) for number in range(6)}
    write(
        tmp_path / "api",
        files | {"study.ipynb": notebook(cell("markdown", "why"), cell("code", module(7), output="A" * 2_000_000))},
    )
    kept = build(tmp_path / "api").kept["study.ipynb"]
    assert kept["language"] == "Python" and kept["text"].startswith("# why\n\ndef f7_0(")


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
CELL = JSON | st.fixed_dictionaries(
    {}, optional={"cell_type": JSON | st.just("code"), "source": JSON | st.lists(st.text(max_size=9)), "input": JSON}
)
NOTEBOOK = st.fixed_dictionaries(
    {}, optional={"cells": JSON | st.lists(CELL, max_size=4), "worksheets": JSON, "metadata": JSON}
)


@settings(deadline=None)
@given(data=NOTEBOOK.map(json.dumps).map(str.encode) | st.binary(max_size=80))
def test_any_bytes_are_a_script_or_none(data):
    if is_notebook("a.ipynb", data):
        language = language_of_notebook(data)
        script = script_of_notebook(data.decode(errors="replace"), language)
        assert script is None or script.encode().decode() == script
