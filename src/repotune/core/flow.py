"""The flow: steps in order, each a folder; what is done is skipped, what was interrupted goes on.

    steps = [Step("corpus", …), Step("tokenizer", inputs=("corpus",), …), …]
    run_flow(steps, workspace, console, seed=1)

A step is done when its folder's manifest bears the fingerprint of its settings and its inputs' contents. Inputs are
known by contents, so a step that is built again with the same result leaves what follows untouched.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from repotune.core import artefact
from repotune.core.console import Console, duration
from repotune.core.errors import UserError

State = Literal["done", "unfinished", "stale", "missing"]
LOCK_NAME = ".lock"
"""Holds the number of the process that writes a folder (`locked`); no part of what the folder holds."""


@dataclass(frozen=True)
class Work:
    """What a running step is given. It writes into `folder` and reads `inputs` (step name → folder)."""

    folder: Path
    inputs: Mapping[str, Path]
    console: Console
    seed: int


@dataclass(frozen=True)
class Step:
    """One folder of the flow.

    `settings` is everything but the inputs that the output depends on, as JSON values. `volatile` names files whose
    bytes may differ from run to run (timings, logs). A `resumable` step finds its own unfinished folder as it left it.
    """

    name: str
    title: str
    run: Callable[[Work], None]
    inputs: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    volatile: frozenset[str] = frozenset()
    resumable: bool = False


@dataclass(frozen=True)
class Standing:
    """How a step stands: `changed` names the settings or inputs that differ from those it was built with."""

    step: Step
    state: State
    changed: tuple[str, ...] = ()
    manifest: artefact.Manifest | None = None


def survey(steps: Sequence[Step], workspace: Path, seed: int) -> list[Standing]:
    """How each step stands. Changes nothing. A step after one that is not done is never done itself."""
    contents: dict[str, str] = {}
    standings = []
    for step in steps:
        standing = _stand(step, workspace, contents, seed)
        if standing.state == "done" and standing.manifest is not None:
            contents[step.name] = standing.manifest.contents
        standings.append(standing)
    return standings


def run_flow(steps: Sequence[Step], workspace: Path, console: Console, seed: int) -> list[artefact.Manifest]:
    """Runs what is not done, in order. Returns each step's manifest. Raises UserError, or what a step raised."""
    workspace.mkdir(parents=True, exist_ok=True)
    contents: dict[str, str] = {}
    manifests = []
    with locked(workspace):
        for number, step in enumerate(steps, 1):
            folder = workspace / step.name
            artefact.recover(folder)
            standing = _stand(step, workspace, contents, seed)
            label = f"[{number}/{len(steps)}] {step.title}"
            if standing.state == "done" and standing.manifest is not None:
                console.say(f"{label}: done before")
                manifest = standing.manifest
            else:
                console.heading(label)
                manifest = _run_step(step, workspace, contents, console, seed)
                console.say(f"  {folder.name}/ is ready after {duration(manifest.seconds)}")
            contents[step.name] = manifest.contents
            manifests.append(manifest)
    return manifests


