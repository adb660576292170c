"""The README's commands run as they are written, and its file tree is the tree."""

import os
import re
import socket
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PATIENCE_SECONDS = 420


def commands(heading: str) -> list[str]:
    """The lines of the first console block under `heading`, comments cut."""
    section = README.split(f"## {heading}\n", 1)[1]
    match = re.search(r"```console\n(.*?)```", section, re.DOTALL)
    assert match, f"no console block under {heading}"
    return [line.split("  #")[0].strip() for line in match[1].splitlines() if line.strip()]


def environment(home: Path) -> dict[str, str]:
    scripts = Path(sys.executable).parent
    return {**os.environ, "HOME": str(home), "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}


def run(command: str, folder: Path, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-ceu", command],
        cwd=folder,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def make_repository(folder: Path, packages: tuple[str, ...]) -> None:
    library = Path(sysconfig.get_paths()["stdlib"])
    folder.mkdir(parents=True)
    git(folder, "init")
    for package in packages:
        for source in sorted((library / package).glob("*.py")):
            (folder / package).mkdir(exist_ok=True)
            (folder / package / source.name).write_bytes(source.read_bytes())
    git(folder, "add", ".")
    git(folder, "commit", "-m", "All of it")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_the_two_commands_of_a_newcomer_are_the_makefiles() -> None:
    assert commands("Two commands") == ["make demo", "make test"]
    done = subprocess.run(["make", "-n", "demo", "test"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ".venv/bin/repotune demo" in done.stdout
    assert ".venv/bin/pytest" in done.stdout
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("make test")


@pytest.mark.timeout(PATIENCE_SECONDS + 60)
def test_the_demo_runs_on_the_whole_standard_library_and_then_skips_what_is_done(tmp_path: Path) -> None:
    # The README's demo trains for four minutes; a quarter of a minute takes the same way.
    command = "repotune demo --hours 0.004"
    first = run(command, tmp_path, tmp_path)
    assert "asked over HTTP" in first.stderr
    assert (tmp_path / "repotune-demo" / "work" / "report" / "report.html").stat().st_size > 10_000
    started = time.monotonic()
    second = run(command, tmp_path, tmp_path)
    assert second.stderr.count("done before") == 10
    assert time.monotonic() - started < 60


@pytest.mark.timeout(PATIENCE_SECONDS + 60)
def test_the_commands_for_your_own_code_run_as_written(tmp_path: Path) -> None:
    make_repository(tmp_path / "src" / "api", ("json", "email", "http"))
    make_repository(tmp_path / "src" / "web", ("logging", "html", "wsgiref"))
    lines = commands("Your own code")
    assert lines[0].startswith("repotune init") and lines[-1] == "repotune serve"
    for line in lines[:-1]:
        run(line, tmp_path, tmp_path)
        if line.startswith("repotune init"):
            port = free_port()
            config = tmp_path / "repotune.toml"
            shorter = re.sub(r"hours = .*", "hours = 0.002", config.read_text())
            config.write_text(f"{shorter}\n[evaluate]\nitems = 10\n[serve]\nport = {port}\n")
    with subprocess.Popen(
        ["bash", "-ceu", f"exec {lines[-1]}"], cwd=tmp_path, env=environment(tmp_path), stderr=subprocess.PIPE
    ) as server:
        try:
            answer = ask(port)
        finally:
            server.terminate()
            server.communicate(timeout=60)
    assert answer["choices"][0]["finish_reason"] in ("stop", "length")


def ask(port: int) -> dict[str, list[dict[str, str]]]:
    """A completion from the server, once it is up."""
    body = {"prompt": "def parse(", "suffix": "\n    return value\n", "max_tokens": 8}
    deadline = time.monotonic() + 60
    while True:
        try:
            response = httpx.post(f"http://127.0.0.1:{port}/v1/completions", json=body, timeout=60)
            response.raise_for_status()
            data: dict[str, list[dict[str, str]]] = response.json()
            return data
        except httpx.ConnectError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_the_file_tree_is_the_tree() -> None:
    block = re.search(r"```text\nrepotune/\n(.*?)```", README, re.DOTALL)
    assert block, "the README has no file tree"
    named: set[str] = set()
    stack: list[str] = []
    for line in block[1].splitlines():
        entry = line.strip().split("  ")[0]
        depth = (len(line) - len(line.lstrip())) // 2
        stack[depth - 1 :] = [entry]
        named.add("".join(stack))
    for name in named:
        path = ROOT / name
        assert path.is_dir() if name.endswith("/") else path.is_file(), f"{name} is in the README and not here"
    rooms = {f"src/repotune/{path.parent.name}/" for path in (ROOT / "src" / "repotune").glob("*/__init__.py")}
    assert rooms <= named, "each room has its line"
