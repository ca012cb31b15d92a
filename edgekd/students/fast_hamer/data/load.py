"""Hands by the name of their source. numpy and Pillow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import ceil
from pathlib import Path

import numpy as np

from edgekd.errors import MissingError, RequestError
from edgekd.students.fast_hamer.config import DataConfig
from edgekd.students.fast_hamer.data.base import Hand, Hands
from edgekd.students.fast_hamer.data.freihand import load_freihand
from edgekd.students.fast_hamer.data.ho3d import load_ho3d
from edgekd.students.fast_hamer.data.mano import landmarks_alone
from edgekd.students.fast_hamer.data.npz import load_arrays
from edgekd.students.fast_hamer.data.tars import load_tars
from edgekd.students.fast_hamer.hand.load import SHIPPED

RENDERED = "edgekd:hands"
"""The source that edgekd draws itself."""
STARTS = 5
"""Places where the labelled hands may begin, by `data.split`."""


def load(config: DataConfig) -> Hands:
    """The hands of a source, its tests evenly thinned to `data.tests`. Hands of which not all landmarks are known in
    space test nothing: there is nothing to measure an error by. Raises MissingError or RequestError."""
    found = _found(config)
    hands = replace(found, test=tuple(hand for hand in found.test if is_whole(hand)))
    if not hands.training or not hands.test:
        lacking = "train" if not hands.training else "test"
        message = f"`{config.source}` holds no hand to {lacking} on" + ", all its landmarks known" * (not hands.test)
        raise RequestError(message, "name another source in `data.source`")
    picks = np.unique(np.linspace(0, len(hands.test) - 1, min(config.tests, len(hands.test))).round().astype(int))
    return replace(hands, test=tuple(hands.test[i] for i in picks))


def is_whole(hand: Hand) -> bool:
    """Whether all its landmarks are known in space."""
    return hand.joints is not None and bool((hand.joints[:, 3] > 0).all())


def _found(config: DataConfig) -> Hands:
    path = Path(config.source)
    if config.source == RENDERED:
        from edgekd.students.fast_hamer.data.rendered import load_rendered

        return load_rendered(config)
    if not path.exists():
        raise MissingError(f"`{config.source}` does not exist", f"name a file or a folder of hands, or `{RENDERED}`")
    if path.suffix == ".npz":
        return load_arrays(path, config)
    hands = _reader(path)(path, config)
    return landmarks_alone(hands) if config.hand == SHIPPED else hands


def _reader(path: Path) -> Callable[[Path, DataConfig], Hands]:
    """What reads a source of the layout that this one has."""
    if (path / "training_xyz.json").is_file():
        return load_freihand
    if (path / "train.txt").is_file():
        return load_ho3d
    if path.suffix == ".tar" or any(path.glob("*.tar")):
        return load_tars
    raise RequestError(
        f"`{path}` is no known source of hands",
        "name an `.npz` file, a folder of FreiHAND's or HO-3D's layout, or one of HaMeR's `.tar` files",
    )


def labelled(config: DataConfig, hands: Hands) -> set[str]:
    """Ids of the training hands whose labels are used: a contiguous run of `data.labelled` of them, which begins where
    `data.split` says and goes on at the first after the last; a smaller share is part of a larger one. Ours."""
    count = len(hands.training)
    start = config.split % STARTS * count // STARTS
    return {hands.training[(start + i) % count].id for i in range(ceil(config.labelled * count))}
