"""Commands of single rooms: `corpus why`, `corpus remove`, `tokenizer compare`, `release verify`, `serve`, `index`,
`editor`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from repotune.core.artefact import require_artefact
from repotune.core.console import Console, size, write_data
from repotune.core.errors import UserError
from repotune.pipeline.project import open_project

if TYPE_CHECKING:
    from repotune.evaluate.scores import Score


def corpus(arguments: argparse.Namespace) -> int:
    """`repotune corpus` builds it; `corpus look` shows it, `corpus why PATH` says what became of a file, `corpus remove
    PATH` takes it out."""
    if arguments.action is None:
        from repotune.cli.project import run_room

        return run_room(arguments)
    if arguments.action == "look":
        return _look(arguments)
    if arguments.path is None:
        raise UserError(
            f"corpus {arguments.action} needs a path.", f"repotune corpus {arguments.action} api/src/app.py"
        )
    if arguments.action == "remove":
        return _remove(arguments)
    from repotune.corpus.why import explain

    folder = open_project(arguments.config).workspace / "corpus"
    require_artefact(folder)
    for explanation in explain(folder, arguments.path):
        write_data(str(explanation))
    return 0


def _look(arguments: argparse.Namespace) -> int:
    """Writes the page about the corpus, before anything is trained on it, and says where it is."""
    from repotune.report.corpus_page import build_corpus_page

    project = open_project(arguments.config)
    folder = project.workspace / "look"
    require_artefact(project.workspace / "corpus")
    folder.mkdir(exist_ok=True)
    build_corpus_page(project.workspace / "corpus", folder, project.name)
    Console().say(f"the page about the corpus: {folder / 'corpus.html'}")
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    """Takes a repository or a path out of the corpus; what has seen it goes to stdout, a line each."""
    from repotune.corpus.removal import remove
    from repotune.pipeline.latest import LATEST

    project, console = open_project(arguments.config), Console()
    removal = remove(project.workspace, arguments.path, project.opt_out, arguments.search)
    files = ", ".join(f"{count} of {split}" for split, count in removal.files.items()) or "no file was kept of it"
    console.say(f"{removal.line} is taken out: {files}; {size(removal.size)} of text")
    console.say(f"{project.opt_out} leaves it out of the next build too")
    for copy in removal.copies:
        console.warn(f"{copy} stays, and holds text of it")
    if removal.returning:
        console.warn(
            f"{len(removal.returning)} files were its duplicates; the next build may keep {removal.returning[0]}"
        )
    for model in removal.models:
        told = "has seen it" if model.seen == "yes" else "may have seen it: what it was made from is not here"
        write_data(f"{model.folder} ({model.step}) {told}")
    if (project.workspace / LATEST).is_dir():
        console.warn("the index brought up to date since may hold text of it until: repotune index")
    console.say("next: repotune run builds again what was made from the old corpus")
    return 0


def tokenizer(arguments: argparse.Namespace) -> int:
    """`repotune tokenizer` builds it; `tokenizer compare FOLDER…` measures others on the validation split."""
    if arguments.action is None:
        from repotune.cli.project import run_room

        return run_room(arguments)
    from repotune.tokenizer.compression import compare_vocabularies

    workspace = open_project(arguments.config).workspace
    require_artefact(workspace / "corpus")
    own = [workspace / "tokenizer"] if (workspace / "tokenizer").is_dir() else []
    if not own and not arguments.folders:
        raise UserError(
            "There is no vocabulary to measure.", "name folders with tokenizer.json, or: repotune tokenizer"
        )
    found = compare_vocabularies(Console(), workspace / "corpus", [*own, *arguments.folders])
    languages = sorted({language for one in found for language in one["languages"]})
    write_data("bytes per token\tentries\tall\t" + "\t".join(languages))
    for one in found:
        by_language = (one["languages"].get(language, {}).get("bytes_per_token") for language in languages)
        figures = "\t".join("–" if figure is None else f"{figure:.3f}" for figure in by_language)
        write_data(f"{one['folder']}\t{one['size']}\t{one['bytes_per_token']:.3f}\t{figures}")
    return 0


def release(arguments: argparse.Namespace) -> int:
    """`repotune release` packages the model; `release verify` asks it for held-out holes beside its exact weights.
    Status 3 where something was lost."""
    if arguments.action is None:
        from repotune.cli.project import run_room

        return run_room(arguments)
    from repotune.release.verification import verify_release

    workspace, console = open_project(arguments.config).workspace, Console()
    for name in ("corpus", "release"):
        require_artefact(workspace / name)
    found = verify_release(workspace / "release", workspace / "corpus", arguments.items, console)
    write_data("answers of\tbeside\tholes\tright\tbeside\tsame text\texact match\tedit similarity\tlost")
    for row in found:
        differences = "\t".join(_interval(score) for score in (row.exact, row.similarity))
        counts = f"{row.items}\t{row.right}\t{row.right_against}\t{row.same}"
        write_data(f"{row.name}\t{row.against}\t{counts}\t{differences}\t{'yes' if row.lost else 'no'}")
    lost = [row.name for row in found if row.lost]
    console.say(f"lost by {', '.join(lost)}" if lost else "nothing was lost that could be told from chance")
    return 3 if lost else 0


def _interval(score: Score) -> str:
    """A difference with its 95 % interval."""
    if score.low is None or score.high is None:
        return f"{score.value:+.4f}"
    return f"{score.value:+.4f} [{score.low:+.4f}, {score.high:+.4f}]"


def serve(arguments: argparse.Namespace) -> int:
    """Serves a release until it is stopped."""
    from repotune.core.config import with_values
    from repotune.core.settings import ServeSettings
    from repotune.pipeline.latest import newest_index
    from repotune.serve.run import serve as serve_release

    report, index = None, arguments.index
    if arguments.release is None:
        project = open_project(arguments.config)
        settings, release = project.config.serve, project.workspace / "release"
        require_artefact(release)
        page = project.workspace / "report" / "report.html"
        report = page if page.is_file() else None
        index = index or newest_index(project.workspace)
    else:
        settings, release = ServeSettings(), arguments.release
    asked = {name: getattr(arguments, name) for name in ("host", "port", "engine", "model")}
    chosen = {name: value for name, value in asked.items() if value is not None}
    serve_release(release, with_values(settings, chosen, "repotune serve"), Console(), report, index)
    return 0


def index(arguments: argparse.Namespace) -> int:
    """Brings the index up to date with the repositories as they are now."""
    from repotune.cli.project import spark_master
    from repotune.pipeline.latest import refresh_index

    folder = refresh_index(open_project(arguments.config), Console(), spark_master(arguments))
    Console().say(f"the index is up to date: {folder}; repotune serve takes it when it starts")
    return 0


def editor(arguments: argparse.Namespace) -> int:
    """Speaks LSP on stdin and stdout."""
    from repotune.editor.server import serve_stdio

    serve_stdio(arguments.server)
    return 0
