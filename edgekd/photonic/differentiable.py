"""The exact distribution and features of a circuit in torch, differentiable in its angles, on the angles' device."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgekd.errors import RequestError
from edgekd.photonic.basis import Ints, count, starts
from edgekd.photonic.circuit import Circuit
from edgekd.photonic.clicks import halves_order, side_patterns
from edgekd.photonic.fock import allow, estimate
from edgekd.photonic.halves import Split, polynomials, shares, split, weights

KEPT = 4
"""How much more memory autograd holds than a forward pass."""


def unitary(circuit: Circuit, angles: Tensor) -> Tensor:
    """(..., modes, modes) of angles (..., circuit.angles); `Circuit.unitary` tells the convention.

    Raises RequestError for angles of another length, that are not finite, or not floats.
    """
    if not angles.is_floating_point():
        raise RequestError(f"angles of {angles.dtype} are no radians", "give float32 or float64")
    circuit.checked(angles.detach().cpu().numpy())
    splits, phases = angles[..., : circuit.splitters], angles[..., circuit.splitters :]
    turns = torch.polar(torch.ones_like(phases), phases) if circuit.phases else torch.ones_like(splits)
    start = torch.eye(circuit.modes, dtype=turns.dtype, device=angles.device)
    rows = list(start.expand(*angles.shape[:-1], -1, -1).unbind(-2))
    for i, (a, b) in enumerate(circuit.pairs):
        first, c, s = turns[..., i, None] * rows[a], splits[..., i, None].cos(), splits[..., i, None].sin()
        rows[a], rows[b] = c * first + s * rows[b], c * rows[b] - s * first
    return torch.stack(rows, -2)


def distribution(circuit: Circuit, angles: Tensor, limit: int | None = None) -> Tensor:
    """(..., states): probabilities of the photon numbers `basis.states`; refuses as `fock.distribution` does."""
    total = count(circuit.modes, circuit.total)
    order = np.arange(circuit.modes)
    where, left, right = _sides(circuit, angles, order, KEPT * total, f"the gradient of {total:,} states", limit)
    blocks = [_squared(a.transpose(-1, -2) @ b).flatten(-2) for a, b in zip(left, right, strict=True)]
    out = blocks[0].new_zeros(*angles.shape[:-1], total)
    return out.index_copy(-1, torch.as_tensor(_places(where), device=out.device), torch.cat(blocks, -1))


def features(circuit: Circuit, angles: Tensor, interleaved: bool = False, limit: int | None = None) -> Tensor:
    """(..., 2 * 2^(modes / 2)): `clicks.features`; refuses as that does."""
    order, bins = halves_order(circuit.modes, interleaved), 1 << circuit.modes // 2
    where, left, right = _sides(circuit, angles, order, KEPT * bins, "the gradient of the histogram", limit)
    out = []
    for side, (mine, others) in enumerate(((left, right), (right, left))):
        found = torch.cat([_norms(a, b) for a, b in zip(mine, others, strict=True)], -1)
        index = torch.as_tensor(_patterns(where, side), device=found.device)
        out.append(found.new_zeros(*angles.shape[:-1], bins).index_add(-1, index, found))
    return torch.cat(out, -1)


def _sides(
    circuit: Circuit, angles: Tensor, order: Ints, kept: int, what: str, limit: int | None
) -> tuple[Split, list[Tensor], list[Tensor]]:
    """The cut, and both sides by level as in `Halves`. Zeros are the layout's, not those of single angles."""
    matrix = unitary(circuit, angles)[..., torch.as_tensor(order), :]
    where = split(_layout(circuit)[order], circuit.photons, circuit.modes // 2)
    allow(KEPT * estimate(where, int(np.prod(angles.shape[:-1])), matrix.element_size(), kept), what, limit)
    forms, cut = matrix.transpose(-1, -2), where.modes[0]
    one = matrix.new_ones(*angles.shape[:-1], 1, 1)
    left, right = (
        polynomials(torch.nn.functional.pad(part, (0, 1)), one, given, where.free, part.shape[-1], _take)
        for part, given in ((forms[..., :cut], where.left), (forms[..., cut:], where.right))
    )
    scales = [weights(where, circuit.photons, level) for level in where.levels]
    others = [_take(right[-1 - p], rows, -2) for p, rows in enumerate(shares(where.free).others)]
    return (
        where,
        [side * _like(scale, side) for side, (scale, _) in zip(left, scales, strict=True)],
        [side * _like(scale, side) for side, (_, scale) in zip(others, scales, strict=True)],
    )


def _layout(circuit: Circuit) -> NDArray[np.float64]:
    """A unitary without accidental zeros."""
    plain = Circuit(circuit.photons, circuit.loops)
    return np.asarray(plain.unitary(np.linspace(0.3, 0.9, plain.angles)).real)


def _like(scale: NDArray[np.float64], other: Tensor) -> Tensor:
    return torch.as_tensor(scale, dtype=other.real.dtype, device=other.device)


def _take(array: Tensor, indices: NDArray[Any], axis: int) -> Tensor:
    return array.index_select(axis, torch.as_tensor(indices, device=array.device))


def _squared(amplitudes: Tensor) -> Tensor:
    return amplitudes.real**2 + amplitudes.imag**2 if amplitudes.is_complex() else amplitudes**2


def _norms(mine: Tensor, other: Tensor) -> Tensor:
    products = other.conj() @ other.transpose(-1, -2)
    return (mine.conj() * (products @ mine)).sum(-2).real


@lru_cache(maxsize=16)
def _places(where: Split) -> Ints:
    """Where the states of the blocks lie among all."""
    found = []
    for n, k in map(where.photons, where.levels):
        begin = starts(*where.modes, n, k)
        found.append((begin[:, None] + np.arange(count(where.modes[1], k))).ravel())
    return np.concatenate(found)


@lru_cache(maxsize=32)
def _patterns(where: Split, side: int) -> Ints:
    """The click pattern of each state of a side."""
    return np.concatenate([side_patterns(where.modes[side], where.photons(level)[side]) for level in where.levels])
