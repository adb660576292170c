"""What an epoch is made of: tokens by language and by repository, as they are stored and as their weights repeat them.

{"languages": {…: {"documents", "tokens", "epoch_tokens"}}, "repositories": {… same}}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

Mixture = dict[str, dict[str, dict[str, int]]]


def count_mixture(sizes: Sequence[int], weights: Sequence[float], groups: Mapping[str, Sequence[str]]) -> Mixture:
    """The mixture of documents of `sizes` tokens. `groups`: for "languages", … the name of each document's."""
    tokens = np.asarray(sizes, np.float64)
    seen = tokens * np.asarray(weights, np.float64)
    return {group: _grouped(names, tokens, seen) for group, names in groups.items()}


def describe_mixture(mixture: Mixture) -> list[str]:
    """The mixture in lines for a person: what an epoch sees, and the shares of the most common."""
    total = sum(amount["epoch_tokens"] for amount in mixture["languages"].values())
    lines = [f"an epoch sees {total:,} tokens"]
    for group, amounts in mixture.items():
        ordered = sorted(amounts.items(), key=lambda item: (-item[1]["epoch_tokens"], item[0]))
        shares = (f"{name} {100 * amount['epoch_tokens'] / max(1, total):.0f} %" for name, amount in ordered[:6])
        further = f" and {len(ordered) - 6} more" if len(ordered) > 6 else ""
        lines.append(f"{group}: {', '.join(shares)}{further}")
    return lines


def _grouped(
    names: Sequence[str], tokens: npt.NDArray[np.float64], seen: npt.NDArray[np.float64]
) -> dict[str, dict[str, int]]:
    distinct, place = np.unique(np.asarray(names, dtype=np.str_), return_inverse=True)
    documents, stored, weighted = (
        np.bincount(place, weights=amount, minlength=len(distinct)) for amount in (np.ones(len(tokens)), tokens, seen)
    )
    return {
        str(name): {
            "documents": int(documents[row]),
            "tokens": int(stored[row]),
            "epoch_tokens": round(float(weighted[row])),
        }
        for row, name in enumerate(distinct)
    }
