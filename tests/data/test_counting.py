"""Counts in sentences."""

from synthcxr.data.counting import format_count


def test_the_noun_agrees_with_the_count() -> None:
    """One film, several or no films; thousands are separated."""
    assert [format_count(n, "film") for n in (0, 1, 2, 2_137)] == ["0 films", "1 film", "2 films", "2,137 films"]
