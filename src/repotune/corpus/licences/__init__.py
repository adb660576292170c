"""The licence of each file: what its repository states, what it says of itself, and what a project learns from."""
