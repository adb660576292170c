"""llama.cpp's server by the xllamacpp wheel: python -m peers.llama_cpp MODEL.gguf THREADS

Its caches are on: a slot keeps its sequence, and what leaves it goes to the cache in memory.
"""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

import xllamacpp

from peers.worker import answer_requests


def open_server(model: str, threads: int) -> xllamacpp.Server:
    """Runs while the object lives."""
    parameters = xllamacpp.CommonParams()
    parameters.model.path = model
    parameters.n_ctx, parameters.n_parallel, parameters.verbosity = 2048, 1, -1
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    return xllamacpp.Server(parameters)


def main() -> None:
    model, threads = sys.argv[1:]
    server = open_server(model, int(threads))
    address = urlsplit(server.listening_address)
    wanted = {"temperature": 0, "ignore_eos": True, "cache_prompt": True, "return_tokens": True, "stream": True}

    def complete(ids: Sequence[int], count: int) -> Iterator[int]:
        body = json.dumps({"prompt": list(ids), "n_predict": count, **wanted})
        # A connection each: the server closes one that was idle for five seconds.
        connection = http.client.HTTPConnection(str(address.hostname), address.port)
        connection.request("POST", "/completion", body, {"Content-Type": "application/json"})
        for line in connection.getresponse():
            if line.startswith(b"data: "):
                yield from json.loads(line[6:])["tokens"]
        connection.close()

    answer_requests(complete)


if __name__ == "__main__":
    main()
