"""Git repositories from elsewhere: a bare mirror of the history, with only those blobs that a commit is made of.

Dates need every commit and every tree, and no text but the commit's own. So the history is fetched without blobs
(git's partial clone), then those that the commit lacks in one request; a server that cannot filter sends all. The
mirror is kept, so the next build fetches what is new (docs/lab-log.md has the figures).
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from repotune.core.errors import UserError
from repotune.corpus.sources import git


def update_mirror(url: str, reference: str, mirrors: Path) -> tuple[git.Place, str]:
    """The mirror of `url` under `mirrors`, and the commit of `reference` there ("" for what is checked out).

    Nothing is fetched when the commit is here. Raises UserError with git's reason.
    """
    remote_name, commit = git.remote_reference(url, reference)
    folder = mirrors / _digest(url)
    if (folder / "HEAD").is_file():
        try:
            return git.Place(folder, ""), _fetch(folder, remote_name, commit)
        except UserError:  # a kill can leave locks and half a pack: a mirror is made again in the time of a clone
            shutil.rmtree(folder)
    git.run(None, "init", "--quiet", "--bare", "--", str(folder))
    git.run(folder, "remote", "add", "--", "origin", url)
    return git.Place(folder, ""), _fetch(folder, remote_name, commit)


def _fetch(folder: Path, remote_name: str, commit: str) -> str:
    """Brings the commit and its blobs into the mirror, if they are not there. Returns the commit."""
    # Asked for a commit that it lacks, a partial clone would fetch all of the history again; our own ref never is.
    kept = f"refs/repotune/{_digest(remote_name)}"
    if git.commit_of(folder, kept) != commit:
        options = ["--quiet", "--no-tags", "--filter=blob:none", "--no-auto-maintenance"]
        git.run(folder, "fetch", *options, "--", "origin", f"+{remote_name}:{kept}")
        found = git.commit_of(folder, kept)
        if found is None:
            raise UserError(f"{remote_name} is no commit there.", "name a branch, a tag or a commit")
        commit = found
    said = git.run(folder, "rev-list", "--objects", "--missing=print", "--no-object-names", f"{commit}^{{tree}}")
    missing = [line[1:] for line in said.split() if line.startswith(b"?")]
    if missing:
        # What git itself does for one missing blob at a time, for all of them.
        options = ["--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--filter=blob:none"]
        wanted = b"".join(blob + b"\n" for blob in missing)
        git.run(folder, "-c", "fetch.negotiationAlgorithm=noop", "fetch", *options, "--stdin", "origin", stdin=wanted)
    return commit


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
