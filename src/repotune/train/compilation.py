"""Whether torch.compile pays: it saves a share of every step and costs its own time before the first."""

from __future__ import annotations

import shutil

from repotune.train.plan import TrainPlan

# Compiled steps take 0.98 of the eager ones' CPU time (10M parameters, bf16, AVX-512, attention by blocks); compiling
# takes 25–60 s, so an hour is where it begins to pay on a CPU. What a GPU gains is not measured here.
_LEAST_SECONDS = 3600.0
# A sustained rate of training on one core in bf16, the same everywhere so that the decision does not depend on what
# else the machine does: 130 GFLOP/s measured.
_CORE_FLOPS = 130e9


def compilation_pays(plan: TrainPlan, threads: int) -> tuple[bool, str]:
    """(decision, reason in words). Pure but for the look for a compiler, which inductor needs on a CPU."""
    if plan.device == "cpu" and not (shutil.which("g++") or shutil.which("clang++")):
        return False, "steps are not compiled: there is no C++ compiler"
    seconds = plan.tokens * plan.model.flops_per_token(plan.sequence) / (_CORE_FLOPS * threads)
    if plan.device == "cpu" and seconds < _LEAST_SECONDS:
        return False, "steps are not compiled: the run is too short for it to pay"
    return True, "steps are compiled, which takes up to a minute at the start"
