"""llama.cpp's dialect, as llama.vim and llama.vscode speak it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

# What llama.vim sends (autoload/llama.vim), values shortened.
LLAMA_VIM = {
    "input_prefix": "import os\n\n\ndef files(folder):\n",
    "input_suffix": "\n\n\nfiles('.')\n",
    "input_extra": [{"text": "x = 1\n", "time": [1, 2], "filename": "other.py"}],
    "prompt": "    return os.",
    "n_predict": 12,
    "n_indent": 4,
    "top_k": 40,
    "top_p": 0.9,
    "stream": False,
    "samplers": ["top_k", "top_p", "infill"],
    "cache_prompt": True,
    "t_max_prompt_ms": 500,
    "t_max_predict_ms": 1000,
    "response_fields": [
        "content",
        "timings/prompt_n",
        "timings/prompt_ms",
        "timings/prompt_per_second",
        "timings/predicted_n",
        "timings/predicted_ms",
        "timings/predicted_per_second",
        "tokens_cached",
        "generation_settings/n_ctx",
    ],
}


def infill(client: httpx.Client, **body: Any) -> dict[str, Any]:
    response = client.post("/infill", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_llama_vim_gets_the_fields_it_asks_for(client: httpx.Client) -> None:
    answer = infill(client, **LLAMA_VIM)
    fields = [field for field in LLAMA_VIM["response_fields"] if not field.startswith("generation_settings")]
    assert sorted(answer) == sorted(fields)
    assert answer["timings/predicted_n"] == 12
    assert answer["timings/predicted_ms"] > 0


def test_it_is_the_completion_of_the_other_dialect(client: httpx.Client) -> None:
    prefix, suffix = LLAMA_VIM["input_prefix"] + LLAMA_VIM["prompt"], LLAMA_VIM["input_suffix"]
    other = client.post(
        "/v1/completions", json={"prompt": prefix, "suffix": suffix, "max_tokens": 12, "path": "a.py"}
    ).json()
    answer = infill(client, **{**LLAMA_VIM, "path": "a.py", "input_extra": [], "response_fields": []})
    assert answer["content"] == other["choices"][0]["text"] != ""
    assert answer["tokens_evaluated"] == other["usage"]["prompt_tokens"]
    assert answer["stop"] is True
    assert answer["stop_type"] == "limit"
    assert answer["timings"]["cache_n"] + answer["timings"]["prompt_n"] == answer["tokens_evaluated"]


def test_streaming_gives_the_same(client: httpx.Client) -> None:
    body = {**LLAMA_VIM, "response_fields": [], "n_predict": 24, "temperature": 1.0, "seed": 7}
    infill(client, **body)  # from here on both find the same in the cache
    whole = infill(client, **body)
    lines = client.post("/infill", json={**body, "stream": True}).text.split("\n\n")
    streamed = [json.loads(line.removeprefix("data: ")) for line in lines if line]
    assert "".join(item["content"] for item in streamed) == whole["content"] != ""
    assert [item["stop"] for item in streamed] == [False] * (len(streamed) - 1) + [True]
    assert streamed[-1]["tokens_predicted"] == whole["tokens_predicted"]


def test_pieces_of_other_files_stand_before_it_while_there_is_room(client: httpx.Client) -> None:
    def read(*texts: str) -> int:
        extras = [{"filename": f"{number}.py", "text": text} for number, text in enumerate(texts)]
        answer = infill(client, input_prefix="x = ", input_extra=extras, n_predict=1)
        return int(answer["tokens_evaluated"])

    alone, one = read(), read("import os\n")
    assert alone < one < read("import os\n", "import os\n")
    assert read("x = 1\n" * 1000) == alone
    assert read("x = 1\n" * 1000, "import os\n") >= one


def test_a_warming_request_says_nothing_and_has_the_prompt_read(client: httpx.Client) -> None:
    warming = infill(client, input_prefix="warm = cold + ", n_predict=0)
    assert warming["content"] == ""
    # The prompt's last token is healed and so read anew, and the one before it gives the logits for that.
    assert infill(client, input_prefix="warm = cold + ", n_predict=4)["timings"]["prompt_n"] == 2


def test_defaults_fill_half_the_context_at_most(client: httpx.Client) -> None:
    assert infill(client)["tokens_predicted"] <= 128


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"input_prefix": 1}, "input_prefix"),
        ({"input_extra": "text"}, "input_extra"),
        ({"input_extra": [{"filename": "a"}]}, "input_extra.0.text"),
        ({"n_predict": -2}, "n_predict"),
        ({"n_predict": True}, "n_predict"),
        ({"temperature": -1}, "temperature"),
        ({"stop": [""]}, "stop.0"),
        ({"seed": 0.5}, "seed"),
        ({"response_fields": "content"}, "response_fields"),
    ],
)
def test_bad_requests_get_a_sentence(client: httpx.Client, body: dict[str, Any], named: str) -> None:
    response = client.post("/infill", json=body)
    assert response.status_code == 400
    assert named in response.json()["error"]["message"]


def test_an_answer_typed_along_is_answered_by_its_rest(client: httpx.Client) -> None:
    """The model is not asked: nothing is generated, and the text is the rest, character by character."""
    gap = {"input_prefix": "def typed_along(", "input_suffix": "\n\n\nend = 1\n", "n_predict": 24, "path": "t.py"}
    text = infill(client, **gap)["content"]
    assert len(text.strip()) > 3
    whole_lines = text.rpartition("\n")[0]  # what is left of the cut line is asked for again
    for typed in range(1, len(whole_lines)):
        answer = infill(client, **{**gap, "input_prefix": gap["input_prefix"] + text[:typed]})
        if text[typed:].strip():
            assert (answer["content"], answer["tokens_predicted"]) == (text[typed:], 0)
    other = infill(client, **{**gap, "input_prefix": gap["input_prefix"] + "§"})
    assert other["tokens_predicted"] > 0
    assert infill(client, **{**gap, "input_suffix": "\n"})["tokens_predicted"] > 0
    assert infill(client, **{**gap, "temperature": 1.0})["tokens_predicted"] > 0
