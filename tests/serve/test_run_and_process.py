"""Starting and stopping: taken addresses, broken releases, and a child that never outlives its parent."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.core.settings import ServeSettings
from repotune.infer.cpu.packed import write_packed
from repotune.infer.cpu.packing import pack_network
from repotune.model.weights import load_model
from repotune.serve.facts import read_facts
from repotune.serve.process import running_server
from repotune.serve.run import _open_engine, open_server, serve

ANY_PORT = ServeSettings(port=0, engine="ours")


def test_a_taken_port_is_told_with_a_way_out(release: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"Port {port} .* is taken") as caught:
            serve(release, ServeSettings(port=port), Console(quiet=True))
    assert "--port" in (caught.value.hint or "")


def test_a_name_that_is_no_address_is_told(release: Path) -> None:
    with pytest.raises(UserError, match=r"no\.such\.host\.invalid"):
        open_server(release, ServeSettings(host="no.such.host.invalid", port=0))


def test_an_address_of_another_machine_is_told(release: Path) -> None:
    with pytest.raises(UserError, match=r"192\.0\.2\.1"):  # TEST-NET-1, RFC 5737: nobody's
        open_server(release, ServeSettings(host="192.0.2.1", port=0))


@pytest.mark.parametrize("content", [None, "{", '{"name": "acme"}'])
def test_a_folder_that_is_no_release_is_told(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "release.json").write_text(content)
    with pytest.raises(UserError, match=str(tmp_path)) as caught:
        serve(tmp_path, ANY_PORT, Console(quiet=True))
    assert "repotune run" in (caught.value.hint or "")


def test_a_process_serves_and_is_gone_afterwards(release: Path, tmp_path: Path) -> None:
    before = psutil.Process().children()
    with running_server(release, ANY_PORT, tmp_path / "log.txt") as url:
        children = [child for child in psutil.Process().children() if child not in before]
        assert children
        assert httpx.get(f"{url}/health", trust_env=False).json() == {"status": "ok"}
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health", trust_env=False)


def test_a_process_that_cannot_start_tells_why(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no release"), running_server(tmp_path, ANY_PORT, tmp_path / "log.txt"):
        pass


def test_a_process_ends_when_its_parent_is_killed(release: Path, tmp_path: Path) -> None:
    script = (
        "import sys, pathlib; from repotune.core.settings import ServeSettings; "
        "from repotune.serve.process import running_server\n"
        "settings = ServeSettings(port=0, engine='ours')\n"
        "with running_server(pathlib.Path(sys.argv[1]), settings, pathlib.Path(sys.argv[2])) as url:\n"
        "    print(url, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(release), str(tmp_path / "log.txt")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline().startswith("http://")
        (server,) = psutil.Process(parent.pid).children()
        parent.kill()
        server.wait(timeout=20)
    assert not server.is_running()


def test_ctrl_c_stops_it_without_a_traceback(release: Path) -> None:
    script = (
        "import sys, pathlib; from repotune.core.settings import ServeSettings; "
        "from repotune.core.console import Console; from repotune.serve.run import serve; "
        "serve(pathlib.Path(sys.argv[1]), ServeSettings(port=0, engine='ours'), Console())"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(release)], stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        said = server.stderr.readline()
        url = next(word for word in said.split() if word.startswith("http://"))
        assert httpx.get(f"{url}/v1/models", trust_env=False).json()["data"][0]["id"] == "acme"
        os.kill(server.pid, signal.SIGINT)
        rest = server.stderr.read()
    assert server.returncode == 0
    assert "Traceback" not in rest
    assert "stopped" in rest


def test_what_the_release_recommends_is_served(release: Path, tmp_path: Path) -> None:
    shutil.copytree(release, folder := tmp_path / "release")
    write_packed(pack_network(load_model(folder), 4), folder / "int4.packed")
    facts = read_facts(folder).model_copy(update={"weights": "int4"})
    for weights, served in (("auto", "int4"), ("int8", "int8")):
        settings = ServeSettings(engine="ours", weights=weights)
        assert _open_engine(folder, settings, facts, Console(quiet=True)).precision == served


def test_the_first_start_of_several_engines_says_what_it_measured_and_the_second_nothing(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install openvino")
    monkeypatch.setattr("repotune.infer.quickest._folder", lambda: tmp_path / "engines")
    for _ in range(2):
        open_server(release, ServeSettings(port=0), console=Console()).listener.close()
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert said[0].startswith("measuring once")
    assert " serves (ours int8 " in said[1]
