"""One honest sentence: is the model better than the n-gram and than what it began from, or can nobody tell?

Built from the paired intervals alone. Likelihood is judged by bits per byte, lines by exact matches, blocks by edit
similarity (whole blocks are too rarely exact to tell contestants apart).
"""

from __future__ import annotations

from collections.abc import Mapping

from repotune.evaluate.scores import Score

_MEASURES = (
    ("likelihood", "bits_per_byte", "in bits per byte"),
    ("line", "exact_match", "in exact rests of a line"),
    ("block", "edit_similarity", "in the edit similarity of blocks"),
)
_OPPONENTS = {"ngram": "the n-gram", "base": "its base", "untrained": "the untrained model"}
_WORDS = {1: "better than", 0: "not distinguishable from", -1: "worse than"}


def verdict(differences: Mapping[str, Mapping[str, Mapping[str, Score]]], files: int) -> str:
    """The sentence for {opponent: {"likelihood" or kind: {score: model − opponent}}}.

    Every measure of every opponent is named; what the 95 % interval leaves open is said to be so.
    """
    against = [_against(_OPPONENTS[opponent], measured) for opponent, measured in differences.items()]
    return f"On {files:,} held-out {'file' if files == 1 else 'files'} the model is {'; it is '.join(against)}."


def _against(opponent: str, measured: Mapping[str, Mapping[str, Score]]) -> str:
    found: dict[int, list[str]] = {sign: [] for sign in _WORDS}
    for measure, score, words in _MEASURES:
        if measure in measured:
            sign = measured[measure][score].sign
            found[-sign if score == "bits_per_byte" else sign].append(words)  # of bits, fewer are better
    said = [(_WORDS[sign], _listed(names)) for sign, names in found.items() if names]
    return _listed([f"{word} {'it' if place else opponent} {names}" for place, (word, names) in enumerate(said)])


def _listed(names: list[str]) -> str:
    """a, b and c."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
