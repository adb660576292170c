from __future__ import annotations

import pickle
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repotune.core.errors import UserError
from repotune.corpus.exclusion import Exclusion
from repotune.corpus.rows import Dropped, Listed
from repotune.corpus.sources import open_sources, state_of
from repotune.corpus.sources.markdown import markdown_of
from repotune.corpus.sources.stackexchange import StackExchange, build_index


def post(number: int, kind: int, **attributes: object) -> str:
    given = {"Id": number, "PostTypeId": kind, "Score": 1, "ContentLicense": "CC BY-SA 4.0"} | attributes
    return "  <row " + " ".join(f"{name}={quoteattr(str(value))}" for name, value in given.items()) + " />"


def dump(folder: Path, *posts: str) -> Path:
    folder.mkdir(exist_ok=True)
    text = '\ufeff<?xml version="1.0" encoding="utf-8"?>\n<posts>\n' + "\n".join(posts) + "\n</posts>\n"
    (folder / "Posts.xml").write_text(text, encoding="utf-8")
    return folder


QUESTION = post(
    4,
    1,
    AcceptedAnswerId=7,
    Title="How to split a <list>?",
    Tags="<python><list>",
    Body="<p>I have &lt;a&gt;\nand b.</p>\n\n<pre><code>x = [1, 2]\nprint(x)\n</code></pre>\n",
    CreationDate="2008-07-31T21:42:52.667",
    LastEditDate="2011-01-01T00:00:00.000",
    ContentLicense="CC BY-SA 2.5",
)


def test_a_question_and_its_best_answers_are_one_document(tmp_path, rows, contents):
    folder = dump(
        tmp_path / "stackoverflow.com",
        post(5, 2, ParentId=4, Score=9, Body="<p>Second.</p>"),  # before its question, as dumps may have it
        QUESTION,
        post(6, 2, ParentId=4, Score=0, Body="<p>Of no use.</p>"),
        post(
            7, 2, ParentId=4, Score=-2, Body="<p>Accepted: <code>x[:1]</code></p>", CreationDate="2020-02-02T00:00:00.0"
        ),
        post(8, 2, ParentId=4, Score=50, Body="<p>First after it.</p>"),
        post(9, 2, ParentId=4, Score=8, Body="<p>One too many.</p>"),
    )
    row = rows(folder)["questions/4.md"]
    assert (row.repository, row.language, row.licences) == (
        "stackoverflow.com",
        "Markdown",
        ("CC-BY-SA-2.5", "CC-BY-SA-4.0"),
    )
    assert (row.created, row.committed) == ("2008-07-31T21:42:52Z", "2020-02-02T00:00:00Z")
    assert contents(folder / "Posts.xml")["questions/4.md"].decode() == (
        "# How to split a <list>?\n\nTags: python, list\n\nI have <a> and b.\n\n```\nx = [1, 2]\nprint(x)\n```\n\n"
        "## Answer\n\nAccepted: `x[:1]`\n\n## Answer\n\nFirst after it.\n\n## Answer\n\nSecond.\n"
    )


def test_what_no_one_answered_or_wanted_is_dropped_with_the_rule(tmp_path, rows):
    found = rows(
        dump(
            tmp_path / "x",
            post(1, 1, Title="no answer", Body="b"),
            post(2, 1, Title="bad answer", Body="b"),
            post(3, 2, ParentId=2, Score=0, Body="b"),
            post(4, 1, Title="unwanted", Score=-1, Body="b"),
            post(5, 2, ParentId=4, Score=5, Body="b"),
            post(6, 5, Body="a tag's wiki is no question"),
            post(7, 2, ParentId=999, Body="to a question that was deleted"),
        )
    )
    assert {path: (row.rule, row.value) for path, row in found.items()} == {
        "questions/1.md": ("unanswered", "no good answer"),
        "questions/2.md": ("unanswered", "no good answer"),
        "questions/4.md": ("question_score", "-1"),
    }


