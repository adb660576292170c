from pathlib import Path

import pytest

from repotune.core.config import load_config, parse_config, with_values
from repotune.core.errors import UserError
from repotune.core.settings import ServeSettings

MINIMAL = '[project]\nname = "acme"\nrepositories = ["src"]\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "repotune.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_three_lines_are_a_whole_configuration(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, MINIMAL))
    assert config.project.name == "acme"
    assert config.train.infilling_rate == 0.5
    assert config.serve.host == "127.0.0.1"


@pytest.mark.parametrize(
    ("extra", "said", "hint"),
    [
        ("[train]\ninfiling_rate = 0.5\n", "unknown key train.infiling_rate", "did you mean infilling_rate?"),
        ("[trian]\ntokens = 5\n", "unknown key trian", "did you mean train?"),
        (
            "[serve]\nxyzzy = 1\n",
            "unknown key serve.xyzzy",
            "known here: host, port, engine, model, weights, index, repeat_tokens, allowed_licences",
        ),
        ("[train]\ntokens = 'many'\n", "train.tokens", None),
        ("[train]\ntokens = 0\n", "train.tokens: Input should be greater than 0 (given: 0)", None),
        ("[budget]\nhours = 1\n[train]\ntokens = 5\n", "keep one", None),
        ("[serve]\nport = 99999\n", "serve.port", None),
        ("[serve]\nengine = 'vllm'\n", "serve.engine: auto, ours, openvino, torch, or the address of a server", None),
        ("[serve]\nengine = 'http://'\n", "serve.engine: ", None),
        ("[serve]\nmodel = 'a'\n", "serve: model names what is served elsewhere", None),
        ("[serve]\nengine = 'http://a'\nweights = 'int4'\n", "weights are chosen by the server", None),
    ],
)
def test_a_wrong_key_or_value_is_one_sentence_that_names_it(
    tmp_path: Path, extra: str, said: str, hint: str | None
) -> None:
    with pytest.raises(UserError) as caught:
        load_config(write(tmp_path, MINIMAL + extra))
    assert said in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "project is missing"),
        ('[project]\nname = "acme"\n', "project.repositories is missing"),
        ('[project]\nname = "acme"\nrepositories = []\n', "project.repositories"),
        ('[project]\nname = "../x"\nrepositories = ["a"]\n', "project.name"),
        ("[project\n", "not valid TOML"),
        ("project = 3\n", "project"),
    ],
)
def test_a_file_that_is_no_configuration_says_why(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        load_config(write(tmp_path, text))


def test_a_missing_file_hints_at_init(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_config(tmp_path / "repotune.toml")
    assert "repotune init" in (caught.value.hint or "")


def test_bytes_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "repotune.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="cannot be read"):
        load_config(path)


@pytest.mark.parametrize("address", ["http://a:8000", "http://a:8000/", "http://a:8000/v1", "http://a:8000/v1/"])
def test_the_address_of_a_server_is_taken_as_people_write_it(address: str) -> None:
    assert ServeSettings(engine=address).remote == "http://a:8000"
    assert ServeSettings(engine="ours").remote is None


def test_values_of_a_command_line_are_checked_as_those_of_a_file() -> None:
    assert with_values(ServeSettings(index=False), {"port": 0}, "here") == ServeSettings(index=False, port=0)
    with pytest.raises(UserError, match=r"repotune serve: port: .* \(given: 99999\)"):
        with_values(ServeSettings(), {"port": 99999}, "repotune serve")


def test_a_configuration_cannot_be_changed() -> None:
    config = parse_config({"project": {"name": "a", "repositories": ["x"]}}, "test")
    with pytest.raises(ValueError, match="frozen"):
        config.project.name = "b"  # type: ignore[misc]
