"""Infilling tests from a team's own held-out files: holes by kind, what other files say, which lines came later."""
