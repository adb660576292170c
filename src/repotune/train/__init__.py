"""Tokens to weights: the one training loop and what it is made of."""
