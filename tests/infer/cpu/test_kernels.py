"""Vector operations against numpy, on whatever instructions this processor has, and on those of older ones."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from repotune.infer.cpu.kernels import cache, compiling, rows, tables
from repotune.infer.cpu.kernels.instructions import instruction_set
from repotune.infer.cpu.kernels.tables import address_of

_ERROR_FUNCTION = np.vectorize(math.erf)
X = np.concatenate([np.linspace(-12, 12, 1024), np.geomspace(1e-6, 1, 64)]).astype(np.float32)


@pytest.mark.parametrize(
    ("kind", "exact"),
    [
        (tables.GELU, lambda x: 0.5 * x * (1 + _ERROR_FUNCTION(x / math.sqrt(2)))),
        (tables.GELU_TANH, lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
        (tables.SWIGLU, lambda x: x / (1 + np.exp(-x)) * x),
    ],
    ids=["gelu", "gelu by tanh", "swiglu"],
)
def test_activations(kind: int, exact: Callable[[np.ndarray], np.ndarray]) -> None:
    out = np.zeros_like(X)
    given = np.concatenate([X, X])
    rows.activate(address_of(given), len(X), kind, address_of(out))
    np.testing.assert_allclose(out, exact(X.astype(np.float64)), rtol=2e-6, atol=2e-6)


_DOT = """
import sys
import numpy as np
from repotune.infer.cpu.kernels import instructions
instructions.instruction_set = lambda: sys.argv[1]
import numba
from repotune.infer.cpu.kernels import simd
from repotune.infer.cpu.kernels.tables import address_of
load = simd.operation(simd.integers, (numba.types.int64,), lambda builder, at: builder.load(
    builder.inttoptr(at, simd.integers.llvm.as_pointer()), align=1))
dot4 = simd.operation(simd.integers, (simd.integers,) * 3, instructions.emit_dot4)

@numba.njit
def run(weights, activations):
    total = dot4(load(weights), load(weights), load(activations))
    return simd.total_of(dot4(total, load(weights), load(activations)))

weights = np.random.default_rng(0).integers(0, 256, 64, dtype=np.uint8)
weights[:8] = 255
activations = np.random.default_rng(1).integers(-127, 128, 64, dtype=np.int8)
activations[:8] = -127
begun = int(weights.view(np.int32).astype(np.int64).sum())
expected = begun + 2 * int((weights.astype(int) * activations).sum())
assert np.int32(np.int64(run(address_of(weights), address_of(activations)))) == np.array(expected).astype(np.int32)
"""

_PAIRS = """
import sys
import numpy as np
from repotune.infer.cpu.kernels import instructions
if sys.argv[1] == "without":
    instructions.has_dot2 = lambda: False
import numba
from repotune.infer.cpu.kernels import simd
from repotune.infer.cpu.kernels.tables import address_of

@numba.njit
def run(numbers, rounded, out):
    for at in range(0, 2048, 64):
        simd.store_rounded(rounded + at // 2, simd.load(numbers + at))
    total = simd.fill(np.float32(0))
    for at in range(0, 512, 64):
        total = simd.dot2(total, simd.load_pairs(rounded + at), simd.fill_pair(rounded + 512 + at // 16))
    simd.store(out, total)

numbers = np.random.default_rng(0).normal(size=512).astype(np.float32)
rounded, out = np.zeros(512, np.uint16), np.zeros(16, np.float32)
run(address_of(numbers), address_of(rounded), address_of(out))
read = (rounded.astype(np.uint32) << 16).view(np.float32)
assert (abs(read - numbers) <= abs(numbers) / 256).all()
pairs, others = read[:256].reshape(8, 16, 2).astype(float), read[256:272].reshape(8, 1, 2).astype(float)
np.testing.assert_allclose(out, (pairs * others).sum((0, 2)), rtol=1e-5, atol=1e-5)
print(out.tolist())
"""


def test_pairs_of_bfloat16_are_multiplied_with_and_without_an_instruction() -> None:
    def out(how: str) -> str:
        done = subprocess.run([sys.executable, "-c", _PAIRS, how], capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert out("with") == out("without")


@pytest.mark.parametrize("kind", ["avx512-vnni", "avx-vnni", "portable"])
def test_every_way_of_multiplying_bytes_is_exact(kind: str) -> None:
    if "vnni" in kind and instruction_set() != "avx512-vnni":
        pytest.skip("this processor has no such instructions")
    done = subprocess.run([sys.executable, "-c", _DOT, kind], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr


def test_kernels_of_old_versions_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    old, new = (tmp_path / "repotune" / f"kernels-{name}" for name in ("old", "new"))
    for folder in (old, new):
        (folder / "kept").mkdir(parents=True)
    os.utime(old, (0, 0))
    found = cache.cache_folder.__wrapped__()
    assert found is not None
    assert found.parent == new.parent
    assert (found.is_dir(), new.is_dir(), old.is_dir()) == (True, True, False)


def test_a_function_called_with_constants_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "cache_folder", lambda: None)  # as at a first start

    @compiling.compiled
    def inner(x: int, y: int) -> int:
        return x * y

    @compiling.compiled
    def outer(x: int) -> int:
        return inner(x, 2) + inner(x, 3) + inner(x, x)

    assert outer(4) == 36
    assert len(inner.signatures) == 1  # type: ignore[attr-defined]


def test_compiling_loads_nobody_elses_packages() -> None:
    code = (
        "import sys, numpy\n"
        "from repotune.infer.cpu.kernels import rows, tables\n"
        "from repotune.infer.cpu.kernels.tables import address_of\n"
        "x = numpy.ones(32, numpy.float32)\n"
        "rows.activate(address_of(x), 16, tables.GELU, address_of(x))\n"
        "assert not {'awkward', 'pyarrow'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