def test_a_broken_post_is_a_drop_and_the_others_are_read(tmp_path, rows, contents):
    folder = dump(
        tmp_path / "x",
        post(1, 1, AcceptedAnswerId=2, Title="t", Body="b"),
        post(2, 2, ParentId=1, Body="b"),
        '  <row Id="3" PostTypeId="1" AcceptedAnswerId="2" Title="<"',
        '  <row Id="x" PostTypeId="1" />',
        '  <row Id="5" />',
        '  <row Id="99999999999999999999999" PostTypeId="1" />',
        post(1, 1, Title="again", Body="b"),
        "  <!-- what is this? -->",
        post(8, 1, AcceptedAnswerId=9, Title="t", Body="b").replace("/>", "& />"),
        post(9, 2, ParentId=8, Body="b"),
    )
    found = contents(folder)
    assert found.pop("questions/1.md") == b"# t\n\nb\n\n## Answer\n\nb\n"
    assert str(found.pop("questions/8.md")).startswith("not well-formed")
    assert list(found.values()) == ["dropped: malformed"] * 6


def test_a_dump_is_known_by_its_content_in_any_compression(tmp_path, rows):
    import bz2

    data = (dump(tmp_path / "site", QUESTION, post(7, 2, ParentId=4, Body="b")) / "Posts.xml").read_bytes()
    (tmp_path / "download.xml.bz2").write_bytes(bz2.compress(data))
    assert rows(tmp_path / "download.xml.bz2")["questions/4.md"].repository == "download"
    (tmp_path / "Comments.xml").write_text('<?xml version="1.0"?><comments>\n</comments>')
    with pytest.raises(UserError, match="nothing that can be learnt from"):
        state_of([str(tmp_path / "Comments.xml")])


def test_the_index_is_read_by_other_processes(tmp_path):
    source = open_sources([str(dump(tmp_path / "x", QUESTION, post(7, 2, ParentId=4, Body="b")))], tmp_path)[0]
    assert isinstance(pickle.loads(pickle.dumps(source)).read(list(source.listing(Exclusion(()))))[0], bytes)


@pytest.mark.parametrize(
    ("html", "markdown"),
    [
        ("<p>one</p><p>two<br>three</p>", "one\n\ntwo\nthree"),
        (
            "<ul><li>a</li><li><p>b</p></li></ul><ol><li>c<ul><li>d</li></ul></li><li>e</li></ol>",
            "- a\n\n- b\n\n1. c\n\n  - d\n\n2. e",
        ),
        ("<h2>Title</h2><blockquote><p>said\n so</p></blockquote>after", "## Title\n\n> said so\n\nafter"),
        ("<pre><code>a &lt; b\n\n\n```\n</code></pre>", "````\na < b\n\n\n```\n````"),
        ('see <a href="x">this</a>, <strong>now</strong>', "see this, now"),
        ("<pre><code>never closed <p>x", "```\nnever closed x\n```"),
        ("", ""),
    ],
)
def test_html_becomes_markdown(html, markdown):
    assert markdown_of(html) == markdown


@given(html=st.text(alphabet=st.sampled_from("<>/&;#!-=\"' preolicodeh1x\n`"), max_size=80) | st.text(max_size=60))
@settings(deadline=None)
def test_any_text_becomes_some_markdown(html):
    assert isinstance(markdown_of(html), str)


LINE = (
    st.builds(
        post,
        st.integers(-9, 9),
        st.integers(0, 3),
        ParentId=st.integers(-1, 9),
        AcceptedAnswerId=st.integers(0, 9) | st.just("x"),
        Body=st.text(max_size=20),
        Title=st.text(max_size=9),
    ).map(lambda text: text.encode(errors="replace"))
    | st.binary(max_size=50)
    | st.binary(max_size=20).map(lambda noise: b"<row " + noise + b"/>")
)


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(lines=st.lists(LINE, max_size=10))
def test_any_lines_are_documents_or_drops(tmp_path, lines):
    path, index = tmp_path / "Posts.xml", tmp_path / "index"
    index.unlink(missing_ok=True)
    path.write_bytes(b"\n".join(lines))
    build_index(path, index)
    source = StackExchange("x", path, index)
    rows = list(source.listing(Exclusion(())))
    assert all(isinstance(row, Listed | Dropped) for row in rows)
    for content in source.read([row for row in rows if isinstance(row, Listed)]):
        assert isinstance(content, bytes | str)
