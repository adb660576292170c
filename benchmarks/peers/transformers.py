"""transformers in bfloat16, as its documentation shows: python -m peers.transformers FOLDER THREADS

Its cache of a prompt is not kept between requests, since `generate` does not.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from peers.worker import answer_requests


def main() -> None:
    import torch
    import transformers

    folder, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)

    @torch.inference_mode()
    def complete(ids: Sequence[int], count: int) -> Iterator[int]:
        output = model(torch.tensor([ids]), use_cache=True, logits_to_keep=1)
        for place in range(count):
            token = output.logits[0, -1].argmax()
            yield int(token)
            if place < count - 1:
                output = model(token.view(1, 1), past_key_values=output.past_key_values, use_cache=True)

    answer_requests(complete)


if __name__ == "__main__":
    main()
