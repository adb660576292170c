"""Takes a repository, a folder or a file out of a corpus that is built, and leaves all else as it is.

The new corpus is written beside the old one and takes its place when whole; splits that nothing leaves are not even
copied. What is removed is written to the project's opt-out list first, so that a kill can lose the removal, which the
next build makes good, but never the wish. Later steps become stale by the corpus' new contents in the ordinary way.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from repotune.core import artefact
from repotune.core.artefact import Manifest, require_artefact, unfinished_path, write_atomically
from repotune.core.errors import UserError
from repotune.core.flow import locked
from repotune.core.settings import OptOutSettings
from repotune.corpus.lineage import Model, models_of
from repotune.corpus.opt_out import RULE, OptOut, add_to_opt_out, as_settings, literal, merged
from repotune.corpus.rows import DROPPED, Listed
from repotune.corpus.showcase.collection import EXAMPLES_NAME, forget
from repotune.corpus.split import SPLITS, split_files
from repotune.corpus.summary import Counts, by_name, funnel
from repotune.corpus.why import explain
from repotune.corpus.writing import TableWriter

REMOVALS_NAME = "removals.json"
"""What was taken out of a corpus after it was built: `line`, `files`, `bytes`, and the `corpus` that held it."""

_TOLD = ("language", "licence", "size", "replaced")


@dataclass(frozen=True)
class Removal:
    """What was removed: its `line` in the opt-out list, the files of each split, their bytes of text, who has seen it.

    `copies` are files that stay and hold text of the same target; `returning` were left out as duplicates of what is
    removed now, so that the next build may keep them.
    """

    line: str
    files: Mapping[str, int]
    size: int
    copies: tuple[str, ...]
    returning: tuple[str, ...]
    models: tuple[Model, ...]


def remove(workspace: Path, target: str, opt_out: Path, search: Sequence[Path] = ()) -> Removal:
    """Removes `target`, a repository's name or a path as `corpus why` takes it, from the corpus in `workspace`.

    `opt_out` is the project's list; models are looked for in `workspace` and under `search`. Raises UserError where
    the corpus is not whole, where nothing or more than one thing is meant, and where a split would be empty.
    """
    folder = workspace / "corpus"
    with locked(workspace):
        artefact.recover(folder)
        manifest = require_artefact(folder)
        kept = _kept(folder)
        line, leaving = _meant(folder, kept, target)
        _refuse_emptiness(kept, leaving)
        history = _history(folder)
        models = models_of({manifest.contents, *(row["corpus"] for row in history)}, [workspace, *search])
        removed = kept.filter(leaving)
        opted = merged(OptOutSettings.model_validate(manifest.settings.get("opt_out", {})), as_settings([line]))
        copies, returning = _duplicates(folder, removed, OptOut(opted))
        _write(folder, manifest, kept, leaving, line, history)
        add_to_opt_out(opt_out, [line])
        _complete(folder, manifest, opted)
    files = Counter(removed["split"].to_pylist())
    return Removal(line, files, pc.sum(removed["size"]).as_py() or 0, copies, returning, tuple(models))


def _kept(folder: Path) -> pa.Table:
    """A row for each kept file: where it is from, its split and file, and what summary.json counts."""
    parts = []
    for split in SPLITS:
        for path in split_files(folder, split):
            table = pq.read_table(path, columns=["repository", "path", *_TOLD])
            for name, value in (("split", split), ("file", path.name)):
                table = table.append_column(name, pa.array([value] * table.num_rows, pa.string()))
            parts.append(table)
    return pa.concat_tables(parts)


def _meant(folder: Path, kept: pa.Table, target: str) -> tuple[str, pa.Array]:
    """The opt-out line for `target`, and which rows of `kept` fall under it."""
    asked = "/".join(part for part in target.split("/") if part not in ("", "."))
    names = pc.binary_join_element_wise(kept["repository"], kept["path"], "/")
    dropped = pq.read_table(folder / "dropped.parquet", columns=["repository", "path"])
    if asked in {*kept["repository"].unique().to_pylist(), *dropped["repository"].unique().to_pylist()}:
        return f"repository: {asked}", pc.equal(kept["repository"], asked)
    under = pc.or_(pc.equal(names, asked), pc.starts_with(names, asked + "/"))
    if not pc.any(under).as_py():
        found = {f"{row.repository}/{row.path}" for row in explain(folder, target) if row.repository}
        if not found:
            raise UserError(f"The corpus holds nothing of {target}.", "it is left out before it is read; nothing to do")
        if len(found) > 1:
            raise UserError(
                f"{target} may be any of {', '.join(sorted(found)[:5])}{' …' if len(found) > 5 else ''}.",
                "name the repository too, as in the first: " + min(found),
            )
        asked = found.pop()
        under = pc.equal(names, asked)
    return f"path: {literal(asked)}", under


def _refuse_emptiness(kept: pa.Table, leaving: pa.Array) -> None:
    left = set(kept.filter(pc.invert(leaving))["split"].to_pylist())
    if empty := [split for split in SPLITS if split not in left]:
        raise UserError(
            f"Without it the {empty[0]} split would be empty.",
            "leave it out of repotune.toml, or list it in corpus.opt_out, and build the corpus again: repotune corpus",
        )


def _history(folder: Path) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = json.loads((folder / REMOVALS_NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    return found


def _write(
    folder: Path, manifest: Manifest, kept: pa.Table, leaving: pa.Array, line: str, history: list[dict[str, Any]]
) -> None:
    """Writes the unfinished folder: the corpus without the rows that are `leaving`, all but its manifest."""
    beside = unfinished_path(folder)
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    note = {"fingerprint": "", "settings": {}, "inputs": {}, "seconds": manifest.seconds}
    write_atomically(beside / artefact.STARTED_NAME, json.dumps(note))
    removed, left = kept.filter(leaving), kept.filter(pc.invert(leaving))
    changed = set(removed["file"].unique().to_pylist())
    written = {"dropped.parquet", "summary.json", REMOVALS_NAME} if removed.num_rows else set()
    opted = OptOut(as_settings([line]))
    forget(folder, beside, lambda repository, path: opted.reason(Listed(repository, path, 0)) is not None)
    for name in manifest.files:
        if name in changed:
            going = pc.filter(leaving, pc.equal(kept["file"], name))
            _without(folder / name, beside / name, going)
        elif name not in written | {EXAMPLES_NAME}:
            _same(folder / name, beside / name)
    if not removed.num_rows:
        return
    dropped = _dropped(folder, removed, line)
    writer = TableWriter(beside / "dropped.parquet", DROPPED)
    for batch in dropped.to_batches():
        writer.add(batch)
    writer.close()
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    found = {unit: summary["funnel"][0][unit] for unit in ("files", "bytes")}
    counts = _counted(dropped, "rule")
    summary |= {"funnel": funnel(found, counts), "dropped": counts, "replaced": _replaced(left)}
    summary |= {name: _counted(left, name.removesuffix("s")) for name in ("languages", "licences", "splits")}
    write_atomically(beside / "summary.json", json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    entry = {"line": line, "files": removed.num_rows, "bytes": pc.sum(removed["size"]).as_py()}
    history = [*history, entry | {"corpus": manifest.contents}]
    write_atomically(beside / REMOVALS_NAME, json.dumps(history, indent=2, ensure_ascii=False) + "\n")


def _dropped(folder: Path, removed: pa.Table, line: str) -> pa.Table:
    """The rows of dropped.parquet with those of what is removed, in their order."""
    rows = removed.select(["repository", "path", "size"]).to_pylist()
    added = [row | {"rule": RULE, "value": line, "threshold": ""} for row in rows]
    both = pa.concat_tables([pq.read_table(folder / "dropped.parquet"), pa.Table.from_pylist(added, DROPPED)])
    return both.sort_by([(name, "ascending") for name in ("repository", "path", "rule", "value")])


def _counted(table: pa.Table, column: str) -> Counts:
    groups = table.group_by(column).aggregate([("size", "count"), ("size", "sum")]).sort_by(column)
    return by_name(groups.rename_columns({"size_count": "files", "size_sum": "bytes"}), column)


def _replaced(kept: pa.Table) -> Counts:
    """How many placeholders of each kind are in how many files."""
    files, count = Counter[str](), Counter[str]()
    for row in kept.column("replaced").to_pylist():
        files.update(kind for kind, _ in row)
        count.update(dict(row))
    return {kind: {"files": files[kind], "count": count[kind]} for kind in sorted(files)}


def _without(source: Path, target: Path, going: pa.ChunkedArray) -> None:
    """Copies a split but for the rows that are `going`, row group by row group."""
    file, first = pq.ParquetFile(source), 0
    with pq.ParquetWriter(target, file.schema_arrow, compression="zstd") as writer:
        for number in range(file.num_row_groups):
            group = file.read_row_group(number)
            stays = group.filter(pc.invert(going.slice(first, group.num_rows)))
            first += group.num_rows
            if stays.num_rows:
                writer.write_table(stays, row_group_size=stays.num_rows)


def _same(source: Path, target: Path) -> None:
    """The file as it is: a second name for it where the file system has those, else a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _complete(folder: Path, manifest: Manifest, opted: OptOutSettings) -> None:
    """Seals the new folder as what a build with the new opt-out list makes, so that the next run takes it as done.

    A corpus that was stale stays so: nothing but this line is added to what it was built with.
    """
    settings = {**manifest.settings, "opt_out": json.loads(opted.model_dump_json())}
    known = manifest.fingerprint == artefact.fingerprint("corpus", manifest.settings, manifest.inputs, manifest.seed)
    artefact.complete(
        folder,
        fingerprint=artefact.fingerprint("corpus", settings, manifest.inputs, manifest.seed)
        if known
        else manifest.fingerprint,
        inputs=manifest.inputs,
        settings=settings,
        seed=manifest.seed,
        seconds=manifest.seconds,
        volatile=frozenset(),
    )


def _duplicates(folder: Path, removed: pa.Table, opted: OptOut) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The files that stay and hold text of what is opted out, and those that were dropped in favour of `removed`."""
    gone = set(_names(removed))
    copies, returning = set(), set()
    for row in pq.read_table(folder / "dropped.parquet").to_pylist():
        if not row["rule"].endswith("_duplicate"):
            continue
        named = opted.reason(Listed(row["repository"], row["path"], row["size"])) is not None
        if named and row["value"] not in gone:
            copies.add(row["value"])
        elif not named and row["value"] in gone:
            returning.add(f"{row['repository']}/{row['path']}")
    return tuple(sorted(copies)), tuple(sorted(returning))


def _names(table: pa.Table) -> list[str]:
    names: list[str] = pc.binary_join_element_wise(table["repository"], table["path"], "/").to_pylist()
    return names
