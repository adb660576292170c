"""The language server as an editor runs it: a process on stdio, with a completion server on the loopback behind it."""

from __future__ import annotations

import json
import queue
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

WAIT = 30.0
URI = "file:///nowhere/project/src/main.py"
UTF16 = {"general": {"positionEncodings": ["utf-16"]}}


class Completions(ThreadingHTTPServer):
    """Answers POST /v1/completions with `answer(body)`. While `holding`, it answers nobody and notes who hangs up."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.address = f"http://127.0.0.1:{self.server_address[1]}"
        self.asked: queue.Queue[dict[str, Any]] = queue.Queue()
        self.hung_up: queue.Queue[dict[str, Any]] = queue.Queue()
        self.holding = False
        self.answer: Callable[[dict[str, Any]], tuple[int, str]] = lambda body: completion("pass")


def completion(text: str) -> tuple[int, str]:
    return 200, json.dumps({"object": "text_completion", "choices": [{"index": 0, "text": text}]})


class _Handler(BaseHTTPRequestHandler):
    server: Completions
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body["endpoint"] = self.path
        self.server.asked.put(body)
        if self.server.holding:
            select.select([self.connection], [], [], WAIT)
            if not self.connection.recv(1, socket.MSG_PEEK):
                self.server.hung_up.put(body)
            self.close_connection = True
            return
        status, answer = self.server.answer(body)
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer.encode())))
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, *_: Any) -> None:
        pass


class Editor:
    """A client that speaks JSON-RPC to the language server's process."""

    def __init__(self, address: str) -> None:
        script = "import sys; from repotune.editor.server import serve_stdio; serve_stdio(sys.argv[1])"
        command = [sys.executable, "-c", script, address]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._incoming: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.notified: list[dict[str, Any]] = []
        self._answers: dict[int, dict[str, Any]] = {}
        self._number = 0
        self._open: set[str] = set()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def start(self, options: dict[str, Any] | None = None, capabilities: dict[str, Any] = UTF16) -> dict[str, Any]:
        params = {"processId": None, "rootUri": "file:///nowhere/project", "capabilities": capabilities}
        answer = self.wait(self.ask("initialize", {**params, "initializationOptions": options}))
        self.tell("initialized", {})
        return answer["result"]

    def open(self, text: str, uri: str = URI) -> None:
        document = {"uri": uri, "languageId": "python", "version": 1, "text": text}
        self.tell("textDocument/didOpen", {"textDocument": document})
        self._open.add(uri)

    def close_documents(self) -> None:
        while self._open:
            self.tell("textDocument/didClose", {"textDocument": {"uri": self._open.pop()}})

    def change(self, version: int, start: tuple[int, int], end: tuple[int, int], text: str) -> None:
        changes = [{"range": span(start, end), "text": text}]
        document = {"uri": URI, "version": version}
        self.tell("textDocument/didChange", {"textDocument": document, "contentChanges": changes})

    def request(self, line: int, character: int, kind: int = 1, uri: str = URI, **context: Any) -> int:
        """Asks for a completion; `kind` 1 is invoked, 2 automatic. Returns the request's number."""
        position = {"line": line, "character": character}
        params = {"textDocument": {"uri": uri}, "position": position, "context": {"triggerKind": kind, **context}}
        return self.ask("textDocument/inlineCompletion", params)

    def complete(self, line: int, character: int, kind: int = 1, uri: str = URI, **context: Any) -> list[Any]:
        items: list[Any] = self.wait(self.request(line, character, kind, uri, **context))["result"]["items"]
        return items

    def ask(self, method: str, params: Any) -> int:
        self._number += 1
        self._send({"id": self._number, "method": method, "params": params})
        return self._number

    def tell(self, method: str, params: Any) -> None:
        self._send({"method": method, "params": params})

    def wait(self, number: int) -> dict[str, Any]:
        while number not in self._answers:
            message = self._incoming.get(timeout=WAIT)
            assert message is not None, "the language server has ended"
            if "id" in message:
                self._answers[message["id"]] = message
            else:
                self.notified.append(message)
        return self._answers.pop(number)

    def logged(self) -> list[str]:
        return [message["params"]["message"] for message in self.notified if message["method"] == "window/logMessage"]

    def stop(self) -> int:
        """Ends the server as the protocol asks. Returns its exit status."""
        if self.process.poll() is None:
            self.wait(self.ask("shutdown", None))
            self.tell("exit", None)
        status = self.process.wait(WAIT)
        self.close()
        return status

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(WAIT)
        self._reader.join(WAIT)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()

    def _send(self, message: dict[str, Any]) -> None:
        data = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self.process.stdin
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(data), data))
        self.process.stdin.flush()

    def _read(self) -> None:
        stream = self.process.stdout
        assert stream
        while line := stream.readline():
            length = int(line.partition(b":")[2])
            while stream.readline().strip():
                pass
            self._incoming.put(json.loads(stream.read(length)))
        self._incoming.put(None)


def span(start: tuple[int, int], end: tuple[int, int]) -> dict[str, Any]:
    return {name: {"line": at[0], "character": at[1]} for name, at in (("start", start), ("end", end))}


@pytest.fixture(scope="session")
def shared_remote() -> Iterator[Completions]:
    server = Completions()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def shared_editor(shared_remote: Completions) -> Iterator[Editor]:
    """Starting a process takes half a second: what can share one does."""
    editor = Editor(shared_remote.address)
    editor.start({"delay": 0})
    yield editor
    editor.stop()


@pytest.fixture
def remote(shared_remote: Completions) -> Completions:
    """The completion server as it was first."""
    shared_remote.asked, shared_remote.hung_up = queue.Queue(), queue.Queue()
    shared_remote.holding = False
    shared_remote.answer = lambda body: completion("pass")
    return shared_remote


@pytest.fixture
def editor(shared_editor: Editor, remote: Completions) -> Iterator[Editor]:
    """A language server without open documents that asks `remote`, without a pause after keystrokes."""
    shared_editor.notified.clear()
    yield shared_editor
    shared_editor.close_documents()


@pytest.fixture
def launch() -> Iterator[Callable[[str], Editor]]:
    """Starts a language server of one's own for an address."""
    editors: list[Editor] = []

    def start(address: str) -> Editor:
        editors.append(Editor(address))
        return editors[-1]

    yield start
    for editor in editors:
        editor.close()
