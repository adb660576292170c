"""Landlock: what a process and its children may reach, as the kernel's own access control (landlock(7)).

Rules name folders and files by descriptor; everything else is refused. The kernel's ABI says which rights it knows:
1 files (Linux 5.13), 2 renaming between folders, 3 truncation, 4 TCP, 5 ioctl on devices, 6 signals and abstract
sockets to processes outside (6.12).
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from repotune.evaluate.sandbox import kernel

SCOPES_ABI = 6  # since this one, no signal leaves the sandbox even to a process of the same uid

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_CREATE_RULESET_VERSION, _RULE_PATH_BENEATH = 1, 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEVICE = 1 << 14, 1 << 15
_MAKE_CHARACTER_DEVICE, _MAKE_BLOCK_DEVICE = 1 << 6, 1 << 11
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEVICE
_RIGHTS_BITS = {1: 13, 2: 14, 3: 15, 4: 15}  # later ABIs: 16
_NETWORK_ABI = 4


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def abi() -> int:
    """The ABI of this kernel's Landlock, 0 where there is none."""
    if sys.platform != "linux":
        return 0
    try:
        return kernel.call("landlock", _CREATE_RULESET, None, ctypes.c_size_t(0), _CREATE_RULESET_VERSION)
    except OSError:
        return 0


def open_ruleset(readable: Iterable[str], writable: Iterable[str]) -> int:
    """A descriptor of rules: what is beneath `readable` may be read and run, beneath `writable` also changed.

    Paths that are not there are left out. No TCP port, and no signal or abstract socket to the outside. The descriptor
    can be made before rights are given up, and used by each forked child. Raises OSError where Landlock is missing.
    """
    version = abi()
    every = (1 << _RIGHTS_BITS.get(version, 16)) - 1
    wanted = _Ruleset(every, 3 if version >= _NETWORK_ABI else 0, 3 if version >= SCOPES_ABI else 0)
    size = ctypes.c_size_t(ctypes.sizeof(wanted))  # a kernel that knows fewer fields takes zeros for the rest
    ruleset = kernel.call("landlock_create_ruleset", _CREATE_RULESET, ctypes.byref(wanted), size, 0)
    os.set_inheritable(ruleset, False)
    writing = every & ~(_MAKE_CHARACTER_DEVICE | _MAKE_BLOCK_DEVICE)
    for paths, rights in ((readable, _EXECUTE | _READ_FILE | _READ_DIR), (writable, writing)):
        for path in paths:
            _allow(ruleset, path, rights)
    return ruleset


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        rights = rights if Path(path).is_dir() else rights & _OF_FILES
        rule = _PathBeneath(rights, parent)
        kernel.call("landlock_add_rule", _ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(parent)


def restrict(ruleset: int) -> None:
    """This process and its children are held by `ruleset` from here on, for good."""
    kernel.call("landlock_restrict_self", _RESTRICT_SELF, ruleset, 0)
