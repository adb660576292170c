"""A root file system that holds only what a program needs: nothing else has a path, so nothing else can be reached.

Made in a mount namespace of its own from copies of the mounts that are named, at their own paths. The folders above
them are new and open to every uid: an interpreter under a home folder of mode 700 still finds its library after the uid
has changed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from repotune.evaluate.sandbox import kernel

SYSTEM = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib64",
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/localtime",
)
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
SCRATCH = "/scratch"
_BASE = Path("/tmp")  # any folder that is always there; its mount is seen in this namespace only


def build_root(readable: Sequence[str], writable: Sequence[str], proc: bool, scratch: bool) -> None:
    """Enters the new root: `readable` read-only, `writable` as they are, a few devices and, if asked for, /proc.

    `scratch`: an empty file system in memory at SCRATCH, which /tmp leads to.

    Needs CAP_SYS_ADMIN in a mount namespace of its own; /proc needs a pid namespace of its own too. Raises OSError.
    """
    kernel.mount("", "/", kernel.MS_REC | kernel.MS_PRIVATE)
    places = _outermost([*SYSTEM, *readable])
    links = {path: path.readlink() for path in places if path.is_symlink()}
    sealed = kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV
    trees = [_tree(path, sealed | kernel.MOUNT_ATTR_RDONLY) for path in places if path not in links]
    trees += [_tree(Path(path), kernel.MOUNT_ATTR_NOSUID) for path in DEVICES]
    trees += [_tree(Path(path), sealed) for path in writable]
    kernel.mount("tmpfs", str(_BASE), kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755,size=1m")
    for path, is_folder, tree in trees:
        place = _place(path)
        _make_place(place, is_folder)
        kernel.move_tree(tree, str(place))
        os.close(tree)
    for path, target in links.items():
        _place(path).parent.mkdir(parents=True, exist_ok=True)
        _place(path).symlink_to(target)
    if proc:
        (_BASE / "proc").mkdir()
        kernel.mount("proc", str(_BASE / "proc"), kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    if scratch:
        _place(Path(SCRATCH)).mkdir(parents=True)
        options = "mode=1777,size=64m,nr_inodes=4096"
        kernel.mount("tmpfs", str(_place(Path(SCRATCH))), kernel.MS_NOSUID | kernel.MS_NODEV, options)
        if not (_BASE / "tmp").exists():
            (_BASE / "tmp").symlink_to(SCRATCH)
    kernel.enter_root(str(_BASE))
    top = os.open("/", os.O_PATH | os.O_CLOEXEC)
    kernel.set_mount_attributes(top, kernel.MOUNT_ATTR_RDONLY, recursive=False)
    os.close(top)


def _place(path: Path) -> Path:
    return _BASE / path.relative_to("/")


def _outermost(paths: Sequence[str]) -> list[Path]:
    """Those of `paths` that are there and not beneath another; a path that leads over a link counts as it is."""
    kept: list[Path] = []
    for path in sorted({Path(os.path.normpath(path)) for path in paths}):
        beneath = any(path.is_relative_to(other) for other in kept)
        if not beneath and (path.exists() or path.is_symlink()):
            kept.append(path)
    return kept


def _tree(path: Path, attributes: int) -> tuple[Path, bool, int]:
    is_folder = path.is_dir()
    tree = kernel.clone_tree(str(path))
    kernel.set_mount_attributes(tree, attributes)
    return path, is_folder, tree


def _make_place(place: Path, is_folder: bool) -> None:
    if is_folder:
        place.mkdir(parents=True, exist_ok=True)
    elif not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch(mode=0o444)
