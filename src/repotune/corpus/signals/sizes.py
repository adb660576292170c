"""How large a document is and how its lines lie."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from repotune.corpus.signals.signal import Columns, Signal, ratio
from repotune.corpus.signals.spans import Integers, Spans
from repotune.corpus.signals.texts import Texts, member, number_of

_CODEX = "Codex (arXiv 2107.03374)"

SIGNALS = (
    Signal("bytes", "count", "bytes", "size as UTF-8", _CODEX),
    Signal("characters", "count", "characters", "Unicode code points", "OpenCoder (arXiv 2411.04905)"),
    Signal("lines", "count", "lines", "an end at the very end begins no further line", "StarCoder2 (arXiv 2402.19173)"),
    Signal("mean_line", "mean", "characters", "mean length of a line, without its end", _CODEX),
    Signal("longest_line", "count", "characters", "length of the longest line", _CODEX),
    Signal("blank_share", "share", "of lines", "lines of nothing but white space"),
    Signal("trailing_space_share", "share", "of lines", "lines that end in a blank or a tab"),
    Signal(
        "indentation", "text", "", "`spaces`, `tabs`, `mixed` (both begin lines), or empty where nothing is indented"
    ),
    Signal("deepest_indentation", "count", "characters", "blanks and tabs before the most indented line"),
    Signal(
        "mean_indentation", "mean", "characters", "blanks and tabs before a line, mean over those that are not blank"
    ),
)

_SPACE, _TAB = ord(" "), ord("\t")
_BLANK = member(b" \t\r\f\v")
_FOUR_SPACES = number_of(b"    ")
_GATHERED = 64  # deeper indentation is rare, and is counted line by line


def measure(texts: Texts) -> Columns:
    """The columns of SIGNALS, a value for each document."""
    lines = texts.lines
    lengths = texts.width(lines.starts, lines.ends)
    depths = _indentation(texts, lines)
    blank = lines.starts + depths == lines.ends
    depths[blank] = 0
    last = texts.data[np.maximum(lines.ends - 1, lines.starts)]
    trailing = (lines.ends > lines.starts) & ((last == _SPACE) | (last == _TAB))
    return {
        "bytes": texts.ends - texts.starts,
        "characters": texts.characters,
        "lines": lines.counts,
        "mean_line": ratio(lines.sum(lengths), lines.counts),
        "longest_line": lines.maximum(lengths),
        "blank_share": ratio(lines.sum(blank), lines.counts),
        "trailing_space_share": ratio(lines.sum(trailing), lines.counts),
        "indentation": _kinds(texts, lines, depths),
        "deepest_indentation": lines.maximum(depths),
        "mean_indentation": ratio(lines.sum(depths), lines.sum(~blank)),
    }


def _indentation(texts: Texts, lines: Spans) -> Integers:
    """How many bytes of white space each line begins with: by four spaces, then by one, over the lines that go on."""
    depths = np.zeros(len(lines), np.int64)
    left = np.arange(len(lines))
    for depth in range(0, _GATHERED, 4):
        begins = lines.starts[left] + depth
        left = left[texts.eight(begins, np.minimum(lines.ends[left] - begins, 4)) == _FOUR_SPACES]
        depths[left] += 4
    left = np.arange(len(lines))
    for _ in range(_GATHERED):
        places = lines.starts[left] + depths[left]
        left = left[(places < lines.ends[left]) & _BLANK.take(texts.data[places], mode="clip")]
        depths[left] += 1
    for line in left:
        rest = texts.data[lines.starts[line] + depths[line] : lines.ends[line]].tobytes()
        depths[line] += len(rest) - len(rest.lstrip(b" \t\r\f\v"))
    return depths


def _kinds(texts: Texts, lines: Spans, depths: Integers) -> list[str]:
    first = texts.data[np.minimum(lines.starts, len(texts.data) - 1)]
    indented = depths > 0
    spaces, tabs = (lines.sum(indented & (first == kind)) > 0 for kind in (_SPACE, _TAB))
    names: npt.NDArray[np.str_] = np.array(["", "spaces", "tabs", "mixed"])
    return list(names[spaces + 2 * tabs].tolist())
