"""run/ + corpus/ → results/: items from held-out files, likelihood, a strong n-gram opponent, honest intervals."""
