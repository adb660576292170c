"""llama.cpp runs our GGUF files: the same greedy tokens, and the same ids for source code."""

from __future__ import annotations

import json
import sysconfig
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
import xllamacpp

from repotune.infer.opening import open_engine
from repotune.infer.prompts import infilling_prompt
from repotune.model.configuration import ModelConfig
from repotune.release.gguf import write_gguf
from repotune.tokenizer.bpe import train_bpe
from repotune.tokenizer.encoding import Codec, load_codec
from repotune.tokenizer.layout import SPECIAL_TOKENS, vocabulary_of, write_vocabulary
from repotune.tokenizer.patterns import GPT_2, STARCODER

COUNT = 24
SHAPE = {"width": 64, "layers": 2, "heads": 4, "kv_heads": 2, "hidden": 128, "context": 512}
FAMILIES = {
    "llama 3.1": dict(SHAPE, rope_factor=8.0, rope_trained=64),
    "qwen2": dict(SHAPE, biases="qkv"),
    "starcoder2": dict(SHAPE, norm="layer", activation="gelu-tanh", biases="all", tied=False),
    "mpt": dict(SHAPE, norm="layer", position="alibi", activation="gelu", kv_heads=4, hidden=256),
    "mpt with 12 grouped heads": dict(
        SHAPE, norm="layer", position="alibi", activation="gelu", width=96, heads=12, kv_heads=4, hidden=384
    ),
}
OTHER_PATTERNS = {
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "gpt-2": GPT_2,
    "starcoder": STARCODER,
}
AWKWARD = [
    "def f(x):\n    return 1234567\n",
    "\tif (a!=b) { ++c; }\r\n\r\n\n  \n\t\t}",
    "naïve_café = '日本語 🐍'  # don't, we'll, I'M\n",
    "snake_case camelCase HTTPServer x1y2 0xFF 3.14e-10",
    "   \n \t \n",
    "a" * 300 + " " * 300 + "=" * 80,
    "<|endoftext|><fim_prefix>",
]

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


class LlamaCpp:
    """llama.cpp's server with a GGUF file, over the loopback."""

    def __init__(self, path: Path) -> None:
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(path)
        parameters.n_ctx, parameters.n_parallel, parameters.warmup, parameters.verbosity = 512, 1, False, -1
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
        self._server = xllamacpp.Server(parameters)

    def ask(self, path: str, **request: Any) -> Any:
        headers = {"Content-Type": "application/json"}
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        data = json.dumps(request).encode()
        with opener.open(urllib.request.Request(self._server.listening_address + path, data, headers)) as answer:
            return json.loads(answer.read())

    def greedy(self, prompt: list[int] | str, count: int = COUNT) -> dict[str, Any]:
        return self.ask(
            "/completion", prompt=prompt, n_predict=count, temperature=0, return_tokens=True, ignore_eos=True
        )

    def tokenize(self, text: str, special: bool = False) -> list[int]:
        ids: list[int] = self.ask("/tokenize", content=text, add_special=True, parse_special=special)["tokens"]
        return ids


@pytest.fixture(scope="module")
def llama_cpp(release: Path) -> Iterator[LlamaCpp]:
    yield LlamaCpp(release / "model-F32.gguf")


@pytest.fixture(scope="module")
def codec(release: Path) -> Codec:
    return load_codec(release)


def prompts(codec: Codec) -> list[list[int]]:
    """Two that stand in a file, and one that fills a hole."""
    code = (Path(sysconfig.get_paths()["stdlib"]) / "bisect.py").read_text(encoding="utf-8")
    return [
        codec.encode(code[:120]),
        codec.encode(code[500:1200]),
        infilling_prompt(codec, code[:300], code[330:600], "lib/bisect.py", 400),
    ]


# llama.cpp keeps keys and values in 16 bits: where two tokens are nearer than this, either is the likeliest.
TIE = 0.02


def greedy(engine: Any, ids: list[int], given: list[int] | None = None) -> list[int]:
    """The engine's likeliest tokens; where one of `given` ties with the likeliest, that one, and on from there.

    llama.cpp, asked to go on beyond the end token, forbids it and the other control tokens that end a text.
    """
    logits, chosen = engine.prefill(ids), []
    for place in range(COUNT):
        logits = logits.copy()
        logits[list(ENDS)] = -torch.inf
        token = int(logits.argmax())
        if given is not None and logits[given[place]] > logits[token] - TIE:
            token = given[place]
        chosen.append(token)
        logits = engine.step(token)
    return chosen


