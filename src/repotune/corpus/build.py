"""Builds corpus/: repositories in, Parquet files per split out, with a row for every file that was left out.

list and select by path, language, size → read → decode → licence → strip → redact → measure → decide → sign
→ duplicates → split → weigh → write
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa

from repotune.core.artefact import write_atomically
from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.core.flow import Work
from repotune.core.settings import CorpusSettings
from repotune.corpus.contamination import decontamination, found_items
from repotune.corpus.duplicates import Sign, find_duplicates
from repotune.corpus.engines import Engine
from repotune.corpus.engines.steps import Step
from repotune.corpus.examples import drop_worst, learn_quality, weigh
from repotune.corpus.exclusion import Exclusion
from repotune.corpus.languages import wanted_languages
from repotune.corpus.licences.policy import policy
from repotune.corpus.licences.step import Licence
from repotune.corpus.mixture import Limited, Mix, check_names
from repotune.corpus.opt_out import OptOut
from repotune.corpus.privacy import redaction
from repotune.corpus.profiles import Decide, load_profile
from repotune.corpus.quality import Score
from repotune.corpus.reading import Read, decode
from repotune.corpus.rows import DROPPED
from repotune.corpus.selection import Select
from repotune.corpus.showcase.collection import write_showcase
from repotune.corpus.signals.annotate import Annotate
from repotune.corpus.signals.parsing import parsable, require_parsers
from repotune.corpus.sources import Source, open_sources
from repotune.corpus.split import LEAST_FILES, Draw, assign, place
from repotune.corpus.stripping import strip
from repotune.corpus.summary import dropped_by_rule, summarise, top_reasons
from repotune.corpus.writing import SplitWriter, TableWriter

OpenEngine = Callable[[Path, Console], Engine]
"""Opens an engine whose tables lie in a folder."""


def build_corpus(
    work: Work,
    repositories: Sequence[str],
    settings: CorpusSettings,
    open_engine: OpenEngine,
    root: Path = Path(),
    mirrors: Path | None = None,
) -> None:
    """Writes the corpus of `repositories` into `work.folder`. The bytes do not depend on the engine.

    Relative paths of a profile and of examples (`corpus.quality`, `corpus.importance`) count from `root`.
    Git repositories from elsewhere are kept under `mirrors` for the next build, if it is given.
    Raises UserError for a repository that cannot be read, a setting that means nothing here, and for fewer than
    three files left.
    """
    with tempfile.TemporaryDirectory(prefix=".scratch-", dir=work.folder) as name:
        scratch = Path(name)
        found = open_sources(repositories, scratch / "sources", mirrors=mirrors, authors=bool(settings.opt_out.authors))
        # By name, so that the order in which they are given changes nothing.
        sources = sorted(found, key=lambda source: source.name)
        check_names(settings.mixture, {source.name for source in sources})
        steps = _steps(sources, settings, root, work.seed, learn_quality(work, settings, root))
        (scratch / "tables").mkdir()
        with open_engine(scratch / "tables", work.console) as engine:
            _read(engine, sources, settings, steps)
            _compare(engine, settings)
            limited = _divide(work, engine, settings, root)
            engine.write_documents("placed", SplitWriter(work.folder, limited))
            order = ("repository", "path", "rule", "value")
            engine.write("SELECT * FROM all_dropped", order, TableWriter(work.folder / "dropped.parquet", DROPPED))
            summary = summarise(engine, dropped_by_rule(engine))
            summary["contamination"] = found_items(settings, engine, root)
            write_showcase(work, engine, steps, settings, summary["dropped"])
    write_atomically(work.folder / "summary.json", json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    files = [summary["funnel"][stage]["files"] for stage in (-1, 0)]
    work.console.say(f"  {files[0]} of {files[1]} files are kept; {top_reasons(summary['dropped'])}")


def _read(engine: Engine, sources: Sequence[Source], settings: CorpusSettings, steps: Sequence[Step]) -> None:
    """Makes `documents`, what the steps keep of the files that the sources list."""
    select = Select(
        sources, Exclusion(settings.exclude), OptOut(settings.opt_out), wanted_languages(settings.languages)
    )
    engine.start("sources", pa.table({"source": pa.array(range(len(sources)), pa.int64())}))
    engine.map("listed", "sources", [select], "listing")
    engine.map("documents", "listed", steps, "reading")


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


def _compare(engine: Engine, settings: CorpusSettings) -> None:
    """Makes `left_out`: the documents that others make superfluous, as duplicates or by their quality."""
    find_duplicates(engine, settings.near_duplicates)
    left_out = ["SELECT document FROM repeated"]
    if settings.quality.keep is not None:
        drop_worst(engine, settings.quality.keep)
        left_out.append("SELECT document FROM dropped_worst")
    engine.sql("left_out", " UNION ALL ".join(left_out))


def _divide(work: Work, engine: Engine, settings: CorpusSettings, root: Path) -> Limited | None:
    """Makes `placed`, where each document goes, and `all_dropped`. Returns how importance weighs, if it does."""
    tables = ["dropped", "dropped_repeated"] + ["dropped_worst"] * (settings.quality.keep is not None)
    kept = _count(engine, "documents") - _count(engine, "left_out")
    if kept < LEAST_FILES:
        _unite(engine, tables)
        raise _too_few(kept, top_reasons(dropped_by_rule(engine)))
    assign(engine, kept, settings.validation_share, settings.test_share)
    weighed, undrawn = bool(settings.importance.target), settings.importance.keep is not None
    limited = None
    if weighed:
        engine.sql("training", "SELECT document FROM splits WHERE split = 'train'")
        limited = weigh(work, engine, "training", settings, root)
    place(engine, weighed, weighed and undrawn)
    _unite(engine, tables + ["dropped_undrawn"] * (weighed and undrawn))
    return limited


def _unite(engine: Engine, tables: Sequence[str]) -> None:
    columns = ", ".join(DROPPED.names)
    engine.sql("all_dropped", " UNION ALL ".join(f"SELECT {columns} FROM {table}" for table in tables))


def _count(engine: Engine, table: str) -> int:
    return int(engine.collect(f"SELECT count(*) AS n FROM {table}")["n"][0].as_py())


def _too_few(kept: int, reasons: str) -> UserError:
    return UserError(
        f"Only {kept} files are left for training, validation and test; {reasons}.",
        "name more repositories in project.repositories, or loosen corpus.languages, corpus.licences or corpus.exclude",
    )
