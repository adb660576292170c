"""The engine on a CPU: packed weights, pages of keys and values, and streams computed together."""
