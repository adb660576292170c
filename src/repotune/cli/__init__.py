"""The commands: they parse, call a room and print. A room is imported only when its command runs."""
