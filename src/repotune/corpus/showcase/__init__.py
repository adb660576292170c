"""examples.json: what a corpus looks like, in distributions, dropped files with their reasons, and near-duplicates."""
