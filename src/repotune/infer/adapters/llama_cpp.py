"""llama.cpp by its wheel (xllamacpp) as a TextEngine: its server on the loopback, in this process.

    async with open_llama_cpp(Path("release/model-Q8_0.gguf"), load_codec(Path("release"))) as engine:
        async for piece in engine.complete(TextRequest(prefix, suffix, max_tokens=64)): ...

The wheel has no door to logits, so this is no Engine. It takes our ids, suffix first, and keeps what it computed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from repotune.core.errors import UserError
from repotune.infer.adapters.remote import RemoteEngine
from repotune.tokenizer.encoding import Codec


@asynccontextmanager
async def open_llama_cpp(
    model: Path, codec: Codec, context: int = 2048, threads: int | None = None, sequences: int = 1
) -> AsyncIterator[RemoteEngine]:
    """The GGUF file `model`, whose tokenizer is `codec`; `sequences` are decoded together, each of `context` tokens.

    The server ends with the block. Raises UserError without xllamacpp, and where the file cannot be loaded.
    """
    if find_spec("xllamacpp") is None:
        raise UserError("llama.cpp is not installed.", "pip install xllamacpp")
    if not model.is_file():
        raise UserError(f"There is no {model}.", "repotune run writes GGUF files where release.gguf names them")
    xllamacpp = import_module("xllamacpp")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(model)
    parameters.n_ctx, parameters.n_parallel, parameters.verbosity = context * sequences, sequences, -1
    if threads is not None:
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    try:
        server = xllamacpp.Server(parameters)
    except (RuntimeError, ValueError) as error:
        raise UserError(f"llama.cpp cannot load {model}: {error}.") from error
    engine = RemoteEngine(server.listening_address, model.name, codec, context)
    try:
        yield engine
    finally:
        await engine.close()
        del server  # which ends it
