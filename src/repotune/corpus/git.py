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
        answer = os.fsdecode(_git(folder, "rev-parse", "--absolute-git-dir", "--show-prefix"))
    except UserError as error:
        if "or any of the parent directories" in error.message:  # an empty .git, which git passes by as well
            return None
        raise
    git_folder, _, prefix = answer.partition("\n")
    return Place(Path(git_folder), prefix.rstrip("\n"))


def head(git_folder: Path) -> str | None:
    """The commit that is checked out, or None where nothing is committed yet."""
    try:
        return _git(git_folder, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").decode().strip()
    except UserError:
        return None


def tree(place: Place, commit: str) -> Iterator[TreeEntry]:
    """What `commit` holds under the place, paths relative to it, in git's own order."""
    within = ["--", place.prefix] if place.prefix else []
    listing = _git(place.git_folder, "ls-tree", "-r", "-z", "-l", "--full-tree", commit, *within)
    start = len(os.fsencode(place.prefix))
    for line in listing.split(b"\0")[:-1]:
        about, _, path = line.partition(b"\t")
        mode, _, blob, size = about.decode().split()
        yield TreeEntry(mode, blob, int(size) if size.isdigit() else None, path[start:])


def last_changes(place: Place, commit: str, paths: set[bytes]) -> dict[bytes, str]:
    """When each of `paths` last changed on the main line, as UTC dates, from one pass over the log.

    The main line is the first parents': a merge counts as one change of all that it brought. Every path of `commit`
    is found on it, and the pass ends when all are. In a shallow clone the oldest commit seems to change everything.
    """
    missing, changes, date = set(paths), dict[bytes, str](), ""
    within = ["--", place.prefix] if place.prefix else []
    command = ["log", "-z", "--first-parent", "-m", "--name-only", "--no-renames", "--format=%x01%ct", commit, *within]
    start = len(os.fsencode(place.prefix))
    with _start(place.git_folder, *command) as process:
        for item in _split(process, b"\0"):
            if header := re.fullmatch(rb"\x01(\d+)", item):
                date = datetime.fromtimestamp(int(header[1]), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                continue
            # The first path of a commit follows a line end; a path may hold one itself, but begins with none here.
            path = item.removeprefix(b"\n")[start:]
            if path in missing:
                missing.remove(path)
                changes[path] = date
            if not missing:
                break
        process.kill()
    return changes


def read_blobs(git_folder: Path, blobs: Sequence[str]) -> list[bytes | None]:
    """The bytes of `blobs`, None for one that the repository lacks (a partial or damaged clone)."""
    answer = memoryview(_git(git_folder, "cat-file", "--batch", stdin="".join(f"{blob}\n" for blob in blobs).encode()))
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


def clone(url: str, folder: Path) -> None:
    """Clones the branch that `url` has checked out, bare and with its history. Raises UserError with git's reason."""
    _git(None, "clone", "--quiet", "--bare", "--single-branch", "--no-tags", "--", url, str(folder))


def remote_head(url: str) -> str:
    """The commit that `url` has checked out. Raises UserError with git's reason."""
    answer = _git(None, "ls-remote", "--", url, "HEAD").decode()
    if not answer:
        raise UserError(f"{url} has no commit.", "push something there first, or leave it out")
    return answer.split()[0]


def _git(folder: Path | None, *arguments: str, stdin: bytes = b"") -> bytes:
    """What git answers. Raises UserError with the last line that it says on stderr."""
    done = subprocess.run(_command(folder, arguments), input=stdin, capture_output=True, env=_environment())
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        reason = next((line for line in said if line.startswith(("fatal:", "error:"))), said[-1])
        subject = folder if folder is not None else arguments[-2]
        raise UserError(
            f"git cannot read {subject}: {reason.removeprefix('fatal: ').rstrip('.')}.",
            "try the same with git itself; project.repositories takes a folder or whatever git clone takes",
        )
    return done.stdout


def _start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        _command(folder, arguments), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment()
    )


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
