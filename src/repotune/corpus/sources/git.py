"""Git through its plumbing: what a commit holds, when each path last changed, and the bytes of its blobs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from repotune.core.errors import UserError
from repotune.corpus.sources.source import shown

_SYMBOLIC_LINK, _SUBMODULE = "120000", "160000"
_READ_BYTES = 1 << 16


class TreeEntry(NamedTuple):
    """A path of a commit. `path` is bytes, as git keeps it; `size` is None for a submodule or a missing blob."""

    mode: str
    blob: str
    size: int | None
    path: bytes

    @property
    def kind(self) -> str:
        """What the entry is: file, symbolic_link or submodule."""
        return {_SYMBOLIC_LINK: "symbolic_link", _SUBMODULE: "submodule"}.get(self.mode, "file")


class Changes(NamedTuple):
    """ISO dates in UTC of the first and the last change; `created` is empty where a shallow clone hides it."""

    created: str
    committed: str


class Place(NamedTuple):
    """Where a folder lies in a repository: its git folder, and the folder's own path from the top, "" or "a/b/"."""

    git_folder: Path
    prefix: str


def find(folder: Path) -> Place | None:
    """The repository that holds `folder`, or None. Raises UserError where git is missing or refuses to read it."""
    marked = any((place / ".git").exists() for place in (folder, *folder.parents))
    bare = (folder / "HEAD").is_file() and (folder / "objects").is_dir()
    if not marked and not bare:
        return None
    try:
        answer = os.fsdecode(run(folder, "rev-parse", "--absolute-git-dir", "--show-prefix"))
    except UserError as error:
        if "or any of the parent directories" in error.message:  # an empty .git, which git passes by as well
            return None
        raise
    git_folder, _, prefix = answer.partition("\n")
    return Place(Path(git_folder), prefix.rstrip("\n"))


def commit_of(git_folder: Path, reference: str = "HEAD") -> str | None:
    """The commit that `reference` (a branch, a tag, a hash) names, by default the one checked out, or None."""
    try:
        return run(git_folder, "rev-parse", "--verify", "--quiet", f"{reference}^{{commit}}").decode().strip()
    except UserError:
        return None


def checked_out(folder: Path, reference: str = "") -> tuple[Place, str] | None:
    """Where `folder` lies in its repository, and the commit it stands for; None where no repository tracks it.

    The commit is what is checked out, or what `reference` names. Raises UserError where there is none.
    """
    place = find(folder)
    if place is None:
        return None
    commit = commit_of(place.git_folder, reference or "HEAD")
    if commit is None and reference:
        raise UserError(f"{folder} has no {reference}.", "name a branch, a tag or a commit that is there")
    if place.prefix and (commit is None or next(tree(place, commit), None) is None):
        return None
    if commit is None:
        raise UserError(f"{folder} is a git repository without a commit.", "commit there what shall be learnt from")
    return place, commit


def tree(place: Place, commit: str) -> Iterator[TreeEntry]:
    """What `commit` holds under the place, paths relative to it, in git's own order."""
    within = ["--", place.prefix] if place.prefix else []
    listing = run(place.git_folder, "ls-tree", "-r", "-z", "-l", "--full-tree", commit, *within)
    start = len(os.fsencode(place.prefix))
    for line in listing.split(b"\0")[:-1]:
        about, _, path = line.partition(b"\t")
        mode, _, blob, size = about.decode().split()
        yield TreeEntry(mode, blob, int(size) if size.isdigit() else None, path[start:])


def changes(place: Place, commit: str, paths: set[bytes]) -> dict[bytes, Changes]:
    """When each of `paths` first and last changed on the main line, from one pass over the log.

    The main line is the first parents': a merge counts as one change of all that it brought. Where a shallow clone
    ends every file seems to be made, so what is first seen there has no first change. Memory is that of `paths`,
    however long the history: the log is read as git writes it.
    """
    ends = _shallow_ends(place.git_folder)
    first, last = dict[bytes, bytes](), dict[bytes, bytes]()
    for header, path in _log(place, commit, "--first-parent", "-m", "--format=%x01%ct %H"):
        if path not in paths:
            continue
        seconds, _, revision = header.partition(b" ")
        if path not in last:
            last[path] = seconds
        first[path] = b"" if revision in ends else seconds
    return {path: Changes(_as_date(first[path]), _as_date(seconds)) for path, seconds in last.items()}


def authors(place: Place, commit: str, paths: set[bytes]) -> dict[bytes, tuple[str, ...]]:
    """Who wrote each of `paths` in any commit up to `commit`, as `Name <address>` after .mailmap, sorted.

    A rename is not followed: it begins a new file, whose author is who renamed it.
    """
    found: dict[bytes, set[bytes]] = {path: set() for path in paths}
    known: dict[bytes, bytes] = {}  # one object per person, not one per change
    for header, path in _log(place, commit, "-c", "--format=%x01%aN <%aE>"):
        if path in found:
            found[path].add(known.setdefault(header, header))
    return {path: tuple(sorted(who.decode(errors="replace") for who in each)) for path, each in found.items()}


