"""The application: which path does what.

| path | what |
|---|---|
| `POST /v1/completions`, `GET /v1/models` | OpenAI's dialect (`openai`) |
| `POST /infill` | llama.cpp's dialect (`infill`) |
| `GET /health`, `GET /metrics` | for whoever runs it |
| `GET /`, `GET /report`, `GET /corpus.html` | for people |
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from repotune.serve.attribution import Attribution
from repotune.serve.completion import Completer
from repotune.serve.errors import HANDLERS, RefusalError
from repotune.serve.facts import ReleaseFacts
from repotune.serve.guard import Guard
from repotune.serve.infill import Infill
from repotune.serve.metrics import Metrics
from repotune.serve.openai import OpenAI
from repotune.serve.page import Page
from repotune.serve.source import Source

# The report is our own file, but it quotes code: its scripts run in an origin of their own and reach nothing.
_REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; font-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox allow-scripts allow-popups"
)


def create_app(
    source: Source,
    facts: ReleaseFacts,
    host: str,
    report: Path | None = None,
    attribution: Attribution | None = None,
) -> Starlette:
    """The ASGI application over one source of completions. `host` is the address it will be bound to."""
    metrics = Metrics(source)
    completer = Completer(source, metrics, attribution)
    openai, infill, page = OpenAI(completer, facts.name), Infill(completer, facts.name), Page(facts, report is not None)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        source.start()
        yield
        await source.close()

    async def health(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def show_metrics(_request: Request) -> Response:
        return Response(metrics.render(), headers={"content-type": metrics.content_type})

    async def show_report(request: Request) -> Response:
        # The report's second page is beside it, and linked to by its name.
        page = report and (report if request.url.path == "/report" else report.with_name("corpus.html"))
        if page is None or not page.is_file():
            raise RefusalError(404, "This server was started without a report.")
        return FileResponse(page, media_type="text/html", headers={"content-security-policy": _REPORT_POLICY})

    routes = [
        Route("/", page.show),
        Route("/report", show_report),
        Route("/corpus.html", show_report),
        Route("/v1/models", openai.models),
        Route("/v1/completions", openai.completions, methods=["POST"]),
        Route("/infill", infill.infill, methods=["POST"]),
        Route("/health", health),
        Route("/metrics", show_metrics),
    ]
    known = frozenset(route.path for route in routes)

    def answered(path: str, status: int) -> None:
        metrics.answered(path if path in known else "other", status)

    guard = Middleware(Guard, host=host, answered=answered)
    return Starlette(routes=routes, middleware=[guard], exception_handlers=HANDLERS, lifespan=lifespan)
