"""A time-bin interferometer: photons in time bins, delay loops that let neighbours meet on a beam splitter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgekd.errors import RequestError

Floats = NDArray[np.float64]
Unitary = NDArray[np.float64] | NDArray[np.complex128]


MOST = 40
"""Photons up to which amplitudes, sums of terms that cancel, keep 11 digits."""


@dataclass(frozen=True)
class Circuit:
    """`modes` time bins with `photons` in each, and loops of a length in bins, one after the other.

    A loop of length L couples bins (a, a + L), a = 0 .. modes - L - 1, in this order: the layout of ORCA's time-bin
    interferometers. Raises RequestError for what is none.
    """

    photons: tuple[int, ...]
    """Input photons by mode."""
    loops: tuple[int, ...] = (1, 1)
    """Lengths in bins."""
    phases: bool = False
    """Whether a phase shifter stands before each beam splitter."""

    def __post_init__(self) -> None:
        checked_photons(self.photons)
        if wrong := [length for length in self.loops if not 1 <= length < self.modes]:
            raise RequestError(f"a loop of {wrong[0]} bins does not fit {self.modes} modes", "1 to modes - 1")

    @property
    def modes(self) -> int:
        """Time bins."""
        return len(self.photons)

    @property
    def total(self) -> int:
        """Photons in all."""
        return sum(self.photons)

    @property
    def splitters(self) -> int:
        """Beam splitters."""
        return sum(self.modes - length for length in self.loops)

    @property
    def angles(self) -> int:
        """Numbers that set the circuit: an angle of each beam splitter, then, with `phases`, a phase of each."""
        return self.splitters * (2 if self.phases else 1)

    def checked(self, angles: ArrayLike) -> Floats:
        """Angles (..., `self.angles`) in radians as float64. Raises RequestError for another length or NaN."""
        try:
            found = np.asarray(angles, np.float64)
        except (TypeError, ValueError):
            raise RequestError("the angles are not numbers", "give radians") from None
        if found.ndim == 0 or found.shape[-1] != self.angles:
            raise RequestError(
                f"the circuit has {self.angles} angles, {list(found.shape)} were given", "one a splitter"
            )
        if not np.isfinite(found).all():
            raise RequestError("an angle is not finite", "give radians")
        return found

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The bins of each beam splitter, in order."""
        return [(a, a + length) for length in self.loops for a in range(self.modes - length)]

    def unitary(self, angles: ArrayLike) -> Unitary:
        """(..., modes, modes): amplitude from mode j (column) to mode i (row); real without phases.

        A beam splitter of angle t is the rotation [[cos t, sin t], [-sin t, cos t]] of its two bins, its reflectivity
        cos(t)^2; a phase p multiplies the earlier bin by exp(ip) before it.
        """
        return self.transfer(angles)

    def transfer(self, angles: ArrayLike, loss: float = 0.0) -> Unitary:
        """As `unitary`, where a photon is lost with probability `loss` in each round trip of a loop.

        A bin takes one before its beam splitter; the last bins, which meet none, take one before they leave. Ours.
        """
        given = self.checked(angles)
        splits, phases = given[..., : self.splitters], given[..., self.splitters :]
        cos, sin, kept = np.cos(splits), np.sin(splits), np.sqrt(1 - loss)
        turns = kept * np.exp(1j * phases) if self.phases else np.full(splits.shape, kept)
        out = np.zeros((*given.shape[:-1], self.modes, self.modes), turns.dtype)
        out[...] = np.eye(self.modes)
        for i, (a, b) in enumerate(self.pairs):
            first, c, s = turns[..., i, None] * out[..., a, :], cos[..., i, None], sin[..., i, None]
            out[..., a, :], out[..., b, :] = c * first + s * out[..., b, :], c * out[..., b, :] - s * first
            if b == self.modes - 1:
                out[..., a + 1 :, :] *= kept
        return out


def checked_photons(photons: tuple[int, ...]) -> None:
    """Raises RequestError for what is no count by mode, or for more photons than `MOST`."""
    if not photons or not all(isinstance(n, int | np.integer) and n >= 0 for n in photons):
        raise RequestError(f"photons {list(photons)} are not counts by mode", "write for example `[1, 0, 1, 0]`")
    if sum(photons) > MOST:
        raise RequestError(f"{sum(photons)} photons are too many to keep their digits", f"take at most {MOST}")


def alternating(modes: int) -> tuple[int, ...]:
    """A photon in every second mode, from the first on."""
    return tuple((i + 1) % 2 for i in range(modes))
