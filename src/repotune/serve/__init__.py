"""A release over HTTP: the server with its page, and the trial that asks a real server for completions."""
