"""Streams whose keys and values lie in shared pages and which compute together, over any backend's passes."""
