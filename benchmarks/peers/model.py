"""The model that all are measured with: random weights in the ladder's 125M shape, a vocabulary of real code.

Quality is not measured, and random weights are as fast as any. They are large enough that logits are no near ties.
Special tokens and line ends have logits of zero, and so are never the likeliest: every greedy answer is as many tokens
of one line as were asked for, and no engine gets away with fewer.
"""

from __future__ import annotations

import json
import sysconfig
from pathlib import Path
from typing import get_args

import torch

from repotune.infer.cpu.packed import Bits, packed_name, write_packed
from repotune.infer.cpu.packing import pack_network
from repotune.model.configuration import ModelConfig, ladder
from repotune.model.network import Network
from repotune.model.weights import save_model
from repotune.release.gguf import GgufType, gguf_path, write_gguf
from repotune.tokenizer.encoding import Codec, load_codec
from repotune.tokenizer.layout import SPECIAL_TOKENS, vocabulary_of, write_vocabulary
from repotune.tokenizer.vocabulary import train_bpe

LIBRARY = Path(sysconfig.get_paths()["stdlib"])
VOCABULARY = 32_768


def make_model(folder: Path, ggufs: tuple[GgufType, ...] = ("q8_0", "q4_0")) -> Codec:
    """Writes a release's folder, 125M parameters at a context of 2048: packed weights and the GGUF files `ggufs`."""
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir()
    texts = (path.read_text(encoding="utf-8") for path in library_files()[:400])
    write_vocabulary(tokenizer, vocabulary_of(train_bpe(texts, VOCABULARY - len(SPECIAL_TOKENS))))
    codec = load_codec(tokenizer)
    network = random_network(ladder("125m", codec.size, 2048))
    with torch.no_grad():
        network.embedding.weight[[token for token in range(codec.size) if _ends_a_line(codec, token)]] = 0
    save_model(folder, network, tokenizer)
    for bits in get_args(Bits):
        write_packed(pack_network(network, bits), folder / packed_name(bits))
    for kind in ggufs:
        write_gguf(folder, gguf_path(folder, kind), kind, "benchmark")
    facts = {"name": "benchmark", "parameters": 0, "context": 2048, "licences": {}, "languages": {}, "verdict": ""}
    (folder / "release.json").write_text(json.dumps(facts))
    return codec


def _ends_a_line(codec: Codec, token: int) -> bool:
    return token in codec.special or b"\n" in codec.decode_bytes([token])


def library_files() -> list[Path]:
    """The standard library's files without its tests, in order."""
    apart = {"site-packages", "test", "tests"}
    return sorted(path for path in LIBRARY.glob("**/*.py") if not apart & set(path.relative_to(LIBRARY).parts))


def random_network(shape: ModelConfig) -> Network:
    """Not as training begins: there, what blocks add is nothing."""
    torch.manual_seed(0)
    network = Network(shape)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(*((0.0, 0.02) if parameter.dim() > 1 else (1.0, 0.1)))
    return network
