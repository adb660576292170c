"""A server as a process of its own, for the trial: it starts on a free port, says which, and never outlives its parent.

    with running_server(release, settings, log_path) as url:
        …

The child (`python -m repotune.serve.process FOLDER SETTINGS [INDEX]`) prints its address as its only line on stdout and
ends when its stdin does: the kernel closes that pipe however the parent ends, on Linux and on macOS.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from repotune.core.console import Console, write_data
from repotune.core.errors import UserError
from repotune.core.settings import ServeSettings

_STOP_SECONDS = 15


@contextmanager
def running_server(
    release_folder: Path, settings: ServeSettings, log_path: Path, index: Path | None = None
) -> Iterator[str]:
    """Runs a server in a process, with its stderr in `log_path`; gives its address, http://HOST:PORT.

    Raises UserError, with the end of the log, where it does not start. The server is gone when the block ends.
    """
    command = [sys.executable, "-P", "-m", "repotune.serve.process", str(release_folder), settings.model_dump_json()]
    command += [str(index)] if index else []
    with (
        log_path.open("w", encoding="utf-8") as log,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True) as child,
    ):
        try:
            assert child.stdout is not None
            url = child.stdout.readline().strip()
            if not url:
                child.wait(_STOP_SECONDS)
                said = log_path.read_text(encoding="utf-8").strip().splitlines()
                raise UserError(
                    f"The server did not start. {said[-1] if said else 'It said nothing.'}", f"see {log_path}"
                )
            yield url
        finally:
            _stop(child)


def _stop(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.close()
    try:
        child.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _end_with_stdin() -> None:
    """Asks this process to stop, as from outside, when stdin ends."""
    while os.read(0, 4096):  # not sys.stdin: a thread that holds its lock breaks the interpreter's exit
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _child(release_folder: Path, settings: ServeSettings, index: Path | None) -> int:
    from repotune.serve.run import open_server

    threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        bound = open_server(release_folder, settings, index=index, console=Console())
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    write_data(bound.url)
    bound.run()
    return 0


if __name__ == "__main__":
    _index = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    sys.exit(_child(Path(sys.argv[1]), ServeSettings.model_validate_json(sys.argv[2]), _index))
