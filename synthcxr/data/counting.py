"""Counts in sentences."""

__all__ = ["format_count"]


def format_count(n: int, noun: str) -> str:
    """A count and its noun, in the plural if the count is not 1: "1 film", "2,137 films"."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
