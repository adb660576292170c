"""Starting a fresh, small interpreter on a module of this package, without site-packages and without a fork.

The parent may have threads and gigabytes of weights; a fork would copy both into every program.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import repotune

_SOURCES = str(Path(repotune.__file__).parents[1])
# -I takes no path from the environment and -S none from site-packages, so the package's own folder is named, and taken
# out of the path again before anything else runs.
_START = "import sys; sys.path.insert(0, sys.argv[1]); from {module} import main; del sys.path[0]; main(sys.argv[2:])"


def start_interpreter(
    module: str,
    arguments: Sequence[str],
    *,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.DEVNULL,
    stderr: int | IO[bytes] = subprocess.DEVNULL,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """`module`'s `main(arguments)` in a process of its own, with an empty environment and nothing of ours open."""
    command = [sys.executable, "-I", "-S", "-c", _START.format(module=module), _SOURCES, *arguments]
    return subprocess.Popen(
        command,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        pass_fds=tuple(pass_fds),
        env={},
        cwd="/",
        start_new_session=True,
    )
