"""What an epoch is made of: tokens by language and by repository, as they are stored and as their weights repeat them.

{"languages": {…: {"documents", "tokens", "epoch_tokens"}}, "repositories": {… same}}
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Mixture = dict[str, dict[str, dict[str, int]]]


class MixtureCount:
    """The mixture of documents that come in batches. `groups` are what they are told apart by: "languages", …"""

    def __init__(self, *groups: str) -> None:
        self._counts = {group: defaultdict[str, list[float]](lambda: [0, 0, 0.0]) for group in groups}
        self.uneven = False
        """Whether some weight is not 1."""

    def add(self, sizes: Sequence[int], weights: Sequence[float], *names: Sequence[str]) -> None:
        """Documents of `sizes` tokens; `names` are those of each group, in order."""
        for amounts, column in zip(self._counts.values(), names, strict=True):
            for size, weight, name in zip(sizes, weights, column, strict=True):
                amount = amounts[name]
                amount[0] += 1
                amount[1] += size
                amount[2] += size * weight
        self.uneven = self.uneven or any(weight != 1 for weight in weights)

    def total(self) -> Mixture:
        """What all of them are, each group by name."""
        return {
            group: {
                name: {"documents": int(documents), "tokens": int(tokens), "epoch_tokens": round(seen)}
                for name, (documents, tokens, seen) in sorted(amounts.items())
            }
            for group, amounts in self._counts.items()
        }


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


def share_factors(documents: Iterable[tuple[list[Any], ...]], shares: Mapping[str, float]) -> dict[str, float]:
    """What the weights of each of `shares`' repositories are multiplied by, so that it makes up that share of an epoch.

    `documents` come in batches: repositories, weights and bytes. A repository without text has no factor.
    """
    amounts: dict[str, float] = defaultdict(float)
    for repositories, weights, sizes in documents:
        for repository, weight, size in zip(repositories, weights, sizes, strict=True):
            amounts[repository] += weight * size
    held = {name: share for name, share in shares.items() if amounts[name]}
    others = sum(amount for name, amount in amounts.items() if name not in held)
    whole = others / (1 - sum(held.values()))
    return {name: share * whole / amounts[name] for name, share in held.items()}
