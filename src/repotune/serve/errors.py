"""Refusals as JSON, in the body that OpenAI's clients read: {"error": {"message", "type", "param", "code"}}."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from repotune.core.errors import UserError
from repotune.infer.adapters.completions import RemoteError
from repotune.serve.source import BusyError, NotGivenError, PromptTooLongError

FAILED = "The server failed at this request; its log says why."
CLIENT_LEFT = 499  # nginx's status for a request whose client went away
_RETRY_SECONDS = "1"
_SENTENCES = {404: "There is no {path} here.", 405: "{path} does not take {method}."}


class RefusalError(Exception):
    """An answer of 4xx: `message` is a sentence, `param` the field at fault, `code` OpenAI's name for it."""

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code


def error_body(status: int, message: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """The JSON of a refusal."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def error_response(status: int, message: str, param: str | None = None, code: str | None = None) -> JSONResponse:
    """The same as a response."""
    return JSONResponse(error_body(status, message, param, code), status)


def validation_refusal(error: ValidationError) -> RefusalError:
    """A pydantic error as one sentence about the first field at fault."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return RefusalError(400, f"The body is not valid JSON: {first['ctx']['error']}.")
    param = ".".join(str(part) for part in first["loc"])
    said = first["msg"].removeprefix("Value error, ").rstrip(".")
    return RefusalError(400, f"{param}: {said}." if param else f"{said}.", param or None)


def _refused(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RefusalError)
    return error_response(error.status, error.message, error.param, error.code)


def _user_error(_request: Request, error: Exception) -> JSONResponse:
    return error_response(400, str(error))


def _too_long(_request: Request, error: Exception) -> JSONResponse:
    return error_response(400, str(error), "prompt", "context_length_exceeded")


def _not_given(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, NotGivenError)
    return error_response(400, str(error), error.param)


def _remote(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RemoteError)
    return error_response(remote_status(error), error.message)


def remote_status(error: RemoteError) -> int:
    """What a failure of the server that is asked is to those who ask this one: a refusal stays one."""
    return 400 if error.status is not None and 400 <= error.status < 500 else 502


def _busy(_request: Request, error: Exception) -> JSONResponse:
    response = error_response(503, f"The server is busy: {error}.", code="busy")
    response.headers["retry-after"] = _RETRY_SECONDS
    return response


def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    sentence = _SENTENCES.get(error.status_code, error.detail).format(path=request.url.path, method=request.method)
    response = error_response(error.status_code, sentence)
    response.headers.update(error.headers or {})
    return response


def _left(_request: Request, _error: Exception) -> Response:
    return Response(status_code=CLIENT_LEFT)  # for the counters: nobody reads it


HANDLERS = {
    RefusalError: _refused,
    RemoteError: _remote,
    UserError: _user_error,
    PromptTooLongError: _too_long,
    NotGivenError: _not_given,
    BusyError: _busy,
    HTTPException: _http,
    ClientDisconnect: _left,
}
