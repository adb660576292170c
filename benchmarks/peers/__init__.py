"""Other engines to measure against, a module each; every one runs in a process of its own (`process`, `worker`)."""
