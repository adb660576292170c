"""Stack Exchange's dumps: each question of Posts.xml with its best answers is one document in Markdown.

A dump holds one post a line, answers anywhere after their question; the largest has sixty million. An index in SQLite,
in the scratch folder, says which posts make a document and where their lines begin, so memory stays that of a batch.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree

from repotune.corpus.exclusion import Exclusion
from repotune.corpus.rows import Dropped, Listed
from repotune.corpus.sources.lines import bounded_lines
from repotune.corpus.sources.markdown import markdown_of

POSTS = "Posts.xml"
_QUESTION, _ANSWER = 1, 2
# An answer that someone found useful or the asker accepted; more than three repeat each other.
_LEAST_SCORE, _MOST_ANSWERS = 1, 3
_LONGEST_LINE = 1 << 22  # bytes; a post has at most 30,000 characters, before they are escaped
_ATTRIBUTE = re.compile(
    rb'\s(Id|PostTypeId|ParentId|AcceptedAnswerId|Score|CreationDate|LastEditDate|ContentLicense)="([^"]*)"'
)
# What stands around the posts.
_FRAME = re.compile(rb"(?:\xef\xbb\xbf)?(?:<\?xml[^>]*\?>)?\s*(?:</?posts\s*>)?")

_SCHEMA = """
CREATE TABLE question (id INTEGER PRIMARY KEY, accepted INTEGER, score INTEGER, begin INTEGER, length INTEGER,
                       created TEXT, changed TEXT, licence TEXT);
CREATE TABLE answer (id INTEGER PRIMARY KEY, question INTEGER, score INTEGER, begin INTEGER, length INTEGER,
                     changed TEXT, licence TEXT);
CREATE TABLE broken (line INTEGER PRIMARY KEY, value TEXT, length INTEGER);
"""
# Accepted first, then by score; the earlier of equals. A question has no row here where nothing answers it.
_BEST = f"""
SELECT * FROM (
    SELECT q.id, a.begin, a.length, a.changed, a.licence,
           row_number() OVER (PARTITION BY q.id ORDER BY a.id = q.accepted DESC, a.score DESC, a.id) AS place
    FROM question q JOIN answer a ON a.question = q.id
    WHERE a.id = q.accepted OR a.score >= {_LEAST_SCORE}
) WHERE place <= {_MOST_ANSWERS} ORDER BY id, place
"""


@dataclass(frozen=True)
class StackExchange:
    """A Posts.xml and its `index`; `locator` is where the lines of a document begin and how long they are."""

    name: str
    posts: Path
    index: Path

    def listing(self, exclusion: Exclusion) -> Iterator[Listed | Dropped]:
        """By the questions' numbers; then the lines that are no posts."""
        base = sqlite3.connect(self.index)
        try:
            best = base.execute(_BEST)
            answer = best.fetchone()
            for number, _, score, begin, length, created, changed, licence in base.execute(
                "SELECT * FROM question ORDER BY id"
            ):
                spans, dates, licences = [(begin, length)], [created, changed], {licence}
                while answer is not None and answer[0] == number:
                    spans.append(answer[1:3])
                    dates.append(answer[3])
                    licences.add(answer[4])
                    answer = best.fetchone()
                yield self._row(number, score, spans, dates, licences)
            for line, value, length in base.execute("SELECT * FROM broken ORDER BY line"):
                yield Dropped(self.name, f"{self.posts.name}/{line}", "malformed", value, "a post", length)
        finally:
            base.close()

    def read(self, files: Sequence[Listed]) -> list[bytes | str]:
        """A few seeks per document."""
        with self.posts.open("rb") as posts:
            return [_document(posts, file.locator) for file in files]

    def _row(
        self, number: int, score: int, spans: Sequence[tuple[int, int]], dates: Sequence[str], licences: set[str]
    ) -> Listed | Dropped:
        path, size = f"questions/{number}.md", sum(length for _, length in spans)
        if score < 0:
            return Dropped(self.name, path, "question_score", f"{score}", "at least 0", size)
        if len(spans) == 1:
            wanted = f"accepted, or a score of at least {_LEAST_SCORE}"
            return Dropped(self.name, path, "unanswered", "no good answer", wanted, size)
        return Listed(
            repository=self.name,
            path=path,
            size=size,
            locator=",".join(f"{begin}:{length}" for begin, length in spans),
            committed=_as_date(max(dates)),
            created=_as_date(dates[0]),
            language="Markdown",
            licences=tuple(sorted(licences - {""})),
        )


