"""Repositories become training text: sources, languages, licences, signals, profile, duplicates, split."""
