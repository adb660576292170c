"""OpenVINO GenAI: python -m peers.openvino FOLDER THREADS

`prepare` writes the graph with our builder, which OpenVINO runs faster than what GenAI itself makes of a GGUF file
(int8: 104 against 75 tokens/s). Its prefix cache is on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

from peers.worker import answer_requests


def prepare(folder: Path, weights: str) -> Path:
    """The folder of the model in `folder` for OpenVINO, with weights "int8" or "int4"."""
    import openvino

    from repotune.infer.adapters.openvino_graph import build_graph
    from repotune.model.weights import load_model

    network = load_model(folder)
    model = build_graph(network.config, network.state_dict(), weights)  # type: ignore[arg-type]
    target = folder / f"openvino-{weights}"
    target.mkdir()
    openvino.save_model(model, str(target / "openvino_model.xml"), compress_to_fp16=False)
    (target / "config.json").write_bytes((folder / "config.json").read_bytes())
    return target


def open_pipeline(folder: str, threads: int) -> Callable[..., Any]:
    """A function of ids, a count and a callback that is given each token and says whether to stop."""
    import numpy as np
    import openvino
    import openvino_genai

    scheduler = openvino_genai.SchedulerConfig()
    scheduler.enable_prefix_caching, scheduler.cache_size = True, 1
    # A prompt in one piece: in pieces of the default 256 tokens it is slower.
    scheduler.max_num_batched_tokens = 2048
    pipeline = openvino_genai.LLMPipeline(folder, "CPU", INFERENCE_NUM_THREADS=threads, scheduler_config=scheduler)
    running, stopped = openvino_genai.StreamingStatus.RUNNING, openvino_genai.StreamingStatus.CANCEL

    class Streamer(openvino_genai.StreamerBase):  # type: ignore[misc]
        def __init__(self, each: Callable[[int], bool]) -> None:
            super().__init__()
            self._each = each

        def write(self, token: Any) -> Any:
            tokens = [token] if isinstance(token, int) else list(token)
            return stopped if any(self._each(one) for one in tokens) else running

        def end(self) -> None:
            pass

    def generate(ids: Sequence[int], count: int, each: Callable[[int], bool]) -> None:
        config = openvino_genai.GenerationConfig(max_new_tokens=count, ignore_eos=True, do_sample=False)
        pipeline.generate(openvino.Tensor(np.array([ids], np.int64)), config, Streamer(each))

    return generate


def main() -> None:
    folder, threads = sys.argv[1:]
    generate = open_pipeline(folder, int(threads))

    def complete(ids: Sequence[int], count: int) -> Iterator[int]:
        tokens: SimpleQueue[int | Exception] = SimpleQueue()

        def put(token: int) -> bool:
            tokens.put(token)
            return False

        def write() -> None:
            try:
                generate(ids, count, put)
            except Exception as error:
                tokens.put(error)

        thread = Thread(target=write)
        thread.start()
        for _ in range(count):
            token = tokens.get()
            if isinstance(token, Exception):
                raise token
            yield token
        thread.join()

    answer_requests(complete)


if __name__ == "__main__":
    main()
