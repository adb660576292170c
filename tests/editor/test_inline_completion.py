"""textDocument/inlineCompletion over real stdio: what is asked, what is shown, what is dropped."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Completions, Editor

WAIT = 30.0


def saying(text: str) -> Callable[[dict[str, Any]], tuple[int, str]]:
    return lambda body: (200, json.dumps({"choices": [{"text": text}]}))


def test_the_server_says_what_it_can(launch: Callable[[str], Editor], remote: Completions) -> None:
    answer = launch(remote.address).start()
    assert answer["capabilities"]["inlineCompletionProvider"] is not None
    assert answer["capabilities"]["textDocumentSync"]["change"] == 2  # incremental
    assert answer["serverInfo"]["name"] == "repotune"


def test_a_completion_stands_at_the_cursor(editor: Editor, remote: Completions) -> None:
    remote.answer = saying("return a + b")
    editor.open("def add(a, b):\n    \n\nprint(add(1, 2))\n")
    (item,) = editor.complete(1, 4)
    here = {"line": 1, "character": 4}
    assert item == {"insertText": "return a + b", "range": {"start": here, "end": here}}
    asked = remote.asked.get(timeout=WAIT)
    assert asked["endpoint"] == "/v1/completions"
    assert asked["prompt"] == "def add(a, b):\n    "
    assert asked["suffix"] == "\n\nprint(add(1, 2))\n"
    assert asked["path"] == "src/main.py"
    assert asked["temperature"] == 0


def test_emoji_before_the_cursor_count_two_units(editor: Editor, remote: Completions) -> None:
    editor.open('x = "🐍🐍é"; y = \n')
    editor.complete(0, 16)
    assert remote.asked.get(timeout=WAIT)["prompt"] == 'x = "🐍🐍é"; y ='


def test_a_client_that_counts_bytes_is_understood(launch: Callable[[str], Editor], remote: Completions) -> None:
    editor = launch(remote.address)
    answer = editor.start(capabilities={"general": {"positionEncodings": ["utf-8"]}})
    assert answer["capabilities"]["positionEncoding"] == "utf-8"
    editor.open('"🐍é" + 1\n')
    editor.complete(0, len('"🐍é" +'.encode()))
    assert remote.asked.get(timeout=WAIT)["prompt"] == '"🐍é" +'


def test_changes_are_followed(editor: Editor, remote: Completions) -> None:
    editor.open("a = 1\r\n\fb = '🐍'\n\u2028c = 3\n")  # a form feed and U+2028 end no line in LSP
    editor.change(2, (1, 6), (1, 8), "🦖🦖")
    editor.change(3, (2, 5), (2, 6), "4\n")
    editor.complete(3, 0)
    assert remote.asked.get(timeout=WAIT)["prompt"] == "a = 1\r\n\fb = '🦖🦖'\n\u2028c = 4\n"


def test_what_is_invoked_is_longer_than_what_comes_by_itself(editor: Editor, remote: Completions) -> None:
    editor.open("x = \n    \n")
    editor.complete(0, 4, kind=2)
    editor.complete(0, 4, kind=1)
    editor.complete(1, 4, kind=2)
    line, invoked, block = (remote.asked.get(timeout=WAIT) for _ in range(3))
    assert (invoked["stop"], line["stop"], block["stop"]) == ([], ["\n"], ["\n\n"])
    assert line["max_tokens"] < block["max_tokens"] == invoked["max_tokens"]


def test_an_entry_selected_in_the_editors_list_is_extended(editor: Editor, remote: Completions) -> None:
    remote.answer = saying("(path)")
    editor.open("import os\nos.pa + 1\n")
    chosen = {
        "range": {"start": {"line": 1, "character": 3}, "end": {"line": 1, "character": 5}},
        "text": "path.exists",
    }
    (item,) = editor.complete(1, 5, kind=2, selectedCompletionInfo=chosen)
    asked = remote.asked.get(timeout=WAIT)
    assert (asked["prompt"], asked["suffix"]) == ("import os\nos.path.exists", " + 1\n")
    assert item == {"insertText": "path.exists(path)", "range": chosen["range"]}


def test_typing_along_needs_no_new_question(editor: Editor, remote: Completions) -> None:
    remote.answer = saying("return 1")
    editor.open("def f():\n    \n")
    assert editor.complete(1, 4, kind=2)[0]["insertText"] == "return 1"
    editor.change(2, (1, 4), (1, 4), "ret")
    assert editor.complete(1, 7, kind=2)[0]["insertText"] == "urn 1"
    assert remote.asked.qsize() == 1
    editor.change(3, (1, 7), (1, 7), "x")
    editor.complete(1, 8, kind=2)
    assert remote.asked.qsize() == 2


def test_another_suffix_needs_a_new_question(editor: Editor, remote: Completions) -> None:
    editor.open("x = \n")
    editor.complete(0, 4, kind=2)
    editor.change(2, (1, 0), (1, 0), "y = 2\n")
    editor.complete(0, 4, kind=2)
    assert remote.asked.qsize() == 2


def test_cancelling_hangs_up_on_the_server(editor: Editor, remote: Completions) -> None:
    remote.holding = True
    editor.open("x = \n")
    number = editor.request(0, 4)
    asked = remote.asked.get(timeout=WAIT)
    editor.tell("$/cancelRequest", {"id": number})
    assert remote.hung_up.get(timeout=WAIT) == asked
    assert editor.wait(number)["error"]["code"] == -32800  # RequestCancelled
    remote.holding = False
    assert editor.complete(0, 4)[0]["insertText"] == "pass"


def test_a_newer_version_drops_the_older_question(editor: Editor, remote: Completions) -> None:
    remote.holding = True
    editor.open("x = \n")
    old = editor.request(0, 4, kind=2)
    remote.asked.get(timeout=WAIT)
    remote.holding = False
    editor.change(2, (0, 4), (0, 4), "y")
    assert remote.hung_up.get(timeout=WAIT)["prompt"] == "x = "
    assert editor.wait(old)["result"]["items"] == []
    assert editor.complete(0, 5, kind=2)[0]["insertText"] == "pass"
    assert remote.asked.get(timeout=WAIT)["prompt"] == "x = y"


def test_a_burst_of_keystrokes_costs_one_question(launch: Callable[[str], Editor], remote: Completions) -> None:
    editor = launch(remote.address)
    editor.start({"delay": 1000})
    editor.open("\n")
    numbers = []
    for index, letter in enumerate("value"):
        editor.change(index + 2, (0, index), (0, index), letter)
        numbers.append(editor.request(0, index + 1, kind=2))
    results = [editor.wait(number)["result"]["items"] for number in numbers]
    assert [len(items) for items in results] == [0, 0, 0, 0, 1]
    assert remote.asked.qsize() == 1


def test_an_invoked_completion_does_not_wait(launch: Callable[[str], Editor], remote: Completions) -> None:
    editor = launch(remote.address)
    editor.start({"delay": 60_000})
    editor.open("x = \n")
    assert len(editor.complete(0, 4, kind=1)) == 1


def test_while_one_question_is_held_another_document_is_served(editor: Editor, remote: Completions) -> None:
    other = "file:///nowhere/project/other.py"
    remote.holding = True
    editor.open("x = \n")
    editor.open("y = \n", other)
    held = editor.request(0, 4)
    remote.asked.get(timeout=WAIT)
    remote.holding = False
    assert len(editor.complete(0, 4, uri=other)) == 1
    editor.tell("textDocument/didClose", {"textDocument": {"uri": "file:///nowhere/project/src/main.py"}})
    assert editor.wait(held)["result"]["items"] == []


def test_a_server_that_is_away_is_said_once(launch: Callable[[str], Editor], remote: Completions) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        editor = launch(f"http://127.0.0.1:{unused.getsockname()[1]}")
        editor.start()
        editor.open("x = \n")
        assert [editor.complete(0, 4) for _ in range(5)] == [[]] * 5
        assert editor.complete(0, 4, kind=2) == []
    (said,) = editor.logged()
    assert "There is no server at http://127.0.0.1" in said
    assert "repotune serve" in said


def test_faults_of_the_server_are_said_once_until_it_answers(editor: Editor, remote: Completions) -> None:
    editor.open("y = \n")
    assert len(editor.complete(0, 4)) == 1
    editor.open("x = \n")
    answers = [
        (503, json.dumps({"error": {"message": "The model is being loaded."}})),
        (200, "not json"),
        (200, '{"choices": []}'),
        (200, '{"choices": [{"text": null}]}'),
        (500, "oops"),
    ]
    for answer in answers:
        remote.answer = lambda body, answer=answer: answer
        assert editor.complete(0, 4) == []
        assert editor.complete(0, 4) == []
    remote.answer = saying("1")
    assert len(editor.complete(0, 4)) == 1
    remote.answer = lambda body: answers[0]
    assert editor.complete(0, 4) == []
    said = [text.partition("answered ")[2] for text in editor.logged()]
    loading = "503: The model is being loaded."
    assert said == [loading, "200, but no completion", "500", loading]


def test_an_empty_completion_shows_nothing(editor: Editor, remote: Completions) -> None:
    remote.answer = saying("")
    editor.open("x = \n")
    assert editor.complete(0, 4) == []
    assert editor.logged() == []


def test_a_document_that_is_not_open_has_no_completions(editor: Editor, remote: Completions) -> None:
    assert editor.complete(0, 0, uri="file:///nowhere/other.py") == []
    assert remote.asked.empty()


def test_the_editors_options_name_another_server(launch: Callable[[str], Editor], remote: Completions) -> None:
    editor = launch("http://127.0.0.1:9")
    editor.start({"address": remote.address + "/"})
    editor.open("x = \n")
    assert len(editor.complete(0, 4)) == 1


def test_bad_options_are_said_and_left_out(launch: Callable[[str], Editor], remote: Completions) -> None:
    editor = launch(remote.address)
    editor.start({"address": "nonsense", "delay": -3})
    editor.open("x = \n")
    assert len(editor.complete(0, 4)) == 1
    assert [("address" in text, "delay" in text) for text in editor.logged()] == [(False, True), (True, False)]


def test_a_file_is_named_as_in_its_repository(editor: Editor, remote: Completions, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "lib").mkdir()
    for uri in ((tmp_path / "lib" / "naïve file.py").as_uri(), "untitled:Untitled-1", "file:///elsewhere/a.py"):
        editor.open("x = \n", uri)
        editor.complete(0, 4, uri=uri)
    assert [remote.asked.get(timeout=WAIT)["path"] for _ in range(3)] == ["lib/naïve file.py", "", "a.py"]


def test_lone_surrogates_do_no_harm(editor: Editor, remote: Completions) -> None:
    editor.open("x = '\ud800'; y = \n")
    assert len(editor.complete(0, 12)) == 1
    assert remote.asked.get(timeout=WAIT)["prompt"] == "x = '?'; y ="


def test_shutdown_and_exit_end_the_process(launch: Callable[[str], Editor], remote: Completions) -> None:
    editor = launch(remote.address)
    editor.start()
    remote.holding = True
    editor.open("x = \n")
    editor.request(0, 4)
    remote.asked.get(timeout=WAIT)
    assert editor.stop() == 0
    remote.hung_up.get(timeout=WAIT)


def test_an_editor_that_dies_ends_the_process(launch: Callable[[str], Editor], remote: Completions) -> None:
    editor = launch(remote.address)
    editor.start()
    assert editor.process.stdin
    editor.process.stdin.close()
    assert editor.process.wait(WAIT) is not None


def test_of_a_large_file_the_part_around_the_cursor_is_sent(editor: Editor, remote: Completions) -> None:
    editor.open("value = compute(1, 2, 3)\n" * 5000)
    assert len(editor.complete(4000, 8)) == 1
    asked = remote.asked.get(timeout=WAIT)
    assert asked["prompt"].endswith(")\nvalue = ")
    assert asked["suffix"].startswith("compute(1, 2, 3)\n")
    assert 12_000 < len(asked["prompt"]) <= 16_384
    assert 4_000 < len(asked["suffix"]) <= 4_096


@pytest.mark.parametrize("address", ["", "127.0.0.1:8750", "ftp://host", "http://", "http://[::1"])
def test_what_is_no_address_is_refused(address: str) -> None:
    from repotune.core.errors import UserError
    from repotune.editor.server import serve_stdio

    with pytest.raises(UserError, match="is not a server's address"):
        serve_stdio(address)
