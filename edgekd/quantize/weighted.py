"""Operators with weights: quantized weight, bias on the accumulator's grid, batch norm folded in while it trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from edgekd.quantize.fake import ActivationQuantizer, WeightQuantizer, constant, dequantize
from edgekd.quantize.grid import Grid

AXES = {"Conv": 0, "ConvTranspose": 1, "Gemm": 0}
"""Axis of the output channels in an operator's weight."""
TINY = 1e-6
INT32 = 2**31 - 1


@dataclass(frozen=True)
class Settings:
    """A weighted operator of the network: its ONNX type, torch's function, the names and options it has there."""

    kind: str
    compute: Any
    names: tuple[str, str]
    options: tuple[Any, ...]
    flat: bool = True
    """False: a Linear on more than two dimensions, which ONNX writes as MatMul and Add."""


class Norm(nn.Module):
    """Batch norm, on its own or folded into a weighted operator; the tensors are the network's own."""

    mean: Tensor
    var: Tensor
    gamma: Tensor
    beta: Tensor

    def __init__(
        self, tensors: tuple[Tensor, Tensor, Tensor, Tensor], names: tuple[str, ...], eps: float, momentum: float
    ):
        super().__init__()
        for name, tensor in zip(("gamma", "beta", "mean", "var"), tensors, strict=True):
            if isinstance(tensor, nn.Parameter):
                self.register_parameter(name, tensor)
            else:
                self.register_buffer(name, tensor)
        self.names, self.eps, self.momentum, self.frozen = names, eps, momentum, False

    @property
    def live(self) -> bool:
        """Whether it normalises by the batch."""
        return self.training and not self.frozen

    @property
    def gain(self) -> Tensor:
        """`gamma / sqrt(var + eps)`, what folding multiplies the weight by."""
        return self.gamma / torch.sqrt(self.var + self.eps)

    @property
    def safe_gain(self) -> Tensor:
        """The gain, 1 where it is 0: what a channel that is still closed is trained with."""
        return torch.where(self.gain.abs() > TINY, self.gain, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) to the same."""
        return torch.batch_norm(
            x, self.gamma, self.beta, self.mean, self.var, self.live, self.momentum, self.eps, False
        )

    def trained(self) -> dict[str, Tensor]:
        """Every tensor under the name it has in the eager network."""
        parts = zip(self.names, (self.gamma, self.beta, self.mean, self.var), strict=True)
        return {name: value.detach() for name, value in parts if name}


class QuantWeighted(nn.Module):
    """`operator(x, quantized weight, bias on the grid of s_x * s_w)`.

    Batch norm is folded: the weight is quantized with its gain. Until ranges are frozen it is divided by the gain again
    and the result normalised by the batch (after Jacob et al. 2018, arXiv 1712.05877).
    """

    def __init__(
        self, settings: Settings, tensors: tuple[nn.Parameter, nn.Parameter | None], grid: Grid,
        per: Literal["channel", "tensor"], source: ActivationQuantizer, norm: Norm | None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.settings, (self.weight, self.bias), self.norm, self.per = settings, tensors, norm, per
        self.axis = AXES[settings.kind]
        self._source = (source,)
        weight = self.weight if norm is None else self._scaled(norm.safe_gain)
        self.quantizer = WeightQuantizer(grid, per, weight, self.axis)

    def compute(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The operator itself."""
        y: Tensor = self.settings.compute(x, weight, bias, *self.settings.options)
        return y

    @property
    def source(self) -> ActivationQuantizer:
        """The quantizer of its input."""
        return self._source[0]

    @property
    def transposed(self) -> bool:
        """Whether it is a ConvTranspose."""
        return self.settings.kind == "ConvTranspose"

    def folded(self) -> tuple[Tensor, Tensor | None]:
        """Weight and bias with batch norm in them."""
        if self.norm is None:
            return self.weight, self.bias
        gain, norm = self.norm.gain, self.norm
        offset = -norm.mean if self.bias is None else self.bias - norm.mean
        return self._scaled(gain), norm.beta + offset * gain

    @property
    def _across(self) -> list[int]:
        """Shape of a value for each output channel against the weight."""
        return [-1 if a == self.axis else 1 for a in range(self.weight.dim())]

    def _scaled(self, gain: Tensor) -> Tensor:
        return self.weight * gain.reshape(self._across)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, O, H', W'), or (..., I) to (..., O)."""
        source = self._source[0]
        if source.mode == "export":
            return self._emit(x)
        if source.mode != "quantize":
            return self.compute(x, *self.folded())
        if self.norm is not None and self.norm.live:
            return self._normalised(x, self.norm)
        weight, bias = self.folded()
        return self.compute(x, self.quantizer.fake(weight), None if bias is None else self._on_grid(bias))

    def grid(self, channels: int) -> Tensor:
        """`s_x * s_w`, the step of the accumulator, for each output channel."""
        return (self.quantizer.scale().flatten() * self._source[0].scale()).expand(channels)

    def _on_grid(self, bias: Tensor) -> Tensor:
        grid = self.grid(len(bias)).detach()
        rounded = torch.round(bias / grid).clamp(-INT32, INT32) * grid
        return bias + (rounded - bias).detach()

    def _normalised(self, x: Tensor, norm: Norm) -> Tensor:
        gain = norm.safe_gain
        weight = self.quantizer.fake(self._scaled(gain)) / gain.detach().reshape(self._across)
        return norm(self.compute(x, weight, self.bias))  # type: ignore[no-any-return]

    def freeze(self) -> None:
        """Fix weight and bias as integers with their scales, for export."""
        weight, bias = self.folded()
        codes, scale = self.quantizer.codes(weight), self.quantizer.scale().flatten()
        self._fix("weight", codes if self.settings.flat else codes.t(), scale, torch.int8)
        if bias is not None:
            grid = self.grid(len(bias))
            self._fix("bias", torch.round(bias / grid).double().clamp(-INT32, INT32), grid, torch.int32)

    def _fix(self, name: str, codes: Tensor, scale: Tensor, dtype: torch.dtype) -> None:
        whole = name == "weight" and self.per == "tensor"
        constant(self, f"{name}_codes", codes.to(dtype))
        constant(self, f"{name}_scale", scale[0] if whole else scale)
        constant(self, f"{name}_zero", torch.zeros((() if whole else (len(scale),)), dtype=dtype))

    def _fixed(self, name: str, axis: int) -> Tensor:
        codes, scale, zero = (self.get_buffer(f"{name}_{part}") for part in ("codes", "scale", "zero"))
        return dequantize(codes, scale, zero, axis if scale.dim() else None)

    def _emit(self, x: Tensor) -> Tensor:
        has_bias = "bias_codes" in dict(self.named_buffers(recurse=False))
        bias = self._fixed("bias", 0) if has_bias else None
        if self.settings.flat:
            return self.compute(x, self._fixed("weight", self.axis), bias)
        y = torch.matmul(x, self._fixed("weight", 1))
        return y if bias is None else y + bias

    def trained(self) -> dict[str, Tensor]:
        """Weight and bias under the names they have in the eager network."""
        pairs = zip(self.settings.names, (self.weight, self.bias), strict=True)
        return {name: value.detach() for name, value in pairs if value is not None}
