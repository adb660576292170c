"""The comparison in one sentence, from the paired intervals alone.

As the verdict of results: likelihood is judged by bits per byte, short holes by exact matches, long ones by edit
similarity. What is told apart is said with its interval, and what is not is named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from repotune.evaluate.comparison.bootstrap import Difference

_EXACT, _ALIKE = "exact ", "the edit similarity of "
# (part, measure, how it is introduced, what it is of)
_OWN_CODE = (
    ("likelihood", "bits_per_byte", "", "bits per byte"),
    ("rest", "exact_match", _EXACT, "rests of a line"),
    ("line", "exact_match", _EXACT, "lines"),
    ("arguments", "exact_match", _EXACT, "call arguments"),
    ("imports", "exact_match", _EXACT, "imports"),
    ("block", "edit_similarity", _ALIKE, "blocks"),
    ("body", "edit_similarity", _ALIKE, "function bodies"),
    ("nothing", "exact_match", "silence where ", "nothing is needed"),
)
_WORDS = {1: "better than", -1: "worse than", 0: "not distinguishable from"}

Measured = Mapping[str, Mapping[str, Difference]]
_Told = tuple[str, str, Difference]


def own_code_verdict(differences: Mapping[str, Measured], first: str, files: int, same: Sequence[str]) -> str:
    """The sentence for {opponent: {part: {measure: opponent − first}}} on `files` held-out files. Opponents of `same`
    are the first model."""
    against = [
        f"{opponent} is {first}: weights and vocabulary are the same"
        if opponent in same
        else _against(f"{opponent} is", first, _present(measured))
        for opponent, measured in differences.items()
    ]
    return f"On {files:,} held-out {'file' if files == 1 else 'files'} {'; '.join(against)}{_correction(differences)}."


def benchmark_verdict(differences: Mapping[str, Measured], first: str, benchmark: str, problems: int) -> str:
    """The same for a benchmark, by pass@k of all its problems."""
    against = [
        _against(f"{opponent} is", first, [("", *told) for told in measured["all"].items()])
        for opponent, measured in differences.items()
    ]
    return f"On {problems:,} problems of {benchmark} {'; '.join(against)}{_correction(differences)}."


def _present(measured: Measured) -> list[_Told]:
    return [
        (introduction, words, measured[part][measure])
        for part, measure, introduction, words in _OWN_CODE
        if part in measured and measure in measured[part]
    ]


def _against(begun: str, first: str, told: Sequence[_Told]) -> str:
    said: list[str] = []
    for sign, words in _WORDS.items():
        groups: dict[str, list[str]] = {}
        for introduction, measure, one in told:
            if one.told == sign:
                groups.setdefault(introduction, []).append(f"{measure}{_gain(one) if sign else ''}")
        if groups:
            named = listed([introduction + listed(names) for introduction, names in groups.items()])
            said.append(f"{words} {'it' if said else first} in {named}")
    return f"{begun} {listed(said)}"


def _gain(one: Difference) -> str:
    """` (−0.080 [−0.100, −0.060])`; shares in points of a hundred."""
    assert one.low is not None
    assert one.high is not None
    value, low, high = (_written(number, one.fewer_is_better) for number in (one.value, one.low, one.high))
    return f" ({value}{'' if one.fewer_is_better else ' points'} [{low}, {high}])"


def _written(number: float, bits: bool) -> str:
    return (f"{number:+.3f}" if bits else f"{100 * number:+.1f}").replace("-", "−")


def _correction(differences: Mapping[str, Measured]) -> str:
    return f" (Holm's correction for {len(differences)} comparisons)" if len(differences) > 1 else ""


def listed(names: Sequence[str]) -> str:
    """
    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
