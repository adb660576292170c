"""Which engine serves a model on this machine: measured at the first start, written down, read at later ones.

    found = candidates(release)
    engine = found[0].open(release) if len(found) == 1 else open_quickest(release, found, model_hash(release), console)

Where only one engine can serve, as is usual, there is nothing to measure. What was measured lies in the user's cache, a
small file for a model, a processor and a number of cores; other versions or other candidates are measured anew, as is
a file that cannot be read. Processes that start at once wait for the first of them, whose figures they would disturb.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from repotune.core.artefact import digest, write_atomically
from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.core.hardware import available_cores, processor_name
from repotune.core.user_cache import user_cache
from repotune.infer.candidates import Candidate
from repotune.infer.engine import Engine
from repotune.infer.speed import Speed, measure

# Seconds for each candidate, beside what it takes to open: a dozen completions of 100M parameters on two cores.
PATIENCE = 1.5
# Of our time another engine may take at most so much to be chosen: only ours computes several people's streams in one
# pass and gives the same text with drafts as without, and two measurements of the same differ by as much.
MARGIN = 0.9


class Measured(BaseModel):
    """What was found, by candidate: `versions`, `speeds` of those that could be measured, why the others were
    `left_out`, and which is `chosen`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    processor: str
    cores: int
    versions: dict[str, str]
    speeds: dict[str, Speed]
    left_out: dict[str, str]
    chosen: str

    def line(self) -> str:
        """For a person: what was chosen, and against what."""
        times = ", ".join(f"{name} {1000 * speed.typical:.0f} ms" for name, speed in self.speeds.items())
        return f"{self.chosen} serves ({times} a typical completion)"


def open_quickest(folder: Path, found: Sequence[Candidate], model: str, console: Console) -> Engine:
    """The engine of the quickest of the candidates `found` for the model in `folder`, which `model` names.

    What is measured, and what is left out as it cannot be, is said on `console`. Raises UserError where none opens.
    """
    with _alone():
        known = read_measured(found, model)
        if known is None:
            console.say(f"measuring once which engine is quickest here: {', '.join(map(str, found))}")
            return _open_measured(folder, found, model, console)
    return next(candidate for candidate in found if str(candidate) == known.chosen).open(folder)


def read_measured(found: Sequence[Candidate], model: str) -> Measured | None:
    """What is written down of exactly the candidates `found`; None where nothing is, or it is of no use any more."""
    try:
        known = Measured.model_validate_json(_path(model).read_bytes())
    except (OSError, ValidationError):
        return None
    fresh = known == known.model_copy(update=_facts(found, model))
    return known if fresh and known.chosen in known.speeds.keys() & known.versions.keys() else None


def judge(found: Sequence[Candidate], model: str, speeds: Mapping[str, Speed], left_out: Mapping[str, str]) -> Measured:
    """Chooses among `found` by the `speeds` of those that could be measured, at least one."""
    handicaps = {str(candidate): 1 if candidate.engine == "ours" else 1 / MARGIN for candidate in found}
    chosen = min(speeds, key=lambda name: speeds[name].typical * handicaps[name])
    return Measured(**_facts(found, model), speeds=dict(speeds), left_out=dict(left_out), chosen=chosen)


def write_down(known: Measured, console: Console) -> None:
    """For later starts; where the cache cannot be written, `console` is told and the next one measures again."""
    path = _path(known.model)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, known.model_dump_json(indent=2) + "\n")
    except OSError as error:
        console.warn(f"what was measured cannot be written down: {error}")


def _open_measured(folder: Path, found: Sequence[Candidate], model: str, console: Console) -> Engine:
    """Opens and measures each of `found`; gives the chosen one.

    Others' engines fail in many ways, from imports to drivers: whatever it is, the engine is left out and that is said.
    What ours fails at is to be mended, so nothing is written down then, and the next start tries again.
    """
    engines: dict[str, Engine] = {}
    speeds: dict[str, Speed] = {}
    left_out: dict[str, str] = {}
    for name, candidate in ((str(candidate), candidate) for candidate in found):
        try:
            engines[name] = candidate.open(folder)
            speeds[name] = measure(engines[name], patience=PATIENCE)
        except Exception as error:
            engines.pop(name, None)
            left_out[name] = f"{error}" if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            console.warn(f"{name} is left out: {left_out[name]}")
    if not speeds:
        raise UserError(f"No engine opens {folder}.", "; ".join(f"{name}: {why}" for name, why in left_out.items()))
    ours_failed = any(candidate.engine == "ours" and str(candidate) in left_out for candidate in found)
    known = judge(found, model, speeds, left_out)
    if not ours_failed:
        write_down(known, console)
    console.say(known.line())
    return engines[known.chosen]


def _facts(found: Sequence[Candidate], model: str) -> dict[str, Any]:
    """What a measurement holds for."""
    versions = {str(candidate): candidate.version for candidate in found}
    return {"model": model, "processor": processor_name(), "cores": available_cores(), "versions": versions}


def _folder() -> Path:
    return user_cache() / "engines"


def _path(model: str) -> Path:
    return _folder() / f"{digest([model, processor_name(), available_cores()])[:16]}.json"


@contextmanager
def _alone() -> Iterator[None]:
    """One process at a time; the lock goes with the process that holds it. None where the cache cannot be written."""
    try:
        _folder().mkdir(parents=True, exist_ok=True)
        lock = (_folder() / ".lock").open("w")
    except OSError:
        yield
        return
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
