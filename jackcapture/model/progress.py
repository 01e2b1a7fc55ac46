"""How long work tells how far it has come."""

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""Told how much is done, of how much (0: unknown), and of what; on any thread."""
