"""A pass in stages, as it is, or each stage compiled.

Inductor computes what stands before a sum again for each of its results: 12,288 activations for each of 3,072 outputs,
the norm for each row of a matrix, the exponents of attention for each column of the values. At one row a product takes
as long as reading its weights, and has no time for that. So every product begins a stage, and what it multiplies is
there. One layer's stages serve all layers, since weights are arguments; a graph takes the launches from what is
compiled in pieces. For replit-code-v1.5-3b at one row in int8 that is 12 kernels a layer, by count in Inductor's code
for an H100, and 4 of them read the layer's weights as bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from repotune.infer.gpu.model import GpuModel, Layer
from repotune.infer.gpu.places import Held, Parts, Rows

# For a GPU. Products of one row are taken apart only where coordinate descent tunes the kernel, and int8 weights are
# converted within a product of several rows only where products are chosen by trial (torch/_inductor/decomposition.py
# and scheduler.py), which Inductor does on GPUs of 68 multiprocessors and more.
INDUCTOR: dict[str, Any] = {"coordinate_descent_tuning": True, "max_autotune_gemm": True}


class Stages(NamedTuple):
    """The functions of a pass, in the order of their first use."""

    begin: Callable[[GpuModel, Tensor], tuple[Tensor, Rows]]
    enter: Callable[[Layer, Tensor], Tensor]
    project: Callable[[Layer, Tensor, Rows | Parts, Held], Tensor]
    weigh: Callable[[Rows, Tensor, Held], Tensor]
    mix: Callable[[Rows, Tensor, Held], Tensor]
    add: Callable[[Layer, Tensor, Tensor], tuple[Tensor, Tensor]]
    feed: Callable[[Layer, Tensor], Tensor]
    leave: Callable[[Layer, Tensor, Tensor], Tensor]
    end: Callable[[GpuModel, Tensor], Tensor]
    logits: Callable[[GpuModel, Tensor], Tensor]

    def layer(self, layer: Layer, x_RD: Tensor, place: Rows | Parts, held: Held) -> Tensor:
        """The stream behind `layer`; the rows' keys and values are in `held` from then on."""
        query_RKGE = self.project(layer, self.enter(layer, x_RD), place, held)
        if isinstance(place, Rows):
            mixed_RD = self.mix(place, self.weigh(place, query_RKGE, held), held)
        else:
            mixed_RD = place.attend(query_RKGE, held)
        x_RD, normed_RD = self.add(layer, x_RD, mixed_RD)
        return self.leave(layer, x_RD, self.feed(layer, normed_RD))

    def finish(self, model: GpuModel, x_RD: Tensor) -> Tensor:
        """Logits R×V (float32) of the stream behind the last layer."""
        return self.logits(model, self.end(model, x_RD))

    def compiled(self, backend: str, device: torch.device) -> Stages:
        """Each stage whole and for fixed shapes, by a backend of torch.compile."""
        options = INDUCTOR if backend == "inductor" and device.type == "cuda" else None

        def compiled(stage: Any) -> Any:
            return torch.compile(stage, fullgraph=True, dynamic=False, backend=backend, options=options and {**options})

        return Stages(*map(compiled, self))


PLAIN = Stages(
    GpuModel.begin,
    Layer.enter,
    Layer.project,
    Rows.weigh,
    Rows.mix,
    Layer.add,
    Layer.feed,
    Layer.leave,
    GpuModel.end,
    GpuModel.logits,
)
