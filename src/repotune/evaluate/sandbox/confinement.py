"""Taking rights away from a process, in the order that works: namespaces, root, uid, limits, Landlock, seccomp.

    launcher     isolate()      its children live in a pid namespace of their own
    └── first    enter()        network, mounts and IPC of its own; a root that holds only what is named
        ├── all programs  Hold.share()   limits, Landlock, seccomp
        └── one program   Hold.enter()   another uid, CPU time

Every step is for good, and any one alone would hold most of what is tried.
"""

from __future__ import annotations

import math
import os
import pwd
import resource
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from repotune.core.errors import UserError
from repotune.evaluate.sandbox import kernel, landlock, root
from repotune.evaluate.sandbox.execution import Limits
from repotune.evaluate.sandbox.seccomp import Filter

# RLIMIT_CPU is a backstop, for a process that the program has forked: kernel.cpu_seconds says why it is not exact.
_TICKS_OFF = 2
_UNUSED_UIDS = range(61184, 65520)  # what systemd keeps for users that exist only while something runs


class Level(IntEnum):
    """How well a program is held, each level with what is below it."""

    NONE = 0  # a process like any other
    LIMITED = 1  # CPU time, memory, the size of files and output are bounded, and orphans swept
    CONFINED = 2  # Landlock, seccomp, no new privileges; where root runs it an unused uid, and processes are bounded
    FULL = 3  # namespaces: processes (bounded for a user too), network, IPC and a root file system of its own


@dataclass(frozen=True, slots=True)
class Places:
    """What a program sees of the file system beside the system's own libraries: absolute paths.

    `proc`: /proc, where the level has one of its own; `scratch`: an empty folder in memory at root.SCRATCH, likewise.
    """

    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    proc: bool = False
    scratch: bool = False


def unused_uid(folder: str | None = None) -> int | None:
    """A uid for root to run a program as, that no account has; None for an ordinary user, who keeps his own.

    A `folder` that a program has had before keeps its uid, so that compiling and running change hands once.
    """
    if os.geteuid() != 0:
        return None
    if folder is not None and (owner := Path(folder).stat().st_uid) in _UNUSED_UIDS:
        return owner
    taken = {account.pw_uid for account in pwd.getpwall()}
    free = [uid for uid in _UNUSED_UIDS if uid not in taken]
    return free[int.from_bytes(os.urandom(4)) % len(free)]


def isolate(level: Level) -> None:
    """Children of this process live in a pid namespace of their own, whose first is its init. Raises OSError."""
    if level < Level.FULL:
        return
    if os.geteuid() == 0:
        kernel.unshare(kernel.CLONE_NEWPID)
        return
    uid, gid = os.geteuid(), os.getegid()
    kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWPID)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        Path("/proc/self", name).write_text(text)


def enter(level: Level, places: Places) -> None:
    """The namespaces and the root file system of a child of `isolate`'s process. Raises OSError."""
    if level < Level.FULL:
        kernel.adopt_orphans()
        return
    kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS)
    root.build_root(places.readable, places.writable, places.proc, places.scratch)


class Hold:
    """What programs are held by, prepared once: `share` is inherited by children, `enter` is each program's own.

    `limits`: None for a program of ours, which is not to end. `address_space`: whether `limits.memory` bounds what is
    mapped at all, and not only what is writable and private; a runtime that reserves tens of GB which it never touches
    (Java, Go, V8) does not start otherwise.
    """

    def __init__(
        self, level: Level, places: Places, limits: Limits | None, uid: int | None, address_space: bool
    ) -> None:
        self._uid = uid if level >= Level.CONFINED else None
        self._limits: list[tuple[int, int]] = []
        self._cpu_seconds: int | None = None
        if limits and level >= Level.LIMITED:
            self._limits = _resource_limits(limits, address_space)
            self._cpu_seconds = math.ceil(_TICKS_OFF * limits.cpu_seconds)
        if limits and (level == Level.FULL or (level == Level.CONFINED and uid is not None)):
            # Elsewhere the kernel would count every process of the user, the editor's and the browser's too.
            self._limits.append((resource.RLIMIT_NPROC, limits.processes))
        self._ruleset, self._filter = -1, None
        if level >= Level.CONFINED:
            readable = (*root.SYSTEM, *places.readable, *(("/proc",) if places.proc else ()))
            writable = (*places.writable, *((root.SCRATCH,) if places.scratch else ()))
            self._ruleset = landlock.open_ruleset(readable, (*root.DEVICES, *writable))
            self._filter = Filter()

    def share(self) -> None:
        """Gives up, for this process and its children, all but root's uid. Raises OSError; then nothing may run."""
        for kind, most in self._limits:
            resource.setrlimit(kind, (most, most))
        if self._uid is not None:
            os.setgroups([])
            os.setresgid(self._uid, self._uid, self._uid)
        if self._filter is not None:
            kernel.no_new_privileges()
            landlock.restrict(self._ruleset)
            self._filter.install()
            if self._uid is None:
                kernel.drop_capabilities()

    def enter(self) -> None:
        """Gives up the uid and starts to count CPU time, in the process of one program. Raises OSError likewise."""
        if self._uid is not None:
            os.setresuid(self._uid, self._uid, self._uid)
        if self._cpu_seconds is not None:
            resource.setrlimit(resource.RLIMIT_CPU, (self._cpu_seconds, self._cpu_seconds))


def _resource_limits(limits: Limits, address_space: bool) -> list[tuple[int, int]]:
    """Hard limits: what a process without rights can only lower. Those that this process already has lower stay."""
    wanted = [
        (resource.RLIMIT_FSIZE, limits.file_size),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_DATA, limits.memory),
    ]
    if address_space:
        wanted.append((resource.RLIMIT_AS, limits.memory))
    kept = []
    for kind, most in wanted:
        hard = resource.getrlimit(kind)[1]
        kept.append((kind, most if hard == resource.RLIM_INFINITY else min(most, hard)))
    return kept


def require_reachable(paths: Sequence[Path], level: Level) -> None:
    """Raises UserError where a program under another uid would not get to one of `paths`.

    With a root of its own (Level.FULL) all folders above them are new and open.
    """
    if level != Level.CONFINED or os.geteuid() != 0:
        return
    for path in paths:
        closed = [parent for parent in path.absolute().parents if not parent.stat().st_mode & stat.S_IXOTH]
        if closed:
            raise UserError(
                f"{path} lies in {closed[-1]}, which is closed to other users, so a program held at the level confined "
                "cannot get there.",
                f"chmod o+x {closed[-1]}, or ask for the level full",
            )


def open_to_uid(uid: int | None, folders: Sequence[str]) -> None:
    """Gives `folders` and what is in them to `uid`, which is to write there; links are not followed."""
    if uid is None:
        return
    for folder in folders:
        os.chown(folder, uid, uid)
        for parent, names, files in os.walk(folder):
            for name in (*names, *files):
                os.chown(Path(parent, name), uid, uid, follow_symlinks=False)
