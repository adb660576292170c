"""A git repository as one commit holds it; uncommitted changes are not read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from repotune.corpus.exclusion import Exclusion
from repotune.corpus.rows import Dropped, Listed
from repotune.corpus.sources import git
from repotune.corpus.sources.source import as_text


@dataclass(frozen=True)
class GitRepository:
    """The files of `commit` under `place`. `authors` asks the log for who wrote each file, too."""

    name: str
    place: git.Place
    commit: str
    authors: bool = False

    def listing(self, exclusion: Exclusion) -> Iterator[Listed | Dropped]:
        """By path. Links, submodules and blobs that a partial clone lacks are dropped."""
        found: list[git.TreeEntry] = []
        for entry in git.tree(self.place, self.commit):
            path, odd = as_text(entry.path)
            if odd or entry.kind != "file":
                rule = "path_encoding" if odd else entry.kind
                yield Dropped(self.name, path, rule, entry.kind, "a UTF-8 file", entry.size or 0)
            elif entry.size is None:
                yield Dropped(self.name, path, "unreadable", "the repository lacks it", "", 0)
            else:
                found.append(entry)
        paths = {entry.path for entry in found}
        changes = git.changes(self.place, self.commit, paths)
        authors = git.authors(self.place, self.commit, paths) if self.authors else {}
        for entry in found:
            created, committed = changes.get(entry.path, ("", ""))
            yield Listed(
                repository=self.name,
                path=entry.path.decode(),
                size=entry.size or 0,
                locator=entry.blob,
                commit=self.commit,
                committed=committed,
                created=created,
                authors=authors.get(entry.path, ()),
            )

    def read(self, files: Sequence[Listed]) -> list[bytes | str]:
        """One call of git for all of `files`."""
        blobs = git.read_blobs(self.place.git_folder, [file.locator for file in files]) if files else []
        return ["the repository lacks it" if blob is None else blob for blob in blobs]
