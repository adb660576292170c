"""The steps in order, and what is derived from the one dial."""