@contextmanager
def locked(workspace: Path) -> Iterator[None]:
    """Holds `workspace` for this process; the kernel lets go of it when the process ends, however it ends."""
    with (workspace / LOCK_NAME).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise UserError(
                f"Another repotune (process {holder}) is at work in {workspace}.", "wait for it, or stop it first"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def discard_unfinished(workspace: Path, name: str) -> None:
    """Drops what step `name` had begun and not finished."""
    shutil.rmtree(artefact.unfinished_path(workspace / name), ignore_errors=True)


def _stand(step: Step, workspace: Path, contents: Mapping[str, str], seed: int) -> Standing:
    folder = workspace / step.name
    manifest = artefact.read_manifest(folder)
    begun = artefact.unfinished_path(folder).exists()
    if any(name not in contents for name in step.inputs):
        return Standing(
            step, "stale" if manifest else "unfinished" if begun else "missing", ("an earlier step",), manifest
        )
    inputs = {name: contents[name] for name in step.inputs}
    if manifest is None:
        return Standing(step, "unfinished" if begun else "missing")
    if manifest.fingerprint == artefact.fingerprint(step.name, step.settings, inputs, seed):
        return Standing(step, "done", (), manifest)
    changed = _differences(manifest.settings, dict(step.settings)) + _differences(manifest.inputs, inputs)
    return Standing(step, "unfinished" if begun else "stale", tuple(changed) or ("version or seed",), manifest)


def _run_step(
    step: Step, workspace: Path, contents: Mapping[str, str], console: Console, seed: int
) -> artefact.Manifest:
    folder = workspace / step.name
    inputs = {name: contents[name] for name in step.inputs}
    print_ = artefact.fingerprint(step.name, step.settings, inputs, seed)
    unfinished = artefact.unfinished_path(folder)
    _prepare(step, unfinished, print_, inputs)
    before, started = _seconds_spent(unfinished), time.monotonic()
    try:
        step.run(Work(unfinished, {name: workspace / name for name in step.inputs}, console, seed))
    except OSError as error:
        raise _as_user_error(error, step) from error
    finally:
        spent = before + time.monotonic() - started
        if unfinished.exists():
            _note_started(unfinished, print_, step, inputs, spent)
    return artefact.complete(
        folder,
        fingerprint=print_,
        inputs=inputs,
        settings=step.settings,
        seed=seed,
        seconds=spent,
        volatile=step.volatile,
    )


def _prepare(step: Step, unfinished: Path, print_: str, inputs: Mapping[str, str]) -> None:
    """An empty unfinished folder, or for a resumable step the one it left. A changed configuration is refused."""
    started = _read_started(unfinished)
    if unfinished.exists() and step.resumable and started is not None:
        if started["fingerprint"] == print_:
            return
        changed = _differences(started["settings"], dict(step.settings)) + _differences(started["inputs"], inputs)
        raise UserError(
            f"The unfinished {step.name} in {unfinished} was begun under another configuration "
            f"({'; '.join(changed) or 'another version or seed'}).",
            f"put the setting back to go on, or drop what was done with: repotune run --discard {step.name}",
        )
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    _note_started(unfinished, print_, step, inputs, 0.0)


def _note_started(unfinished: Path, print_: str, step: Step, inputs: Mapping[str, str], seconds: float) -> None:
    note = {"fingerprint": print_, "settings": dict(step.settings), "inputs": dict(inputs), "seconds": seconds}
    try:
        artefact.write_atomically(unfinished / artefact.STARTED_NAME, json.dumps(note))
    except OSError as error:
        raise _as_user_error(error, step) from error


def _read_started(unfinished: Path) -> dict[str, Any] | None:
    try:
        note: dict[str, Any] = json.loads((unfinished / artefact.STARTED_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return note


def _seconds_spent(unfinished: Path) -> float:
    started = _read_started(unfinished)
    return float(started["seconds"]) if started else 0.0


def _as_user_error(error: OSError, step: Step) -> UserError:
    where = f" ({error.filename})" if error.filename else ""
    return UserError(
        f"The {step.name} step could not go on: {error.strerror or error}{where}.",
        "mend that, then: repotune run goes on from here; repotune doctor shows the room on the disk",
    )


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs, as `key: old → new`, values shortened."""

    def short(value: Any) -> str:
        text = json.dumps(value, ensure_ascii=False)
        return text if len(text) <= 40 else text[:37] + "…"

    flat_old, flat_new = _flat(old), _flat(new)
    return [
        f"{key}: {short(flat_old.get(key))} → {short(flat_new.get(key))}"
        for key in sorted(set(flat_old) | set(flat_new))
        if flat_old.get(key) != flat_new.get(key)
    ]


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as dotted keys: {"train": {"tokens": 5}} → {"train.tokens": 5}."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
