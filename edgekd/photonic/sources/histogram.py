"""Clicks as features."""

from __future__ import annotations

import numpy as np

from edgekd.errors import RequestError
from edgekd.photonic.base import Clicks
from edgekd.photonic.circuit import Circuit, Floats


def histogram(clicks: Clicks) -> Floats:
    """(shots, modes) as the shares of each pattern of the first half of the modes, then of the second."""
    shots, modes = clicks.shape
    half = modes // 2
    codes = clicks.reshape(shots, 2, half) @ (1 << np.arange(half)[::-1])
    return np.concatenate([np.bincount(codes[:, i], minlength=1 << half) for i in (0, 1)]) / shots


def positive(shots: int) -> int:
    """The number of shots. Raises RequestError where it is not one at least."""
    if shots < 1:
        raise RequestError(f"{shots} shots give no features", "1 or more")
    return shots


def half_bins(circuit: Circuit) -> int:
    """Patterns of half the modes. Raises RequestError for an odd number of modes."""
    if circuit.modes % 2:
        raise RequestError(f"{circuit.modes} modes have no halves", "an even number of modes")
    return int(2 ** (circuit.modes // 2))
