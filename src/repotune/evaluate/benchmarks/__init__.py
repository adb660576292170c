"""Benchmarks whose answers are programs: problems, answers drawn from a model, verdicts of their tests, pass@k."""