ENDS = (0, 4, 5, 6)  # end, fim_pad, repo_name, file_sep


def test_llama_cpp_our_engine_and_transformers_choose_the_same_tokens(
    release: Path, codec: Codec, llama_cpp: LlamaCpp
) -> None:
    engine = open_engine(release, "f32")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(release)
    for ids in prompts(codec):
        in_llama_cpp = llama_cpp.greedy(ids)["tokens"]
        assert in_llama_cpp == greedy(engine, ids, in_llama_cpp)
        with torch.no_grad():
            generated = theirs.generate(
                torch.tensor([ids]),
                attention_mask=torch.ones(1, len(ids)),
                do_sample=False,
                max_new_tokens=COUNT,
                suppress_tokens=list(ENDS),
                pad_token_id=0,
            )
        in_transformers = generated[0, len(ids) :].tolist()
        assert in_transformers == greedy(engine, ids, in_transformers)


@pytest.mark.parametrize("family", FAMILIES)
def test_llama_cpp_chooses_the_same_tokens_in_every_family(
    make_folder: Callable[[ModelConfig], Path], codec: Codec, family: str
) -> None:
    folder = make_folder(ModelConfig(codec.size, **FAMILIES[family]))
    write_gguf(folder, folder / "model.gguf", "f32", family)
    llama_cpp, engine = LlamaCpp(folder / "model.gguf"), open_engine(folder, "f32")
    for ids in prompts(codec):
        given = llama_cpp.greedy(ids)["tokens"]
        assert given == greedy(engine, ids, given)


def test_q8_0_runs_and_mostly_agrees(release: Path, codec: Codec) -> None:
    llama_cpp, engine = LlamaCpp(release / "model-Q8_0.gguf"), open_engine(release, "f32")
    same = []
    for ids in prompts(codec):
        given = llama_cpp.greedy(ids)["tokens"]
        assert len(given) == COUNT
        same.append(given[0] == greedy(engine, ids)[0])
    assert any(same)


@pytest.mark.parametrize("text", AWKWARD)
def test_llama_cpp_cuts_awkward_text_as_we_do(codec: Codec, llama_cpp: LlamaCpp, text: str) -> None:
    assert llama_cpp.tokenize(text) == codec.encode(text)


@pytest.mark.parametrize("pattern", OTHER_PATTERNS)
def test_llama_cpp_cuts_by_the_patterns_of_other_makers_as_we_do(
    make_folder: Callable[[ModelConfig], Path], codec: Codec, pattern: str
) -> None:
    library = Path(sysconfig.get_paths()["stdlib"])
    files = [path.read_text(encoding="utf-8")[:20_000] for path in sorted(library.glob("*.py"))[:20]]
    folder = make_folder(ModelConfig(codec.size, **SHAPE))
    tokens = train_bpe(iter(files), codec.size - len(SPECIAL_TOKENS), OTHER_PATTERNS[pattern])
    write_vocabulary(folder, vocabulary_of(tokens, OTHER_PATTERNS[pattern]))
    write_gguf(folder, folder / "model.gguf", "f32", pattern)
    llama_cpp, own = LlamaCpp(folder / "model.gguf"), load_codec(folder)
    for text in [*AWKWARD, *files[10:]]:
        assert llama_cpp.tokenize(text) == own.encode(text), text[:100]


def test_llama_cpp_cuts_source_files_as_we_do(codec: Codec, llama_cpp: LlamaCpp) -> None:
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[30:45]:
        text = path.read_text(encoding="utf-8")[:20_000]
        assert llama_cpp.tokenize(text) == codec.encode(text), path.name


def test_the_model_cards_prompt_is_ours(release: Path, codec: Codec, llama_cpp: LlamaCpp) -> None:
    template = json.loads((release / "release.json").read_text())["prompt"]
    parts = {"path": "a.py", "prefix": "def f(x):\n    ret", "suffix": "\n\nf(1)\n", **template["special_tokens"]}
    text = template["infilling"].format(**parts)
    ids = infilling_prompt(codec, parts["prefix"], parts["suffix"], "a.py", 400)
    assert llama_cpp.tokenize(text, special=True) == ids
    assert transformers.AutoTokenizer.from_pretrained(release)(text, add_special_tokens=False)["input_ids"] == ids
    assert llama_cpp.greedy(text)["tokens"] == llama_cpp.greedy(ids)["tokens"]
