"""A tokenizer of ours that knows bytes alone, as save_model copies it."""

from __future__ import annotations

from pathlib import Path

import pytest

from repotune.tokenizer.layout import vocabulary_of, write_vocabulary


@pytest.fixture(scope="session")
def codec_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_vocabulary(folder, vocabulary_of([bytes([byte]) for byte in range(256)]))
    return folder
