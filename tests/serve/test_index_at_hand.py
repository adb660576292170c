"""A server with an index says what its completions repeat, and withholds what a licence forbids."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import httpx
import numpy as np
import pytest

from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.core.settings import ServeSettings
from repotune.infer.decoding import Piece, Sampling
from repotune.infer.index.folder import SEGMENTS, Head, open_index, write_head
from repotune.infer.index.segment import Document, Source, write_segment
from repotune.serve import source as sources
from repotune.serve.attribution import Attribution
from repotune.serve.completion import Completion
from repotune.serve.metrics import Metrics
from repotune.serve.run import BoundServer, open_server
from repotune.serve.source import Ask
from repotune.serve.typed_through import Answers, Told
from repotune.tokenizer.encoding import load_codec

GAP = {"input_prefix": "def files(folder):\n    return ", "input_suffix": "\n\n\nfiles('.')\n", "path": "own.py"}
COUNT = 24

Serving = Callable[[BoundServer], AbstractContextManager[str]]


def answered(serving: Serving, bound: BoundServer, **more: Any) -> tuple[dict[str, Any], str]:
    with serving(bound) as url, httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        answer = client.post("/infill", json={**GAP, "n_predict": COUNT, **more}).json()
        return answer, client.get("/metrics").text


@pytest.fixture(scope="module")
def plain(release: Path, serving: Serving) -> str:
    """What the model writes."""
    answer, _ = answered(serving, open_server(release, ServeSettings(port=0, engine="ours")))
    text: str = answer["content"]
    assert len(text) > 10
    return text


@pytest.fixture(scope="module")
def index(release: Path, plain: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of one file, under the GPL, in which that very text stands."""
    folder, codec = tmp_path_factory.mktemp("index"), load_codec(release)
    text = "# a file\n" * 3 + GAP["input_prefix"] + plain + "\n"
    source = Source("copyleft", "0123abcd", "theirs.py", "Python", "GPL-3.0-only")
    document = Document(source, np.array(codec.encode(text), np.uint16))
    head = Head("uint16", "", codec.size, ())
    (folder / SEGMENTS / "one").mkdir(parents=True)
    entry = write_segment(folder / SEGMENTS / "one", "one", [document], head.numbers, codec.size, 1, lambda _rows: None)
    write_head(folder, replace(head, segments=(entry,)))
    return folder


def test_a_repeat_names_file_line_commit_and_licence_and_changes_no_text(
    release: Path, serving: Serving, index: Path, plain: str
) -> None:
    settings = ServeSettings(port=0, engine="ours", repeat_tokens=8)
    answer, _ = answered(serving, open_server(release, settings, index=index))
    assert answer["content"] == plain
    place = {"repository": "copyleft", "commit": "0123abcd", "path": "theirs.py", "licence": "GPL-3.0-only"}
    (repeat,) = answer["repeats"]
    # The repeat may begin a token later than the text, which is encoded in other pieces behind other lines.
    assert repeat["places"] in ([{**place, "line": 4}], [{**place, "line": 5}])
    assert repeat["tokens"] >= 8
    own, _ = answered(serving, open_server(release, settings, index=index), path="theirs.py")
    assert "repeats" not in own


@pytest.mark.parametrize(("allowed", "shown"), [(("MIT",), False), (("MIT", "GPL-3.0-only"), True)])
def test_what_is_not_allowed_is_withheld_also_from_a_stream(
    release: Path, serving: Serving, index: Path, plain: str, allowed: tuple[str, ...], shown: bool
) -> None:
    settings = ServeSettings(port=0, engine="ours", repeat_tokens=8, allowed_licences=allowed)
    answer, metrics = answered(serving, open_server(release, settings, index=index))
    assert answer["content"] == (plain if shown else "")
    assert [repeat["files"] for repeat in answer["repeats"]] == [1]
    assert f"repotune_withheld_total {0.0 if shown else 1.0}" in metrics
    with (
        serving(open_server(release, settings, index=index)) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as client,
    ):
        told = client.post("/infill", json={**GAP, "n_predict": COUNT, "stream": True}).text
    events = [json.loads(line.removeprefix("data: ")) for line in told.splitlines() if line]
    assert "".join(event["content"] for event in events) == (plain if shown else "")


def test_what_a_server_elsewhere_writes_is_looked_up_as_well(
    release: Path, serving: Serving, index: Path, plain: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(open_server(release, ServeSettings(port=0, engine="ours"))) as other:
        for allowed, shown in ((("MIT",), ""), (("GPL-3.0-only",), plain)):
            settings = ServeSettings(port=0, engine=other, repeat_tokens=8, allowed_licences=allowed)
            answer, _ = answered(serving, open_server(release, settings, index=index, console=Console()))
            assert answer["content"] == shown
            assert [repeat["files"] for repeat in answer["repeats"]] == [1]
    assert "of the index completions only say what they repeat" in capsys.readouterr().err


def test_a_policy_without_an_index_is_refused(release: Path) -> None:
    with pytest.raises(UserError, match="needs the index"):
        open_server(release, ServeSettings(port=0, engine="ours", allowed_licences=("MIT",)))


def test_of_a_completion_that_is_cut_off_nothing_is_shown_under_a_policy(
    release: Path, index: Path, plain: str
) -> None:
    """It was never judged. A generation ends without a finish where the server stops."""
    codec = load_codec(release)

    class CutOff(Told):
        async def __aiter__(self) -> AsyncIterator[Piece]:
            yield Piece(plain, (), None)

    async def shown(allowed: tuple[str, ...]) -> str:
        attribution = Attribution(open_index(index), codec, 8, allowed)
        metrics = Metrics(cast(sources.Source, None))
        ask = Ask(GAP["input_prefix"], GAP["input_suffix"], COUNT, Sampling(), path="own.py")
        completion = Completion(ask, CutOff(plain, "stop", 1), None, metrics, Answers(), attribution, 0.0)
        return "".join([chunk.text async for chunk in completion])

    assert asyncio.run(shown(("MIT",))) == ""
    assert asyncio.run(shown(())) == plain
