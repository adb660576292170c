"""A server to type at, in a process of its own: python -m peers.serving {ours|llama.cpp|openvino} MODEL THREADS

It says {"url": …} when it listens. All three take llama.cpp's /infill.
"""

from __future__ import annotations

import json
import os
import select
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from peers.worker import say_ready

PROMPT_ROOM = 2032


def serve_ours(model: str, threads: int) -> None:
    """The real server, as `repotune serve` opens it."""
    from repotune.core.settings import ServeSettings
    from repotune.serve.run import open_server

    # It takes as many threads as it may run on.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    bound = open_server(Path(model), ServeSettings(port=0, engine="ours"))
    say_ready({"url": bound.url})
    bound.run()


def serve_llama_cpp(model: str, threads: int) -> None:
    from peers.llama_cpp import open_server

    server = open_server(model, threads)
    say_ready({"url": server.listening_address})
    threading.Event().wait()


def serve_openvino(model: str, threads: int) -> None:
    """OpenVINO GenAI has no server: the least HTTP around it, with our tokenizer and our suffix-first prompt."""
    from peers.openvino import open_pipeline
    from repotune.infer.prompts import infilling_prompt
    from repotune.tokenizer.encoding import load_codec

    generate, codec = open_pipeline(model, threads), load_codec(Path(model).parent)
    alone = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            ids = infilling_prompt(codec, asked["input_prefix"], asked["input_suffix"], "", PROMPT_ROOM)
            tokens: list[int] = []

            def each(token: int) -> bool:
                tokens.append(token)
                return self._gone()

            with alone:
                if not self._gone():
                    generate(ids, asked["n_predict"], each)
            self._send({"content": codec.decode(tokens), "tokens_predicted": len(tokens)})

        def _gone(self) -> bool:
            """Whether the client has closed the connection: nothing else comes while it waits."""
            return bool(select.select([self.connection], [], [], 0)[0])

        def _send(self, answer: dict[str, Any]) -> None:
            data = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_parts: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    say_ready({"url": f"http://127.0.0.1:{server.server_address[1]}"})
    server.serve_forever()


def main() -> None:
    which, model, threads = sys.argv[1:]
    {"ours": serve_ours, "llama.cpp": serve_llama_cpp, "openvino": serve_openvino}[which](model, int(threads))


if __name__ == "__main__":
    main()
