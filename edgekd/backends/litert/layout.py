"""How a tensor of the graph lies in a .tflite file: an order of its axes, and what a Reshape does to it."""

from __future__ import annotations

from collections.abc import Sequence

Layout = tuple[int, ...]
"""Axis of the graph at each axis of the file: (0, 2, 3, 1) where NCHW is stored as NHWC."""
Shape = tuple[int, ...]
NHWC: Layout = (0, 2, 3, 1)


def plain(rank: int) -> Layout:
    """The graph's own order."""
    return tuple(range(rank))


def channels_last(rank: int) -> Layout:
    """NHWC of four axes; else the graph's own order."""
    return NHWC if rank == 4 else plain(rank)


def with_last(layout: Layout, axis: int) -> Layout:
    """The same with `axis` moved behind all others."""
    return (*(a for a in layout if a != axis), axis)


def stored(shape: Sequence[int], layout: Layout) -> Shape:
    """The shape in the file."""
    return tuple(shape[a] for a in layout)


def permutation(source: Layout, to: Layout) -> Layout:
    """What TRANSPOSE is told to bring one layout into another."""
    return tuple(source.index(a) for a in to)


def same_order(shape: Sequence[int], a: Layout, b: Layout) -> bool:
    """Whether two layouts put the values in one order: axes of one element do not count."""
    return [i for i in a if shape[i] != 1] == [i for i in b if shape[i] != 1]


def reshaped(before: Shape, after: Shape, layout: Layout) -> Layout | None:
    """The layout behind a Reshape that moves no value; None where it joins or cuts axes that lie apart in the file."""
    groups = _groups(before, after)
    group_of = {axis: i for i, (axes, _) in enumerate(groups) for axis in axes}
    order = [axis for axis in layout if before[axis] != 1]
    runs = [group_of[axis] for i, axis in enumerate(order) if i == 0 or group_of[axis] != group_of[order[i - 1]]]
    if len(runs) != len(set(runs)) or order != sorted(order, key=lambda a: (runs.index(group_of[a]), a)):
        return None
    single = [i for i in range(len(groups)) if i not in runs]
    out = tuple(axis for i in (*single, *runs) for axis in groups[i][1])
    return plain(len(after)) if same_order(after, out, plain(len(after))) else out


def _groups(before: Shape, after: Shape) -> list[tuple[list[int], list[int]]]:
    """The smallest runs of axes on both sides that hold equally many values."""
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(before) or j < len(after):
        left, right, n, m = list[int](), list[int](), 1, 1
        while i < len(before) and (not left or n < m):
            left, n, i = [*left, i], n * before[i], i + 1
            while j < len(after) and (not right or m < n):
                right, m, j = [*right, j], m * after[j], j + 1
        while not left and j < len(after):  # ones at the end
            right, j = [*right, j], j + 1
        groups.append((left, right))
    return groups