def read_blobs(git_folder: Path, blobs: Sequence[str]) -> list[bytes | None]:
    """The bytes of `blobs`, None for one that the repository lacks (a partial or damaged clone)."""
    answer = memoryview(run(git_folder, "cat-file", "--batch", stdin="".join(f"{blob}\n" for blob in blobs).encode()))
    contents: list[bytes | None] = []
    position = 0
    for _ in blobs:
        end = position + bytes(answer[position : position + 256]).index(b"\n")
        words = bytes(answer[position:end]).split()
        position = end + 1
        if len(words) == 3 and words[1] == b"blob":
            size = int(words[2])
            contents.append(bytes(answer[position : position + size]))
            position += size + 1
        else:
            contents.append(None)
    return contents


def remote_reference(url: str, reference: str = "") -> tuple[str, str]:
    """The full name and the commit of `reference` at `url`: a branch, a tag, a whole hash, "" for what is checked out.

    Raises UserError with git's reason, or where there is no such thing.
    """
    if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", reference):
        return reference, reference
    lines = run(None, "ls-remote", "--", url, reference or "HEAD", f"{reference}^{{}}").decode().splitlines()
    there = {name: commit for commit, _, name in (line.partition("\t") for line in lines)}
    names = [f"refs/tags/{reference}", f"refs/heads/{reference}", reference] if reference else ["HEAD"]
    for name in names:
        if name in there:  # an annotated tag is an object of its own, and ^{} its commit
            return name, there.get(f"{name}^{{}}", there[name])
    if reference:
        hint = "name a branch, a tag, or a commit by its whole hash"
        raise UserError(f"{shown(url)} has no {reference}.", hint)
    raise UserError(f"{shown(url)} has no commit.", "push something there first, or leave it out")


def run(folder: Path | None, *arguments: str, stdin: bytes = b"") -> bytes:
    """What git answers in `folder`. Raises UserError with the reason that it gives on stderr."""
    done = subprocess.run(_command(folder, arguments), input=stdin, capture_output=True, env=_environment())
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        reason = next((line for line in said if line.startswith(("fatal:", "error:"))), said[-1])
        subject = shown(str(folder) if folder is not None else arguments[arguments.index("--") + 1])
        raise UserError(
            f"git cannot read {subject}: {reason.removeprefix('fatal: ').rstrip('.')}.",
            "try the same with git itself; project.repositories takes a folder or whatever git clone takes",
        )
    return done.stdout


def _log(place: Place, commit: str, *options: str) -> Iterator[tuple[bytes, bytes]]:
    """(header, path) of each change under the place, newest commit first; the format puts \\x01 before the header."""
    within = ["--", place.prefix] if place.prefix else []
    # The log is asked of the git folder, from where .mailmap is not seen.
    mailmap = ["-c", f"mailmap.blob={commit}:.mailmap"]
    command = _command(
        place.git_folder, [*mailmap, "log", "-z", "--name-only", "--no-renames", *options, commit, *within]
    )
    start, header = len(os.fsencode(place.prefix)), b""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment()) as process:
        try:
            for item in _split(process, b"\0"):
                if item.startswith(b"\x01"):
                    header = item[1:]
                else:  # the first path of a commit follows a line end; a path may hold one itself, but begins with none
                    yield header, item.removeprefix(b"\n")[start:]
        finally:
            process.kill()


def _shallow_ends(git_folder: Path) -> frozenset[bytes]:
    """The commits whose parents a shallow clone lacks."""
    path = git_folder / os.fsdecode(run(git_folder, "rev-parse", "--git-path", "shallow").rstrip(b"\n"))
    return frozenset(path.read_bytes().split()) if path.is_file() else frozenset()


def _as_date(seconds: bytes) -> str:
    try:
        return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):  # none, or one beyond the year 9999, which git allows
        return ""


def _split(process: subprocess.Popen[bytes], separator: bytes) -> Iterator[bytes]:
    """What `process` writes, piece by piece."""
    assert process.stdout is not None
    rest = b""
    while block := process.stdout.read(_READ_BYTES):
        *pieces, rest = (rest + block).split(separator)
        yield from pieces
    if rest:
        yield rest


def _command(folder: Path | None, arguments: Sequence[str]) -> list[str]:
    program = shutil.which("git")
    if program is None:
        raise UserError("A repository is to be read with git, and there is no git here.", "install git")
    # Settings of the user that would change what is printed are put back; paths are never taken for patterns.
    options = ["-c", "log.showSignature=false", "-c", "log.showRoot=true", "--literal-pathspecs", "--no-pager"]
    return [program, *options, *([] if folder is None else ["-C", str(folder)]), *arguments]


def _environment() -> dict[str, str]:
    """Ours, without what would point git at another repository, and never waiting for a password."""
    pointing = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE"}
    kept = {name: value for name, value in os.environ.items() if name not in pointing}
    return kept | {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
