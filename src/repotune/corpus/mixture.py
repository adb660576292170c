"""How often each training document is seen: weights by language, by repository and by importance, multiplied.

A weight w means that an epoch sees the document floor(w) times, and once more with probability w − floor(w). Repeating
is nearly as good as fresh text up to about four times (Muennighoff et al. 2023, arXiv 2305.16264).
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from repotune.core.errors import UserError
from repotune.core.settings import MixtureSettings
from repotune.corpus.hashing import mix
from repotune.corpus.languages import wanted_languages
from repotune.corpus.logistic import Floats
from repotune.corpus.rows import with_columns

# A document counts as an example of 128 words, the chunks of the DSIR paper: 256 words and pairs of them. Of 4 MB drawn
# from 26 MB of Python for held-out files of another package, an n-gram model had 2.25 bits per byte this way, 2.39 by
# the paper's sum over the whole document, 2.44 drawn blindly.
_NGRAMS = 256
# How steeply repetition rises: towards 256 it becomes DSIR's choice, and what is not chosen is lost. At 8, four times
# at most, the divergence from held-out files of two targets fell by 91 % and 82 % of what 256 gives, and the text was
# still worth 0.53 and 0.60 of itself (Kish's effective size) instead of 0.26.
_STRENGTH = 8.0


@dataclass(frozen=True)
class Mix:
    """Adds `weight` to a batch with `language` and `repository`: the product of what the project says of both."""

    settings: MixtureSettings

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        languages, repositories = self.settings.languages, self.settings.repositories
        names = zip(batch.column("language").to_pylist(), batch.column("repository").to_pylist(), strict=True)
        weights = [languages.get(language, 1.0) * repositories.get(repository, 1.0) for language, repository in names]
        return with_columns(batch, weight=pa.array(weights, pa.float64()))


def check_names(settings: MixtureSettings, repositories: Collection[str]) -> None:
    """Raises UserError for a language that is unknown, and for a repository that is not one of these."""
    wanted_languages(tuple(settings.languages) or None)
    for name in (*settings.repositories, *settings.shares):
        if name not in repositories:
            raise UserError(
                f"corpus.mixture names {name}, which is not one of the repositories.",
                f"their names are: {', '.join(sorted(repositories))}",
            )


def sampling_keys(importance: Floats, draws: Floats) -> Floats:
    """The keys by whose descending order documents are drawn without replacement, with odds as their importance.

    `draws` are numbers in 0…1, one a document, that decide; the keys are Gumbel's (Kool et al. 2019), as in DSIR.
    """
    fresh = (mix(draws.view(np.uint64)) >> np.uint64(11)) * 2.0**-53  # the draws themselves chose the validation split
    keys: Floats = _NGRAMS * importance - np.log(-np.log(np.clip(fresh, 2.0**-53, 1 - 2.0**-53)))
    return keys


@dataclass(frozen=True)
class Limited:
    """Weights that rise with the importance up to `most`. `offset` settles how long an epoch is."""

    offset: float
    most: float

    def weights(self, importance: Floats) -> Floats:
        """The weight of each document, to four digits."""
        weights: Floats = np.minimum(self.most, np.exp(_STRENGTH * importance + self.offset))
        return weights.round(4)


def limited(importance: Floats, sizes: Floats, most: float) -> Limited:
    """The weights that leave an epoch as long as it is without them.

    `sizes` are the bytes at each importance: of single documents, or of all in a narrow range.
    """
    low = -_STRENGTH * float(importance.max(initial=0.0))
    high = math.log(most) - _STRENGTH * float(importance.min(initial=0.0))
    for _ in range(60):  # halved until doubles end
        middle = (low + high) / 2
        weights = np.minimum(most, np.exp(_STRENGTH * importance + middle))
        low, high = (middle, high) if float((sizes * weights).sum()) < float(sizes.sum()) else (low, middle)
    return Limited((low + high) / 2, most)
