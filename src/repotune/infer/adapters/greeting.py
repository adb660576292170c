"""What a server of OpenAI's dialect serves, and how it wants its prompts: asked, not looked up by its name.

    engine = open_remote("http://127.0.0.1:8000", load_codec(Path("release")), context=2048)

Servers differ in what they say nothing about: llama.cpp's ignores `suffix` without a word, vLLM refuses it, Ollama and
ours take no token ids. So a few samples are sent, for a token each. Where as many tokens are counted for each as the
release's tokenizer makes of it, the server's model has that tokenizer, and prompts go as ids, suffix first. Else, where
a suffix adds to what is counted, it is heeded. Else the server can go on with a text and fills no gaps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from repotune.infer.adapters.completions import RemoteError
from repotune.infer.adapters.remote import CONNECT, SILENCE, RemoteEngine, authorised, reason
from repotune.tokenizer.encoding import Codec

# Of different habits, so that no two tokenizers cut all of them alike into as many pieces.
SAMPLES = (
    "def parse_header(self, raw: bytes) -> dict[str, int]:\n    return {k.strip(): int(v) for k, v in pairs}\n",
    "public static final Map<String, List<Integer>> CACHE_BY_NAME = new ConcurrentHashMap<>(0x7fff);\n",
    'if err != nil {\n\t\treturn fmt.Errorf("reading %q: %w", path, err)\n\t}\n',
    "// Straße, naïve façade, 日本語: 3.14159e-10 != 2_000_000\n",
)

# How servers refuse what they do not know; with others they refuse who asks, or fail.
_UNSUPPORTED = (400, 404, 415, 422, 501)


@dataclass(frozen=True)
class _Server:
    """A server and one of its models, asked for a token at a time."""

    client: httpx.Client
    model: str

    def count(self, prompt: str | list[int], suffix: str | None = None) -> int:
        """How many tokens it counts in a prompt. Raises RemoteError where it refuses, and where it does not say."""
        body = {"model": self.model, "prompt": prompt, "max_tokens": 1, "temperature": 0}
        answer = _asked(self.client, "POST", "/v1/completions", body if suffix is None else body | {"suffix": suffix})
        count = (answer.get("usage") or {}).get("prompt_tokens")
        if not isinstance(count, int):
            raise RemoteError(f"The server at {self.client.base_url} does not say how many tokens a prompt has.")
        return count

    def shares(self, codec: Codec) -> bool:
        """Whether its tokenizer is `codec` and it takes ids. It may put a token before each text."""
        added = {self.count(sample) - len(codec.encode(sample)) for sample in SAMPLES}
        ids = codec.encode(SAMPLES[0])
        return added in ({0}, {1}) and self._takes(ids, least=len(ids))

    def heeds_suffix(self) -> bool:
        """Whether `suffix` is read: it then makes the prompt longer."""
        return self._takes(SAMPLES[0], SAMPLES[2], least=self.count(SAMPLES[0]) + len(SAMPLES[2]) // 16)

    def _takes(self, prompt: str | list[int], suffix: str | None = None, *, least: int) -> bool:
        """Whether it takes these, and counts `least` tokens in them."""
        try:
            return self.count(prompt, suffix) >= least
        except RemoteError as error:
            if error.status in _UNSUPPORTED:
                return False
            raise


def open_remote(url: str, codec: Codec, context: int, model: str | None = None, key: str | None = None) -> RemoteEngine:
    """The model `model`, or the only one, of the server at `url`, which is asked how it wants prompts. `codec` and
    `context` are the release's. Raises RemoteError where it cannot be reached, serves no such model, or refuses."""
    timeout = httpx.Timeout(SILENCE, connect=CONNECT)
    try:
        asked = httpx.Client(base_url=url, headers=authorised(key), timeout=timeout, trust_env=False)
    except httpx.InvalidURL as error:
        raise RemoteError(f"{url} is no address of a server: {error}.") from error
    with asked as client:
        found = _chosen(url, _asked(client, "GET", "/v1/models").get("data"), model)
        server = _Server(client, found["id"])
        longest = found.get("max_model_len")
        room = min(context, longest) if isinstance(longest, int) else context
        if server.shares(codec):
            return RemoteEngine(url, server.model, codec, room, key)
        return RemoteEngine(
            url,
            server.model,
            context=room,
            key=key,
            fills=server.heeds_suffix(),
            told_paths=found.get("owned_by") == "repotune",
        )


def _chosen(url: str, listed: Any, wanted: str | None) -> dict[str, Any]:
    models = (
        [model for model in listed if isinstance(model, dict) and "id" in model] if isinstance(listed, list) else []
    )
    names = ", ".join(str(model["id"]) for model in models) or "it lists none"
    fitting = [model for model in models if wanted in (None, model["id"])]
    if not fitting:
        raise RemoteError(f"The server at {url} has no model {wanted or 'at all'}.", f"serve.model: {names}")
    if len(fitting) > 1:
        raise RemoteError(f"The server at {url} has several models.", f"name one in serve.model: {names}")
    return fitting[0]


def _asked(client: httpx.Client, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """The JSON object that is answered. Raises RemoteError, with the status of a refusal."""
    try:
        response = client.request(method, path, json=body)
        answer = response.json() if response.is_success else None
    except httpx.HTTPError as error:
        raise RemoteError(
            f"The server at {client.base_url} cannot be asked: {error or type(error).__name__}.",
            "is it running, and is the address right?",
        ) from error
    except ValueError:
        answer = None
    if not response.is_success:
        raise RemoteError(
            f"The server at {client.base_url} refused with status {response.status_code}: {reason(response)}.",
            status=response.status_code,
        )
    if not isinstance(answer, dict):
        raise RemoteError(f"The server at {client.base_url} does not speak OpenAI's dialect: {response.text[:100]!r}.")
    return answer
