"""Which of several points no other is better than in both ways."""

from __future__ import annotations

from collections.abc import Sequence

Point = tuple[float, float]
"""A cost, lower is better, and a score, higher is better."""


def front(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats, by rising cost; one beats another if no worse in both and better in one."""
    best: list[Point] = []
    for point in sorted(set(points), key=lambda p: (p[0], -p[1])):
        if not best or point[1] > best[-1][1]:
            best.append(point)
    return best
