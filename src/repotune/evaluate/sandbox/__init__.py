"""Runs code that nobody has read: Python programs by the thousand, and commands of any other language."""
