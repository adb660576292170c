"""The engine on a CPU: packed weights, and the kernels that compute passes with them."""
