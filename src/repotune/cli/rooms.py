"""Commands of single rooms: `corpus why`, `serve`, `editor`."""

from __future__ import annotations

import argparse

from repotune.core.artefact import require_artefact
from repotune.core.console import Console, write_data
from repotune.core.errors import UserError
from repotune.pipeline.project import open_project


def corpus(arguments: argparse.Namespace) -> int:
    """`repotune corpus` builds it; `repotune corpus why PATH` says what became of a file."""
    if arguments.action is None:
        from repotune.cli.project import run_room

        return run_room(arguments)
    if arguments.path is None:
        raise UserError("corpus why needs a path.", "repotune corpus why src/app.py")
    from repotune.corpus.why import explain

    folder = open_project(arguments.config).workspace / "corpus"
    require_artefact(folder)
    for explanation in explain(folder, arguments.path):
        write_data(str(explanation))
    return 0


def serve(arguments: argparse.Namespace) -> int:
    """Serves a release until it is stopped."""
    from repotune.core.config import ServeSettings
    from repotune.serve.run import serve as serve_release

    report = None
    if arguments.release is None:
        project = open_project(arguments.config)
        settings, release = project.config.serve, project.workspace / "release"
        require_artefact(release)
        page = project.workspace / "report" / "report.html"
        report = page if page.is_file() else None
    else:
        settings, release = ServeSettings(), arguments.release
    chosen = {name: getattr(arguments, name) for name in ("host", "port") if getattr(arguments, name) is not None}
    serve_release(release, ServeSettings(**{**settings.model_dump(), **chosen}), Console(), report=report)
    return 0


def editor(arguments: argparse.Namespace) -> int:
    """Speaks LSP on stdin and stdout."""
    try:
        from repotune.editor.server import serve_stdio
    except ModuleNotFoundError as error:
        if error.name not in ("pygls", "lsprotocol", "httpx"):
            raise
        raise UserError("The language server needs pygls.", "pip install 'repotune[editor]'") from error
    serve_stdio(arguments.server)
    return 0
