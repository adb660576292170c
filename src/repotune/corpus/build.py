"""Builds corpus/: repositories in, one Parquet file per split out, with a row for every file that was left out.

list → select by path, language, size → read → decode → licence → strip → measure → decide → sign → duplicates → split
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from repotune.core.artefact import write_atomically
from repotune.core.config import CorpusSettings
from repotune.core.errors import UserError
from repotune.core.flow import Work
from repotune.corpus import rows
from repotune.corpus.contamination import decontamination, found_items
from repotune.corpus.duplicates import Sign, exact_duplicates, near_duplicates
from repotune.corpus.engines.local import LocalEngine, Step
from repotune.corpus.examples import drop_worst, learn_quality, weigh
from repotune.corpus.languages import wanted_languages
from repotune.corpus.licences.policy import policy
from repotune.corpus.licences.step import Licence
from repotune.corpus.mixture import Mix, check_names
from repotune.corpus.privacy import redaction
from repotune.corpus.profiles import Decide, load_profile
from repotune.corpus.quality import Score
from repotune.corpus.reading import Read, decode
from repotune.corpus.rows import Dropped
from repotune.corpus.selection import Selection, select
from repotune.corpus.signals.annotate import Annotate
from repotune.corpus.signals.parsing import parsable, require_parsers
from repotune.corpus.sources import Source, open_sources
from repotune.corpus.split import LEAST_FILES, Draw, assign
from repotune.corpus.stripping import strip
from repotune.corpus.summary import summarise, top_reasons
from repotune.corpus.writing import write_splits


def build_corpus(
    work: Work,
    repositories: Sequence[str],
    settings: CorpusSettings,
    workers: int,
    root: Path = Path(),
    mirrors: Path | None = None,
) -> None:
    """Writes the corpus of `repositories` into `work.folder`. The bytes do not depend on `workers`.

    Relative paths of a profile and of examples (`corpus.quality`, `corpus.importance`) count from `root`.
    Git repositories from elsewhere are kept under `mirrors` for the next build, if it is given.
    Raises UserError for a repository that cannot be read, a setting that means nothing here, and for fewer than
    three files left.
    """
    with tempfile.TemporaryDirectory(prefix=".scratch-", dir=work.folder) as name:
        scratch = Path(name)
        sources = open_sources(
            repositories, scratch / "sources", mirrors=mirrors, authors=bool(settings.opt_out.authors)
        )
        check_names(settings.mixture, {source.name for source in sources})
        score = learn_quality(work, settings, root)
        selection = select(sources, settings, work.console)
        engine = LocalEngine(workers, scratch)
        dropped = selection.dropped + _read(work, engine, selection, _steps(sources, settings, root, work.seed, score))
        kept = selection.found - len(dropped)
        left_out = _duplicates(work, engine, settings.near_duplicates) if kept else {}
        if settings.quality.keep is not None:
            left_out |= drop_worst(_kept(engine, left_out), settings.quality.keep)
        kept -= len(left_out)
        if kept < LEAST_FILES:
            raise _too_few(kept, [*dropped, *left_out.values()])
        splits = assign(engine, left_out, kept, settings.validation_share, settings.test_share)
        unimportant, weights = weigh(work, engine.documents, splits, settings, root)
        splits = {document: split for document, split in splits.items() if document not in unimportant}
        dropped += (left_out | unimportant).values()
        written = write_splits(work.folder, engine.documents(), splits, weights)
    pq.write_table(rows.table(dropped), work.folder / "dropped.parquet", compression="zstd")
    summary = summarise(selection.found, selection.found_bytes, dropped, written)
    summary["contamination"] = found_items(settings, dropped, root)
    write_atomically(work.folder / "summary.json", json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    work.console.say(f"  {len(splits)} of {selection.found} files are kept; {top_reasons(dropped)}")


def _steps(
    sources: Sequence[Source], settings: CorpusSettings, root: Path, seed: int, score: Score | None
) -> list[Step]:
    """What is done to each document, in order."""
    read = Read(tuple(sources), wanted_languages(settings.languages))
    licence = Licence(policy(settings))
    sign = Sign(settings.near_duplicates)
    quality = [] if score is None else [score]
    mix = Mix(settings.mixture)
    filters = _filters(settings, root)
    return [read, decode, licence, strip, redaction(settings), *filters, *quality, mix, sign, Draw(seed)]


def _filters(settings: CorpusSettings, root: Path) -> list[Step]:
    """What measures each document and drops it for that, or for what it holds. Raises UserError for bad settings."""
    profile = load_profile(settings.profile, root)
    parsed = (parsable() if settings.parse else profile.parsed) & wanted_languages(settings.languages)
    require_parsers(parsed)
    return [Annotate(parsed), Decide(profile), *decontamination(settings, root)]


def _read(work: Work, engine: LocalEngine, selection: Selection, steps: Sequence[Step]) -> list[Dropped]:
    """Takes the selected files through `steps`. Returns those that were dropped on the way."""
    dropped: list[Dropped] = []
    with work.console.progress("reading", len(selection.selected), "files") as progress:
        for files, lost in engine.apply(list(selection.batches()), steps):
            dropped += [Dropped(**row) for row in lost.to_pylist()]
            progress.advance(files)
    return dropped


def _duplicates(work: Work, engine: LocalEngine, threshold: float) -> dict[int, Dropped]:
    """The dropped rows of duplicates, by document; each names the file that is kept."""
    exact = exact_duplicates(engine)
    near = near_duplicates(engine, threshold, work.console)
    # What repeats a near-duplicate is told the file that is kept in its place.
    kept = exact | near | {document: near.get(first, first) for document, first in exact.items()}
    names = engine.query("SELECT document, repository, path, size FROM documents ORDER BY document")
    about = {row["document"]: row for row in names.to_pylist()}
    found = {}
    for document, first in kept.items():
        rule, limit = ("near_duplicate", f"{threshold:g}") if document in near else ("exact_duplicate", "equal text")
        value = f"{about[first]['repository']}/{about[first]['path']}"
        row = about[document]
        found[document] = Dropped(row["repository"], row["path"], rule, value, limit, row["size"])
    return found


def _kept(engine: LocalEngine, left_out: Collection[int]) -> pa.Table:
    """What is told of the documents but for those left out."""
    rows = engine.query("SELECT document, repository, path, size, quality FROM documents ORDER BY document")
    return rows.filter(pc.invert(pc.is_in(rows["document"], value_set=pa.array(left_out, pa.int64()))))


def _too_few(kept: int, dropped: Sequence[Dropped]) -> UserError:
    return UserError(
        f"Only {kept} files are left for training, validation and test; {top_reasons(dropped)}.",
        "name more repositories in project.repositories, or loosen corpus.languages, corpus.licences or corpus.exclude",
    )
