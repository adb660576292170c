"""The kernels that run a pass, as one object file: what `native.py` has made by a process that ends.

python -m repotune.infer.cpu.kernels.building FILE
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numba

from repotune.core.artefact import write_bytes_atomically
from repotune.infer.cpu.kernels.forward import help_out, lead
from repotune.infer.cpu.kernels.instructions import processor
from repotune.infer.cpu.kernels.native import ENTRIES, sealed


def build() -> bytes:
    """An ELF object in which the functions of `ENTRIES` can be found by their names, with all that they call.

    It is what numba compiles for itself, but for the functions by which Python would call it. In the large code model
    every reference is an absolute address, which `object_code.py` can fill in.
    """
    module, *others = [_compiled(name, function) for name, function in (("lead", lead), ("help_out", help_out))]
    for other in others:
        module.link_in(other)
    for value in (*module.functions, *module.global_variables):
        if not value.is_declaration and value.name not in ENTRIES:
            value.linkage = "internal"
    name, features = processor()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    machine = target.create_target_machine(name, features, opt=3, reloc="static", codemodel="large")
    manager = llvm.create_new_module_pass_manager()
    manager.add_global_dead_code_eliminate_pass()
    manager.run(module, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options()))
    code: bytes = machine.emit_object(module)
    return code


def _compiled(name: str, function: Callable[..., Any]) -> llvm.ModuleRef:
    """LLVM's own text of an entry, under that name; numba does not keep the text of what it finds on disk."""
    types = (numba.types.int64,) * ENTRIES[name]
    fresh: Any = numba.njit(nogil=True, error_model="numpy")(function.py_func)  # type: ignore[attr-defined]
    fresh.compile(types)
    made = fresh.overloads[types]
    module = llvm.parse_assembly(made.library.get_llvm_str())
    module.get_function(made.fndesc.llvm_func_name).name = name
    return module


if __name__ == "__main__":
    write_bytes_atomically(Path(sys.argv[1]), sealed(build()))
