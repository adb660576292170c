"""What is learnt from: git repositories, folders, archives, data sets and question sites, here or elsewhere."""

from repotune.corpus.sources.opening import Listing, list_source, open_sources, state_of
from repotune.corpus.sources.source import Source

__all__ = ["Listing", "Source", "list_source", "open_sources", "state_of"]
