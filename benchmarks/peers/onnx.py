"""ONNX Runtime GenAI: python -m peers.onnx FOLDER

A prompt that extends the last one is appended to it, as its documentation shows (`rewind_to`).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path

from peers.process import PeerFailed
from peers.worker import answer_requests


def prepare(folder: Path, threads: int) -> Path:
    """The folder of the model in `folder` as its model builder makes it: int4, products in int8 (its default)."""
    target = folder / "onnx-int4"
    command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-i", str(folder), "-o", str(target)]
    made = subprocess.run([*command, "-p", "int4", "-e", "cpu"], capture_output=True, text=True, check=False)
    if made.returncode:
        raise PeerFailed(f"ONNX Runtime: {made.stderr.strip().splitlines()[-1]}")
    path = target / "genai_config.json"
    config = json.loads(path.read_text())
    config["model"]["decoder"]["session_options"]["intra_op_num_threads"] = threads
    path.write_text(json.dumps(config))
    return target


def main() -> None:
    import onnxruntime_genai

    model = onnxruntime_genai.Model(sys.argv[1])
    parameters = onnxruntime_genai.GeneratorParams(model)
    parameters.set_search_options(max_length=2048, do_sample=False)
    generator = onnxruntime_genai.Generator(model, parameters)

    def complete(ids: Sequence[int], count: int) -> Iterator[int]:
        held = generator.get_sequence(0).tolist() if generator.token_count() else []
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(held, ids[:-1], strict=False)))
        generator.rewind_to(shared)
        generator.append_tokens(list(ids[shared:]))
        for _ in range(count):
            generator.generate_next_token()
            yield generator.get_next_tokens()[0]

    answer_requests(complete)


if __name__ == "__main__":
    main()
