"""What was made last is not made again, within bounds, and never where it was made of something else."""

from __future__ import annotations

from lexicell._recent import Recent


def test_a_value_is_made_once_for_a_key():
    recent, made = Recent(2, 100), []
    values = [recent.get(key, lambda key=key: made.append(key) or f"of {key}") for key in "aabab"]
    assert values == ["of a", "of a", "of b", "of a", "of b"]
    assert made == ["a", "b"]


def test_the_one_that_was_asked_for_longest_ago_goes_first():
    recent, made = Recent(2, 100), []
    for key in "abaca":
        recent.get(key, lambda key=key: made.append(key))
    assert made == ["a", "b", "c"]  # c took the place of b
    recent.get("b", lambda: made.append("b again"))
    assert made[-1] == "b again"


def test_bytes_are_bounded_and_too_large_a_value_leaves_the_others():
    recent, made = Recent(8, 100), []

    def get(key: str, size: int) -> None:
        recent.get(key, lambda: made.append(key), lambda _: size)

    for key, size in [("a", 60), ("large", 101), ("a", 60), ("b", 50), ("b", 50), ("a", 60)]:
        get(key, size)
    assert made == ["a", "large", "b", "a"]


def test_an_error_is_not_kept():
    recent = Recent(2, 100)
    for _ in range(2):
        try:
            recent.get("a", lambda: 1 // 0)
        except ZeroDivisionError:
            continue
    assert recent.get("a", lambda: 1) == 1
