"""The kernels without their compiler: compiled once by another process, loaded from a file, damaged or not."""

from __future__ import annotations

import ctypes
import os
import platform
import random
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from repotune.core.errors import UserError
from repotune.infer.cpu import threads
from repotune.infer.cpu.engine import cpu_engine
from repotune.infer.cpu.kernels import cache, forward, native
from repotune.infer.cpu.kernels.object_code import load_object
from repotune.infer.cpu.packing import pack_network
from repotune.model.weights import load_model

pytestmark = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="elsewhere numba loads what it compiled"
)


@pytest.fixture(scope="module")
def code() -> bytes:
    """The object file of this machine."""
    native.open_kernels()
    path = native._path()
    assert path is not None
    return path.read_bytes()[native._SEAL :]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, with no memory of another."""
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path)
    return tmp_path


def test_they_compute_the_bits_that_numba_computes(llama_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, ids = pack_network(load_model(llama_folder), 8), random.Random(3).choices(range(1024), k=400)
    given = cpu_engine(model, 2).prefill(ids)
    monkeypatch.setattr(threads, "open_kernels", lambda: native.Kernels(forward.lead, forward.help_out))
    np.testing.assert_array_equal(given, cpu_engine(model, 2).prefill(ids))


def test_other_machines_let_numba_load_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native.platform, "machine", lambda: "aarch64")
    assert native.open_kernels.__wrapped__() == native.Kernels(forward.lead, forward.help_out)
    assert native.are_compiled()


def test_an_engine_loads_neither_compiler_nor_torch(llama_folder: Path, tmp_path: Path) -> None:
    from repotune.infer.cpu.packed import packed_name, write_packed

    write_packed(pack_network(load_model(llama_folder), 8), tmp_path / packed_name(8))
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from repotune.infer.opening import open_engine\n"
        "open_engine(Path(sys.argv[1])).prefill([1, 2, 3])\n"
        "assert not {'numba', 'llvmlite', 'torch', 'scipy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr


def test_a_damaged_file_is_made_anew(folder: Path, code: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is in the cache: nothing but what its own sum confirms is run."""
    built = []
    monkeypatch.setattr(native, "_build", lambda path: built.append(path) or code)
    path = native._path()
    assert path is not None
    for content in (b"", native.sealed(code)[:-1], native.sealed(code)[:-1] + b"x", code):
        path.write_bytes(content)
        assert not native.are_compiled()
        assert native._object() == code
    assert built == [path] * 4
    path.write_bytes(native.sealed(code))
    assert native.are_compiled()
    assert native._object() == code
    assert built == [path] * 4


def test_of_two_that_start_at_once_one_compiles(folder: Path, code: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    built = []

    def build(path: Path) -> bytes:
        built.append(path)
        path.write_bytes(native.sealed(code))
        return code

    monkeypatch.setattr(native, "_build", build)
    with ThreadPoolExecutor(4) as pool:
        assert [each.result() for each in [pool.submit(native._object) for _ in range(4)]] == [code] * 4
    assert len(built) == 1


def test_where_nothing_can_be_kept_they_are_compiled_each_time(code: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "cache_folder", lambda: None)
    monkeypatch.setattr(native, "_build", lambda path: code if path.parent.is_dir() else b"")
    assert not native.are_compiled()
    assert native._object() == code


def test_what_the_compiler_says_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native.sys, "executable", "/bin/false")
    with pytest.raises(UserError, match="cannot be compiled: exit 1"):
        native._object()


def test_functions_are_found_by_name_and_run(code: bytes) -> None:
    """A team that ends at once: `help_out` answers False."""
    addresses = load_object(code)
    assert set(addresses) == set(native.ENTRIES)
    state = np.zeros(64, np.int64)
    state[48] = 1  # HALT
    result, raised = ctypes.c_uint8(7), ctypes.c_void_p()
    function = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 4)(addresses["help_out"])
    assert function(ctypes.addressof(result), ctypes.addressof(raised), 1, state.ctypes.data, 0, 0) == 0
    assert result.value == 0


@pytest.mark.parametrize("seed", range(20))
def test_a_file_cut_short_is_refused(code: bytes, seed: int) -> None:
    with pytest.raises(ValueError, match="cut short"):
        load_object(code[: random.Random(seed).randrange(64, len(code))])


def test_what_is_not_known_is_refused(code: bytes) -> None:
    with pytest.raises(ValueError, match="no object file of x86-64"):
        load_object(b"#!/bin/sh\n" + code)
    with pytest.raises(ValueError, match="no object file of x86-64"):
        load_object(code[:18] + struct.pack("<H", 183) + code[20:])  # ARM's
    with pytest.raises(ValueError, match="damaged"):  # no section is a table of symbols
        load_object(code[:60] + struct.pack("<H", 2) + code[62:])
    with pytest.raises(ValueError, match="there is no sched_yielp"):
        load_object(code.replace(b"sched_yield\0", b"sched_yielp\0"))


def test_memory_of_code_cannot_be_written(code: bytes) -> None:
    address = load_object(code)["lead"]
    for line in Path("/proc/self/maps").read_text().splitlines():
        first, last = (int(end, 16) for end in line.split()[0].split("-"))
        if first <= address < last:
            assert line.split()[1] == "r-xp"
            return
    pytest.fail("the code lies nowhere")


HASWELL = "+sse4.2,+popcnt,+cx16,+avx,+avx2,+fma,+f16c,+bmi,+bmi2,+lzcnt,+movbe"


@pytest.mark.parametrize("bits", [8, 4])
def test_a_processor_with_avx2_alone_computes_the_same_bits(
    older: native.Kernels, llama_folder: Path, bits: Literal[8, 4], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums within a group are exact and all others in the same order, so that they do not depend on the machine."""
    model, ids = pack_network(load_model(llama_folder), bits), random.Random(4).choices(range(1024), k=300)
    given = cpu_engine(model, 2).prefill(ids)
    monkeypatch.setattr(threads, "open_kernels", lambda: older)
    engine = cpu_engine(model, 2)
    np.testing.assert_array_equal(engine.prefill(ids), given)
    np.testing.assert_array_equal(engine.extend(ids[:3])[-1], cpu_engine(model, 1).prefill(ids + ids[:3]))


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> native.Kernels:
    """What a laptop of 2013 would compile. In a cache of its own: numba keeps parts by their sources alone."""
    folder = tmp_path_factory.mktemp("older")
    environment = {"XDG_CACHE_HOME": str(folder), "NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": HASWELL}
    command = [sys.executable, "-m", "repotune.infer.cpu.kernels.building", str(folder / "kernels.o")]
    subprocess.run(command, env=os.environ | environment, check=True, timeout=250)
    code = (folder / "kernels.o").read_bytes()[native._SEAL :]
    addresses = load_object(code)
    return native.Kernels(**{name: native._callable(addresses[name], longs) for name, longs in native.ENTRIES.items()})


def test_an_older_processor_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "cpu_flags", lambda: {"sse4_2", "avx"})
    with pytest.raises(UserError, match="need a processor with AVX2"):
        native.open_kernels.__wrapped__()


def test_it_is_built_by_a_process_that_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As at the first start on a machine; what numba keeps of the parts makes it seconds here. Started in a folder of
    somebody's, whose files are not the standard library's."""
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "types.py").write_text("raise SystemExit('this is not the one')")
    monkeypatch.chdir(tmp_path / "here")
    path = tmp_path / "kernels.o"
    assert set(load_object(native._build(path))) == set(native.ENTRIES)
    assert {each.name for each in tmp_path.iterdir()} == {"here", "kernels.o"}
