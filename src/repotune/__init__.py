"""repotune: a team's repositories in, its own code-completion model out, all on its own machines."""

__version__ = "0.1.0"