def build_index(posts: Path, index: Path) -> None:
    """Writes `index` anew over the lines of `posts`."""
    index.parent.mkdir(parents=True, exist_ok=True)
    index.unlink(missing_ok=True)
    base = sqlite3.connect(index, isolation_level=None)
    try:
        # Made anew whenever a source is opened: nothing has to survive a crash.
        base.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + _SCHEMA)
        base.execute("BEGIN")
        with posts.open("rb") as file:
            begin = 0
            for number, (line, length) in enumerate(bounded_lines(file, _LONGEST_LINE), 1):
                try:
                    _note(base, line, begin, length)
                except ValueError as error:
                    base.execute("INSERT INTO broken VALUES (?, ?, ?)", (number, str(error), length))
                begin += length
        base.execute("CREATE INDEX of_question ON answer (question)")
        base.execute("COMMIT")
    finally:
        base.close()


def is_posts(head: bytes) -> bool:
    """Whether a file that begins with `head` is a dump's Posts.xml."""
    return re.match(rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*\?>)?\s*<posts\s*>", head) is not None


def _note(base: sqlite3.Connection, line: bytes, begin: int, length: int) -> None:
    """Puts the line's post into the index. Raises ValueError where it is none, and is not what frames them either."""
    stripped = line.strip()
    if not stripped.startswith(b"<row"):
        if not _FRAME.fullmatch(stripped):
            raise ValueError("no element row")
        return
    if len(line) != length or not stripped.endswith(b"/>"):
        raise ValueError("a row that does not end in its line")
    post = {key.decode(): value.decode("utf-8", "replace") for key, value in _ATTRIBUTE.findall(stripped)}
    key, kind, score = _number(post, "Id"), _number(post, "PostTypeId"), _number(post, "Score", "0")
    created, changed, licence = (post.get(name, "") for name in ("CreationDate", "LastEditDate", "ContentLicense"))
    if kind == _QUESTION:
        accepted = _number(post, "AcceptedAnswerId", "-1")
        row = (key, accepted, score, begin, length, created, changed, _licence(licence))
        done = base.execute("INSERT OR IGNORE INTO question VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    elif kind == _ANSWER:
        question = _number(post, "ParentId")
        answer = (key, question, score, begin, length, max(created, changed), _licence(licence))
        done = base.execute("INSERT OR IGNORE INTO answer VALUES (?, ?, ?, ?, ?, ?, ?)", answer)
    else:  # wiki pages of tags, elections and the like
        return
    if not done.rowcount:
        raise ValueError("an Id that another post has")


def _number(post: dict[str, str], name: str, default: str = "none") -> int:
    """The number that the attribute holds, as far as SQLite can."""
    text = post.get(name, default)
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise ValueError(f"{name} is no number")
    return int(text)


def _document(posts: BinaryIO, locator: str) -> bytes | str:
    """Title, tags, question and answers, or why there is none."""
    parts: list[str] = []
    for span in locator.split(","):
        begin, length = map(int, span.split(":"))
        posts.seek(begin)
        try:
            # An element alone can declare no entity, so nothing expands.
            post = ElementTree.fromstring(posts.read(length).strip())
        except ElementTree.ParseError as error:
            return f"not well-formed: {error}"
        body = markdown_of(post.get("Body", ""))
        if not parts:
            tags = [tag for tag in re.split(r"[<>|]+", post.get("Tags", "")) if tag]
            parts += [f"# {' '.join(post.get('Title', '').split())}"]
            parts += [f"Tags: {', '.join(tags)}"] if tags else []
            parts += [body]
        else:
            parts += ["## Answer", body]
    return ("\n\n".join(parts) + "\n").encode()


def _licence(stated: str) -> str:
    """`CC BY-SA 4.0` by its SPDX id."""
    return "-".join(stated.split()).upper()


def _as_date(stamp: str) -> str:
    """`2008-07-31T21:42:52.667`, which is UTC, as the other sources write it."""
    return f"{stamp[:19]}Z" if re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", stamp) else ""
