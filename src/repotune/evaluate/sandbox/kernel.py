"""The kernel's calls that Python has no name for, by ctypes. Linux only: elsewhere the first call raises OSError."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import time
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 0x2, 0x4, 0x8, 0x4000, 0x40000
MNT_DETACH = 0x2
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV = 0x1, 0x2, 0x4

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 36, 38
_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000
_OPEN_TREE_CLONE, _MOVE_MOUNT_F_EMPTY_PATH = 0x1, 0x4
_CAPABILITY_VERSION_3 = 0x20080522

# Numbers of calls since Linux 5.1 are the same on every architecture; these two are older.
_OLDER = {
    "x86_64": {"pivot_root": 155, "capset": 126, "seccomp": 317},
    "aarch64": {"pivot_root": 41, "capset": 91, "seccomp": 277},
}
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442


@functools.cache
def _libc() -> ctypes.CDLL:
    if sys.platform != "linux":
        raise OSError("the sandbox needs Linux")
    return ctypes.CDLL(None, use_errno=True)


def number(name: str) -> int:
    """The number of the system call `name` here. Raises OSError on an architecture that the sandbox does not know."""
    try:
        return _OLDER[os.uname().machine][name]
    except KeyError:
        raise OSError(f"the sandbox does not know the system calls of {os.uname().machine}") from None


def checked(result: int, what: str) -> int:
    """`result`, or the OSError that errno says."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def call(what: str, call_number: int, *arguments: object) -> int:
    """A system call by its number; `what` names it in the OSError."""
    return checked(_libc().syscall(ctypes.c_long(call_number), *arguments), what)


def _prctl(what: str, option: int, value: int) -> None:
    zero = ctypes.c_ulong(0)
    checked(_libc().prctl(option, ctypes.c_ulong(value), zero, zero, zero), what)


def die_with_parent(signal_number: int) -> None:
    """`signal_number` comes when the thread that started this process ends. A change of the uid forgets it."""
    _prctl("PR_SET_PDEATHSIG", _PR_SET_PDEATHSIG, signal_number)


def adopt_orphans() -> None:
    """Grandchildren whose parent dies become this process's children."""
    _prctl("PR_SET_CHILD_SUBREAPER", _PR_SET_CHILD_SUBREAPER, 1)


def no_new_privileges() -> None:
    """No program run from here on gains rights by its set-uid bit; Landlock and seccomp ask for it."""
    _prctl("PR_SET_NO_NEW_PRIVS", _PR_SET_NO_NEW_PRIVS, 1)


def die_first() -> None:
    """When memory runs out, the kernel ends this process and its children before any other of the machine."""
    Path("/proc/self/oom_score_adj").write_text("1000")


def unshare(flags: int) -> None:
    """Leaves the namespaces that `flags` name for new ones."""
    checked(_libc().unshare(flags), "unshare")


def mount(kind: str, target: str, flags: int, options: str = "") -> None:
    """Mounts a file system of `kind` (tmpfs, proc), or changes the flags of `target` where `kind` is empty."""
    source = kind.encode() or None
    checked(_libc().mount(source, target.encode(), source, ctypes.c_ulong(flags), options.encode()), f"mount {target}")


def unmount(target: str) -> None:
    """Takes a mount away from `target`, and ends it when nothing uses it any more."""
    checked(_libc().umount2(target.encode(), MNT_DETACH), f"umount {target}")


def clone_tree(path: str) -> int:
    """A descriptor of a copy of the mounts at and below `path`, which `move_tree` puts into another place."""
    flags = ctypes.c_uint(_OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_RECURSIVE)
    return call(f"open_tree {path}", _OPEN_TREE, _AT_FDCWD, os.fsencode(path), flags)


def move_tree(tree: int, target: str) -> None:
    """Puts a tree of mounts from `clone_tree` at `target`."""
    call(f"move_mount {target}", _MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH)


class _MountAttributes(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("user_namespace", ctypes.c_uint64),
    )


def set_mount_attributes(tree: int, attributes: int, recursive: bool = True) -> None:
    """Sets MOUNT_ATTR_… on the mount that `tree`, a descriptor, is of, and on those below it. Since Linux 5.12."""
    wanted = _MountAttributes(set=attributes)
    flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
    size = ctypes.c_size_t(ctypes.sizeof(wanted))
    call("mount_setattr", _MOUNT_SETATTR, tree, b"", flags, ctypes.byref(wanted), size)


def enter_root(folder: str) -> None:
    """`folder`, a mount point, becomes `/`, and the old root is gone."""
    os.chdir(folder)
    call("pivot_root", number("pivot_root"), b".", b".")
    unmount(".")
    os.chdir("/")


def cpu_seconds(pid: int) -> float:
    """What the threads of a living process have used, to the nanosecond: clock_getcpuclockid(3).

    The kernel's own limit, RLIMIT_CPU, samples at ticks: on a busy machine it ended loops after 0.74 s instead of 1 s.
    Raises OSError where there is no such process.
    """
    return time.clock_gettime((~pid << 3) | 2)


def drop_capabilities() -> None:
    """This process keeps none of root's rights beyond those of its uid."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    call("capset", number("capset"), header, (ctypes.c_uint32 * 6)())
