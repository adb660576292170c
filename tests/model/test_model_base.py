"""A base is a folder, or comes from a hub once; what cannot be continued is refused before its weights are fetched."""

from __future__ import annotations

import functools
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from repotune.core.errors import UserError
from repotune.model.base import open_base
from repotune.model.configuration import ModelConfig
from repotune.model.network import Network
from repotune.model.weights import save_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OPEN = """
import sys
from repotune.core.errors import UserError
from repotune.model.base import open_base
try:
    print(open_base(sys.argv[1]))
except UserError as error:
    print("refused:", error.message)
"""


class Hub(http.server.BaseHTTPRequestHandler):
    """What huggingface_hub asks of a hub for a model, answered from `root`/OWNER/NAME."""

    def __init__(self, *arguments: Any, root: Path, asked: list[str]) -> None:
        self.root, self.asked = root, asked
        super().__init__(*arguments)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, body: bool) -> None:
        path = self.path.partition("?")[0].strip("/")
        if path.startswith("api/models/"):
            name = "/".join(path.split("/")[2:4])
            files = sorted(file.name for file in (self.root / name).iterdir()) if (self.root / name).is_dir() else None
            if files is None:
                self._send(404, b"", body, {"X-Error-Code": "RepoNotFound"})
            elif "/tree/" in path:
                entries = [{"type": "file", "path": file, "size": self._size(name, file), "oid": "0"} for file in files]
                self._send(200, json.dumps(entries).encode(), body)
            else:
                siblings = [{"rfilename": file} for file in files]
                self._send(200, json.dumps({"id": name, "sha": COMMIT, "siblings": siblings}).encode(), body)
            return
        name, _, file = path.partition("/resolve/")
        place = self.root / name / file.split("/")[-1]
        if not place.is_file():
            self._send(404, b"", body, {"X-Error-Code": "RepoNotFound"})
            return
        if body:
            self.asked.append(place.name)
        self._send(200, place.read_bytes(), body, {"X-Repo-Commit": COMMIT, "ETag": f'"{place.name}"'})

    def _size(self, name: str, file: str) -> int:
        return (self.root / name / file).stat().st_size

    def _send(self, status: int, content: bytes, body: bool, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(content)


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def hub(tmp_path: Path, asked: list[str]) -> Iterator[str]:
    handler = functools.partial(Hub, root=tmp_path / "hub", asked=asked)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def opened(tmp_path: Path, hub: str) -> Callable[[str], str]:
    """What `open_base` gives in a process whose hub is ours, as its last line."""

    def run(source: str, **more: str) -> str:
        own = {"HF_ENDPOINT": hub, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
        environment = os.environ | own | {"NO_PROXY": "127.0.0.1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"} | more
        done = subprocess.run([sys.executable, "-c", OPEN, source], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip().splitlines()[-1]

    return run


def write_base(folder: Path, codec_folder: Path) -> None:
    save_model(folder, Network(ModelConfig(101, 32, 1, 2, 2, 48, 64)), codec_folder)


def test_a_folder_is_its_own_base(tmp_path: Path, codec_folder: Path) -> None:
    write_base(tmp_path / "base", codec_folder)
    assert open_base(str(tmp_path / "base")) == tmp_path / "base"


def test_a_hub_model_is_fetched_once_and_no_pickle_with_it(
    tmp_path: Path, codec_folder: Path, opened: Callable[[str], str], asked: list[str]
) -> None:
    write_base(tmp_path / "hub" / "acme" / "tiny", codec_folder)
    (tmp_path / "hub" / "acme" / "tiny" / "pytorch_model.bin").write_bytes(b"a pickle")
    folder = Path(opened("acme/tiny@main"))
    assert COMMIT in str(folder)
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        assert (folder / name).read_bytes() == (tmp_path / "hub" / "acme" / "tiny" / name).read_bytes()
    assert "pytorch_model.bin" not in asked
    fetched = len(asked)
    assert opened("acme/tiny@main") == str(folder)
    assert len(asked) == fetched


def test_a_family_we_do_not_have_is_refused_before_its_weights_are_fetched(
    tmp_path: Path, codec_folder: Path, opened: Callable[[str], str], asked: list[str]
) -> None:
    write_base(tmp_path / "hub" / "acme" / "odd", codec_folder)
    (tmp_path / "hub" / "acme" / "odd" / "config.json").write_text('{"model_type": "gpt2"}')
    assert "model_type is 'gpt2'" in opened("acme/odd")
    assert asked == ["config.json"]


def test_pickled_weights_and_what_the_hub_cannot_give_are_refused(
    tmp_path: Path, codec_folder: Path, opened: Callable[..., str]
) -> None:
    write_base(tmp_path / "hub" / "acme" / "old", codec_folder)
    (tmp_path / "hub" / "acme" / "old" / "model.safetensors").rename(tmp_path / "hub/acme/old/pytorch_model.bin")
    assert "no weights as safetensors" in opened("acme/old")
    assert "refused: acme/none cannot be fetched from the hub" in opened("acme/none")
    assert "refused: acme/none cannot be fetched from the hub" in opened("acme/none", HF_HUB_OFFLINE="1")


@pytest.mark.parametrize("source", ["/no/such/folder", "name", "a/b/c", ""])
def test_what_is_no_folder_and_no_name_is_refused(source: str) -> None:
    with pytest.raises(UserError, match="There is no"):
        open_base(source)
