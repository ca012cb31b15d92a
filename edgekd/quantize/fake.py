"""Fake quantizers: one object per tensor owns scale, zero point and range, trains with them, and emits its Q/DQ pair.

`q = clamp(round_half_even(x / s) + z)`, `y = (q - z) * s`. The step is learned (LSQ, Esser et al. 2020, arXiv
1902.08153: straight-through rounding, gradient scale `1 / sqrt(N * qmax)`), kept as its base-2 logarithm.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from edgekd.quantize.calibration import observer
from edgekd.schema.recipe import Calibration
from edgekd.schema.target import Activations, Weights

Mode = Literal["observe", "quantize", "export", "float"]
_symbolic: Any = torch.onnx.ops.symbolic


class _FakeQuantize(torch.autograd.Function):
    """Straight-through rounding with a learned step; `s` and `z` broadcast against `x`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, s: Tensor, z: Tensor, qmin: int, qmax: int) -> Tensor:
        v = x / s
        q = (torch.round(v) + z).clamp_(qmin, qmax).sub_(z)
        inside = (v + z >= qmin - 0.5) & (v + z <= qmax + 0.5)
        ctx.save_for_backward(torch.where(inside, q - v, q), inside, s)
        ctx.gain = 1.0 / math.sqrt(x.numel() / s.numel() * max(qmax, 1))
        return q * s

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        slope, inside, s = ctx.saved_tensors
        grad_s = None
        if ctx.needs_input_grad[1]:
            grad_s = (grad * slope).sum_to_size(s.shape) * ctx.gain
        return grad * inside, grad_s, None, None, None


class Quantizer(nn.Module):
    """Scale, zero point and range of one tensor."""

    def __init__(self, shape: tuple[int, ...], qmin: int, qmax: int, power_of_two: bool) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(shape))
        self.zero_point: Tensor
        self.register_buffer("zero_point", torch.zeros(()))
        self.qmin, self.qmax, self.power_of_two = qmin, qmax, power_of_two
        self.mode: Mode = "float"

    def scale(self) -> Tensor:
        """The step, float32; a power of two where the arithmetic asks for it (straight-through exponent)."""
        e: Tensor = self.log_scale
        if self.power_of_two:
            e = e + (torch.round(e) - e).detach()
        return torch.exp2(e)

    def set_scale(self, scale: Tensor) -> None:
        """Take a step; rounded up to a power of two where the arithmetic asks for it."""
        log = torch.log2(scale.clamp_min(2.0**-30))
        self.log_scale.data.copy_((torch.ceil(log) if self.power_of_two else log).reshape(self.log_scale.shape))

    def fake(self, x: Tensor) -> Tensor:
        """`x` on the grid, float."""
        out: Tensor = _FakeQuantize.apply(x, self.scale(), self.zero_point, self.qmin, self.qmax)  # type: ignore[no-untyped-call]
        return out

    def codes(self, x: Tensor) -> Tensor:
        """The integers of `x`, as float."""
        return (torch.round(x / self.scale()) + self.zero_point).clamp(self.qmin, self.qmax)


class ActivationQuantizer(Quantizer):
    """Per tensor; the range comes from calibration, or is `fixed` where it is known (network input, sigmoid)."""

    def __init__(
        self,
        spec: Activations,
        power_of_two: bool,
        fixed: tuple[float, float] | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        qmin, qmax = (-(2 ** (spec.bits - 1)), 2 ** (spec.bits - 1) - 1) if spec.signed else (0, 2**spec.bits - 1)
        super().__init__((), qmin, qmax, power_of_two)
        self.symmetric, self.fixed = spec.symmetric, fixed
        self._observer = observer(calibration or Calibration())
        if fixed is not None:
            self._set_fixed(*fixed)
            self.log_scale.requires_grad_(False)

    @property
    def middle(self) -> int:
        """The zero point of a symmetric range: 0 for signed codes, 128 for unsigned 8-bit ones."""
        return (self.qmin + self.qmax + 1) // 2

    def _set_fixed(self, low: float, high: float) -> None:
        """A known range. Around zero: symmetric with both ends exact, so 8-bit pixels never fall on ties (ours)."""
        if low < 0 or self.symmetric:
            self.zero_point.fill_(self.middle)
            self.set_scale(torch.tensor(max(-low, high) / (self.qmax - self.middle + (low >= 0))))
        else:
            self.zero_point.fill_(self.qmin)
            self.set_scale(torch.tensor(high / (self.qmax - self.qmin + 1)))

    def finish(self) -> None:
        """Set step and zero point from what was observed."""
        if self.fixed is not None:
            return
        low, high = self._observer.span(self.qmax - self.qmin + 1, self.symmetric)
        if self.symmetric:
            self.zero_point.fill_(self.middle)
            self.set_scale(torch.tensor(max(-low, high) / (self.qmax - self.middle)))
        else:
            self.set_scale(torch.tensor((high - low) / (self.qmax - self.qmin)))
            self.zero_point.fill_(self.qmin).add_(torch.round(-low / self.scale().detach())).clamp_(
                self.qmin, self.qmax
            )

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        if self.mode == "quantize":
            return self.fake(x)
        if self.mode == "export":
            return self.emit(x)
        if self.mode == "observe":
            self._observer.see(x)
        return x

    def owner(self) -> ActivationQuantizer:
        """The quantizer that owns the scale: itself."""
        return self

    def freeze(self) -> None:
        """Fix scale and zero point as constants for export."""
        constant(self, "frozen_scale", self.scale())
        constant(self, "frozen_zero", self.zero_point.to(torch.int8 if self.qmin < 0 else torch.uint8))

    def emit(self, x: Tensor) -> Tensor:
        """The Q/DQ pair."""
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
            return source.emit(x)  # not through the module, whose name would stand in the pair's scope
        return x if self.moved else source.forward(x)


class WeightQuantizer(Quantizer):
    """Symmetric, zero point 0; one step per output channel (along `axis`) or one in all."""

    def __init__(self, spec: Weights, weight: Tensor, power_of_two: bool, axis: int = 0) -> None:
        top = 2 ** (spec.bits - 1) - 1
        others = tuple(a for a in range(weight.dim()) if spec.per == "tensor" or a != axis)
        largest = weight.detach().abs().amax(others, keepdim=True)
        super().__init__(tuple(largest.shape), -top, top, power_of_two)
        self.bits = spec.bits
        self.set_scale(largest / top)


def constant(module: nn.Module, name: str, value: Tensor) -> None:
    """A copy of `value` as a buffer that no state holds."""
    module.register_buffer(name, value.detach().clone().contiguous(), persistent=False)


def dequantize(codes: Tensor, scale: Tensor, zero: Tensor, axis: int | None = None) -> Tensor:
    """A DequantizeLinear in the exported graph."""
    y: Tensor = _symbolic("DequantizeLinear", [codes, scale, zero], {} if axis is None else {"axis": axis},
                          dtype=torch.float32, shape=codes.shape, version=19)  # fmt: skip
    return y
