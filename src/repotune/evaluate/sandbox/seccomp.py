"""seccomp: system calls that no program under evaluation needs, refused by a filter in the kernel (seccomp(2)).

The filter is a list of refusals and not of permissions, since the runtimes of twenty languages call what they like:
what is refused makes sockets, namespaces and mounts, looks into other processes, or is a part of the kernel known for
its faults (io_uring, bpf, userfaultfd, keyrings). A call newer than this list does not exist (ENOSYS), nor does clone3,
whose flags a filter cannot read; the C library then takes clone.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from repotune.evaluate.sandbox import kernel

# name: (x86_64, aarch64), from the kernel's asm/unistd_64.h and asm-generic/unistd.h; None: not there.
_REFUSED: dict[str, tuple[int | None, int]] = {
    "socket": (41, 198),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "quotactl": (179, 60),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "syslog": (103, 116),
    "acct": (163, 89),
    "personality": (135, 92),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "iopl": (172, -1),
    "ioperm": (173, -1),
    "vhangup": (153, 58),
}
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE3 = 435
_LAST_KNOWN = 462  # mseal, Linux 6.10; above it also lie the calls of the x32 ABI
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # AUDIT_ARCH_…
_NAMESPACES = 0x7E020000 | 0x80  # every CLONE_NEW… flag

_LOAD, _JUMP_EQUAL, _JUMP_ABOVE, _JUMP_BITS, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
_ALLOW, _KILL, _FAIL = 0x7FFF0000, 0x80000000, 0x00050000
_SET_MODE_FILTER = 1
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16


def build_filter() -> bytes:
    """The filter as BPF instructions of eight bytes. Raises OSError on an architecture without a list."""
    machine = os.uname().machine
    if machine not in _ARCHITECTURES:
        raise OSError(f"the sandbox does not know the system calls of {machine}")
    column = list(_ARCHITECTURES).index(machine)
    numbers = [calls[column] for calls in _REFUSED.values()]
    refused = sorted(each for each in numbers if each is not None and each >= 0)
    head = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_JUMP_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_JUMP_ABOVE, 0, 1, _LAST_KNOWN),
        (_RETURN, 0, 0, _FAIL | errno.ENOSYS),
        (_JUMP_EQUAL, 0, 1, _CLONE3),
        (_RETURN, 0, 0, _FAIL | errno.ENOSYS),
    ]
    # A jump counts the instructions that it skips: past the other refusals and the last four lines but one.
    refusals = [(_JUMP_EQUAL, len(refused) - place + 3, 0, call) for place, call in enumerate(refused)]
    tail = [
        (_JUMP_EQUAL, 0, 2, _CLONE[machine]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
        (_JUMP_BITS, 1, 0, _NAMESPACES & ~0x80 & 0xFFFFFFFF),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _FAIL | errno.EPERM),
    ]
    return b"".join(struct.pack("=HBBI", *line) for line in head + refusals + tail)


class Filter:
    """A filter ready to be installed by this process or by forked children."""

    def __init__(self) -> None:
        code = build_filter()
        self._code = ctypes.create_string_buffer(code, len(code))
        program = struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(self._code))
        self._program = ctypes.create_string_buffer(program, len(program))
        self._number = kernel.number("seccomp")

    def install(self) -> None:
        """Holds this process and its children from here on, for good. Needs no_new_privileges first."""
        kernel.call("seccomp", self._number, _SET_MODE_FILTER, 0, self._program)
