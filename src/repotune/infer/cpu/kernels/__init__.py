"""The arithmetic on a CPU: vectors, products, attention and the threads that share them, compiled by numba."""
