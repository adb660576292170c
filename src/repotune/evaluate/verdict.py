"""One honest sentence: is what is served better than the n-gram and than what training began from, or can nobody tell?

What is served is the model with the index of the code it was trained on; it is then compared with the model alone too.
Built from the paired intervals alone. Likelihood is judged by bits per byte, short holes by exact matches, long ones by
edit similarity (they are too rarely exact to tell contestants apart). Where nothing was to be written the networks are
compared and not the n-gram, which cannot see that the text goes on; what is untrained gives no answers to compare.
"""

from __future__ import annotations

from collections.abc import Mapping

from repotune.evaluate.scores import Score

_EXACT, _ALIKE = "in exact", "in the edit similarity of"
# (measure, score, how it is introduced, what it is of)
_MEASURES = (
    ("likelihood", "bits_per_byte", "in", "bits per byte"),
    ("rest", "exact_match", _EXACT, "rests of a line"),
    ("line", "exact_match", _EXACT, "lines"),
    ("arguments", "exact_match", _EXACT, "call arguments"),
    ("imports", "exact_match", _EXACT, "imports"),
    ("block", "edit_similarity", _ALIKE, "blocks"),
    ("body", "edit_similarity", _ALIKE, "function bodies"),
    ("nothing", "exact_match", "in", "silence where nothing is needed"),
)
_JUDGED = {"model": "the model", "served": "the model with its index, as it is served,"}
_OPPONENTS = {
    "ngram": "the n-gram",
    "base": "its base",
    "untrained": "the untrained model",
    "model": "the model without the index",
}
_NAMED = 3
_WORDS = {1: "better than", 0: "not distinguishable from", -1: "worse than"}


def verdict(differences: Mapping[str, Mapping[str, Mapping[str, Score]]], files: int, judged: str = "model") -> str:
    """The sentence for {opponent: {"likelihood" or kind: {score: judged − opponent}}}; "served" or "model" is judged.

    Every measure of every opponent is named, or meant by "all else"; what the 95 % interval leaves open is said so.
    """
    against = [_against(opponent, measured) for opponent, measured in differences.items()]
    return f"On {files:,} held-out {'file' if files == 1 else 'files'} {_JUDGED[judged]} is {'; it is '.join(against)}."


def _against(opponent: str, measured: Mapping[str, Mapping[str, Score]]) -> str:
    found: dict[int, dict[str, list[str]]] = {sign: {} for sign in _WORDS}
    for measure, score, introduction, words in _MEASURES:
        told = measured.get(measure, {}).get(score)
        if told is not None and (opponent, measure) != ("ngram", "nothing"):
            better = -told.sign if score == "bits_per_byte" else told.sign  # of bits, fewer are better
            found[better].setdefault(introduction, []).append(words)
    said: list[str] = []
    # What nobody can tell comes last where it is much, and need not be named one by one then.
    much = sum(map(len, found[0].values())) > _NAMED
    for better in sorted((sign for sign in found if found[sign]), key=lambda sign: much and sign == 0):
        named = _listed([f"{introduction} {_listed(words)}" for introduction, words in found[better].items()])
        if said and much and better == 0:
            named = "in all else"
        said.append(f"{_WORDS[better]} {'it' if said else _OPPONENTS[opponent]} {named}")
    return _listed(said)


def _listed(names: list[str]) -> str:
    """a, b and c."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
