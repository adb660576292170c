"""The same sandbox where an ordinary user runs it: a user namespace maps the uid, and no right of root's is needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import repotune
from repotune.evaluate.sandbox.confinement import Level
from repotune.evaluate.sandbox.probe import probe

SOURCES = Path(repotune.__file__).parents[1]
ATTACKS = Path(__file__).with_name("attacks.toml")

# Root becomes an ordinary user in a root file system that holds this Python, since it may lie in a folder of root's.
USER = """
import json, os, sys
sources, environment, prefix, attacks, folder = sys.argv[1:]
sys.path.insert(0, sources)
from repotune.evaluate.sandbox import kernel, root
if os.geteuid() == 0:
    kernel.unshare(kernel.CLONE_NEWNS)
    os.chown(folder, 61000, 61000)
    root.build_root([sources, environment, prefix, attacks, "/etc"], [folder], proc=True, scratch=True)
    os.setgroups([])
    os.setresgid(61000, 61000, 61000)
    os.setresuid(61000, 61000, 61000)
import tempfile, tomllib
from pathlib import Path
from repotune.evaluate.sandbox.command import run_command
from repotune.evaluate.sandbox.execution import Limits
from repotune.evaluate.sandbox.probe import probe
from repotune.evaluate.sandbox.python import PythonProgram, PythonSandbox

told = {"uid": os.geteuid(), "level": probe().level, "missing": probe().missing}
forging = tomllib.loads(Path(attacks).read_text())["forging"]
quick = [each for name, each in forging.items() if name not in ("sleep past the limit", "stop itself", "another json")]
programs = [PythonProgram(each, "assert answer() == 42") for each in quick]
control = PythonProgram("def f():\\n    import csv, os\\n    return os.getuid()", f"assert f() == {os.geteuid()}")
killer = PythonProgram(
    "import os\\ndef answer():\\n    os.kill(os.getppid(), 9)\\n    return 1", "assert answer() == 42")
bomb = PythonProgram(
    "import os\\ndef answer():\\n    try:\\n        while True:\\n            if os.fork() == 0:\\n"
    "                while True: pass\\n    except OSError: return 'bounded'", "assert answer() == 'bounded'")
left = PythonProgram("import os\\ndef f():\\n    os.mkdir('a', 0)\\n    return os.listdir('.')", "assert f() == ['a']")
rights = PythonProgram(
    "import ctypes\\ndef f():\\n    libc = ctypes.CDLL(None)\\n    return libc.mount(b'x', b'/tmp', b'tmpfs', 0, None)",
    "assert f() == -1")
for level in [each for each in (2, 3) if each <= probe().level]:
    with PythonSandbox(level, Limits(cpu_seconds=1, wall_seconds=5), workers=2) as sandbox:
        first = [each.verdict for each in sandbox.run([control, left, left, rights, control])]
        forged = [each.verdict for each in sandbox.run(programs)]
        told[str(level)] = {"control": first, "forged": forged}
        if level == 3:
            told["3"]["held"] = [each.verdict for each in sandbox.run([killer, bomb, control])]
    with tempfile.TemporaryDirectory(dir=folder) as place:
        finished = run_command(
            ["sh", "-c", "echo x > new && cat new; cat /etc/passwd; id -u"],
            Path(place), level=level, limits=Limits(), environment={})
        told[str(level)]["command"] = finished.output
print(json.dumps(told))
"""


@pytest.mark.skipif(probe().level < Level.FULL, reason=f"this machine only reaches {probe().level.name}")
def test_an_ordinary_user_is_held_as_well() -> None:
    with tempfile.TemporaryDirectory() as folder:
        arguments = [SOURCES, Path(sys.prefix), Path(sys.base_prefix), ATTACKS, folder]
        command = [sys.executable, "-c", USER, *map(str, arguments)]
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=120, env={**os.environ, "TMPDIR": folder}
        )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["uid"] != 0
    if told["level"] < Level.FULL and "namespace" in str(told["missing"]):
        pytest.skip(f"users have no namespaces here: {told['missing']}")
    assert told["level"] == Level.FULL
    assert told["3"]["control"] == ["passed"] * 5
    assert told["3"]["held"] == ["failed", "passed", "passed"]
    for level in ("2", "3"):
        assert set(told[level]["control"]) == {"passed"}
        assert {"passed", "harness error"}.isdisjoint(told[level]["forged"])
        assert told[level]["command"].startswith("x\n")
        assert "root:" not in told[level]["command"]
