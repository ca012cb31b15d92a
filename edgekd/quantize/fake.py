"""Fake quantizers: one object per tensor owns scale, zero point and range, trains with them, and emits its Q/DQ pair.

`q = clamp(round(x / s) + z)`, `y = (q - z) * s`. The step is learned (LSQ, Esser et al. 2020, arXiv
1902.08153: straight-through rounding, gradient scale `1 / sqrt(N * qmax)`), kept as its base-2 logarithm.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from edgekd.errors import RequestError
from edgekd.quantize.calibration import observer
from edgekd.quantize.grid import Grid, Ties, round_ties
from edgekd.schema.recipe import Calibration

Mode = Literal["observe", "quantize", "export", "float"]
_symbolic: Any = torch.onnx.ops.symbolic


class _FakeQuantize(torch.autograd.Function):
    """Straight-through rounding with a learned step; codes around zero stay in [low, high], `s` broadcasts against `x`.

    With `y` the result, LSQ's slope is `(y - x) / s` inside the range and `y / s` outside, so that `x` and `y`, which
    neighbours keep anyway, are all that is saved.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, s: Tensor, low: float, high: float, ties: Ties) -> Tensor:
        y = round_ties(torch.div(x, s), ties).clamp_(low, high).mul_(s)
        ctx.save_for_backward(x, y, s)
        ctx.limits = low - 0.5, high + 0.5
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, y, s = ctx.saved_tensors
        low, high = ctx.limits
        learns, one = ctx.needs_input_grad[1], s.numel() == 1
        gain = 1.0 / math.sqrt(x.numel() / s.numel() * max(high - 0.5, 1.0))
        if one:  # in few passes over memory
            step = s.item()
            inside = torch.ops.aten.hardtanh_backward(grad, x, low * step, high * step)
            slope = _dot(grad, y) - _dot(inside, x) if learns else None
        else:
            inside = grad * ((x > low * s) & (x < high * s))
            slope = (grad * y).addcmul_(inside, x, value=-1.0).sum_to_size(s.shape) if learns else None
        return inside, None if slope is None else (slope / s * gain).reshape(s.shape), None, None, None


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Sum of products; without a temporary where both lie alike in memory."""
    dense = a.is_contiguous() or a.is_contiguous(memory_format=torch.channels_last)
    if dense and a.stride() == b.stride():
        return torch.dot(*(torch.as_strided(t, (t.numel(),), (1,), t.storage_offset()) for t in (a, b)))
    return (a * b).sum()


class Quantizer(nn.Module):
    """Scale, zero point and grid of one tensor."""

    def __init__(self, shape: tuple[int, ...], grid: Grid) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(shape))
        self.zero_point: Tensor
        self.register_buffer("zero_point", torch.zeros(()))
        self.grid = grid
        self.mode: Mode = "float"

    def scale(self) -> Tensor:
        """The step, float32; a power of two where the arithmetic asks for it (straight-through exponent)."""
        e: Tensor = self.log_scale
        if self.grid.power_of_two:
            e = e + (torch.round(e) - e).detach()
        return torch.exp2(e)

    def set_scale(self, scale: Tensor) -> None:
        """Take a step; rounded up to a power of two where the arithmetic asks for it. No range: a step of 1."""
        scale = torch.where(scale > 0, scale, 1.0).clamp_min(2.0**-30)
        mantissa, exponent = torch.frexp(scale)
        log = exponent - (mantissa == 0.5).float() if self.grid.power_of_two else torch.log2(scale)
        self.log_scale.data.copy_(log.reshape(self.log_scale.shape))

    def fake(self, x: Tensor) -> Tensor:
        """`x` on the grid, float."""
        zero = self.zero_point.item()
        ends = self.grid.qmin - zero, self.grid.qmax - zero
        out: Tensor = _FakeQuantize.apply(x, self.scale(), *ends, self.grid.ties)  # type: ignore[no-untyped-call]
        return out

    def codes(self, x: Tensor) -> Tensor:
        """The integers of `x`, as float."""
        rounded = round_ties(x / self.scale(), self.grid.ties)
        return (rounded + self.zero_point).clamp(self.grid.qmin, self.grid.qmax)


class ActivationQuantizer(Quantizer):
    """Per tensor; the range comes from calibration, or is `fixed` where it is known (network input, sigmoid).

    `ends` are the values of the lowest and the highest code, where the engine's kernel has no others.
    """

    def __init__(
        self, grid: Grid, fixed: tuple[float, float] | None = None, calibration: Calibration | None = None,
        ends: tuple[float, float] | None = None,
    ) -> None:  # fmt: skip
        super().__init__((), grid)
        self.fixed, self.finite = ends or fixed, True
        self._observer = observer(calibration or Calibration())
        if ends is not None:
            self._set_affine(*ends)
        elif fixed is not None:
            self._set_fixed(*fixed)
        if self.fixed is not None:
            self.log_scale.requires_grad_(False)

    def _set_fixed(self, low: float, high: float) -> None:
        """A known range. Around zero: symmetric with both ends exact, so 8-bit pixels never fall on ties (ours)."""
        g = self.grid
        if g.symmetric or math.isclose(-low, high):
            self.zero_point.fill_(g.middle)
            self.set_scale(torch.tensor(g.step(max(-low, high), beyond=low >= 0)))
        elif low >= 0:
            self.zero_point.fill_(g.qmin)
            self.set_scale(torch.tensor(high / (g.qmax - g.qmin + 1)))
        else:
            self._set_affine(low, high)

    def _set_affine(self, low: float, high: float) -> None:
        g = self.grid
        self.set_scale(torch.tensor(g.span_step(low, high)))
        zero = g.qmin + torch.round(-low / self.scale().detach())
        self.zero_point.copy_(zero.clamp(g.qmin, g.qmax))

    def next_batch(self) -> None:
        """What was observed since the last call was one batch, at however many places."""
        self._observer.next_batch()

    def finish(self) -> None:
        """Set step and zero point from what was observed. Raises RequestError where that is not finite."""
        if not self.finite:
            raise RequestError("calibration saw values that are not finite", "look for a division or a root of zero")
        if self.fixed is not None:
            return
        g = self.grid
        low, high = self._observer.span(g)
        if g.symmetric:
            self.zero_point.fill_(g.middle)
            self.set_scale(torch.tensor(g.step(max(-low, high))))
        else:
            self._set_affine(low, high)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        if self.mode == "quantize":
            return self.fake(x)
        if self.mode == "export":
            return self.emit(x)
        if self.mode == "observe":
            self.finite &= bool(torch.isfinite(x).all())
            if self.finite:
                self._observer.see(x)
        return x

    def owner(self) -> ActivationQuantizer:
        """The quantizer that owns the scale: itself."""
        return self

    def freeze(self) -> None:
        """Fix scale and zero point as constants for export."""
        scale, zero = self.scale(), self.zero_point
        constant(self, "frozen_scale", scale)
        constant(self, "frozen_zero", zero.to(self.grid.dtype))
        self.limits = [(code - zero.item()) * scale.item() for code in (self.grid.qmin, self.grid.qmax)]

    def emit(self, x: Tensor, on_grid: bool = False) -> Tensor:
        """The Q/DQ pair; behind a Clip where the codes are fewer than their container holds."""
        if self.grid.clips and not on_grid:
            x = x.clamp(*self.limits)
        pair = [self.get_buffer("frozen_scale"), self.get_buffer("frozen_zero")]
        q = _symbolic("QuantizeLinear", [x, *pair], dtype=pair[1].dtype, shape=x.shape, version=19)
        return dequantize(q, pair[0], pair[1])


class SharedQuantizer(nn.Module):
    """The scale of another place. Where values only `moved` there from it, they are on its grid already."""

    def __init__(self, source: ActivationQuantizer, moved: bool) -> None:
        super().__init__()
        self._source = (source,)  # a tuple, so that the quantizer stays registered once
        self.moved = moved

    def owner(self) -> ActivationQuantizer:
        """The quantizer that owns the scale."""
        return self._source[0]

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        source = self._source[0]
        if source.mode == "export":
            return source.emit(x, self.moved)  # not through the module, whose name would stand in the pair's scope
        return x if self.moved else source.forward(x)


FRACTIONS = tuple(f / 40 for f in range(12, 41))
DEAD = 2.0**-12


class WeightQuantizer(Quantizer):
    """Symmetric, zero point 0; one step per output channel (along `axis`) or one in all.

    First steps (ours): the largest weight for 8 bits; for fewer the fraction of it that loses the least squared error.
    A channel `DEAD` against the tensor's largest weight gets the step of one that is not, so its bias keeps its bits.
    """

    def __init__(self, grid: Grid, per: Literal["channel", "tensor"], weight: Tensor, axis: int = 0) -> None:
        others = tuple(a for a in range(weight.dim()) if per == "tensor" or a != axis)
        weight = weight.detach()
        largest = weight.abs().amax(others, keepdim=True)
        largest = largest.clamp_min(float(largest.max()) * DEAD)
        super().__init__(tuple(largest.shape), grid)
        self.set_scale((largest if grid.qmax == 127 else self._best(weight, largest, others)) / grid.qmax)

    def _best(self, weight: Tensor, largest: Tensor, others: tuple[int, ...]) -> Tensor:
        errors = []
        for fraction in FRACTIONS:
            self.set_scale(largest * fraction / self.grid.qmax)
            step = self.scale().detach()
            errors.append((self.codes(weight).detach() * step - weight).square().sum(others, keepdim=True))
        return largest * torch.tensor(FRACTIONS)[torch.stack(errors).argmin(0)]


def constant(module: nn.Module, name: str, value: Tensor) -> None:
    """A copy of `value` as a buffer that no state holds."""
    module.register_buffer(name, value.detach().clone().contiguous(), persistent=False)


def dequantize(codes: Tensor, scale: Tensor, zero: Tensor, axis: int | None = None) -> Tensor:
    """A DequantizeLinear in the exported graph."""
    y: Tensor = _symbolic("DequantizeLinear", [codes, scale, zero], {} if axis is None else {"axis": axis},
                          dtype=torch.float32, shape=codes.shape, version=19)  # fmt: skip
    return y
