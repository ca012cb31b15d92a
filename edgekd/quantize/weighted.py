"""Operators with weights: quantized weight, bias on the accumulator's grid, batch norm folded in while it trains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.quantize.fake import ActivationQuantizer, WeightQuantizer, constant, dequantize
from edgekd.schema.target import Weights


@dataclass(frozen=True)
class Kind:
    """How an operator is computed, and which axis of its weight is the output channel's."""

    compute: Callable[..., Tensor]
    axis: int
    channels: tuple[int, ...]
    """Shape of a per-channel vector against the output."""


KINDS = {
    "Conv": Kind(torch.conv2d, 0, (-1, 1, 1)),
    "ConvTranspose": Kind(torch.conv_transpose2d, 1, (-1, 1, 1)),
    "Gemm": Kind(nn.functional.linear, 0, (-1,)),
}


class Norm(nn.Module):
    """Batch norm behind a weighted operator; the tensors are the network's own."""

    mean: Tensor
    var: Tensor

    def __init__(
        self, tensors: tuple[Tensor, Tensor, Tensor, Tensor], names: tuple[str, ...], eps: float, momentum: float
    ):
        super().__init__()
        self.gamma, self.beta = (nn.Parameter(t) if not isinstance(t, nn.Parameter) else t for t in tensors[:2])
        self.register_buffer("mean", tensors[2])
        self.register_buffer("var", tensors[3])
        self.names, self.eps, self.momentum, self.frozen = names, eps, momentum, False

    @property
    def gain(self) -> Tensor:
        """`gamma / sqrt(var + eps)`, what folding multiplies the weight by."""
        return self.gamma / torch.sqrt(self.var + self.eps)


class QuantWeighted(nn.Module):
    """`operator(x, quantized weight, bias on the grid of s_x * s_w)`.

    Batch norm is folded: the weight is quantized with its gain. Until ranges are frozen the result is divided by the
    gain again and normalised by the batch (after Jacob et al. 2018, arXiv 1712.05877).
    """

    def __init__(
        self, kind: str, tensors: tuple[nn.Parameter, nn.Parameter | None], names: tuple[str, str],
        options: tuple[Any, ...], spec: Weights, power_of_two: bool, source: ActivationQuantizer, norm: Norm | None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kind, (self.weight, self.bias), self.names = KINDS[kind], tensors, names
        self.options, self.norm = options, norm
        self._source = (source,)
        self.quantizer = WeightQuantizer(spec, self.folded()[0], power_of_two, self.kind.axis)

    @property
    def source(self) -> ActivationQuantizer:
        """The quantizer of its input."""
        return self._source[0]

    @property
    def transposed(self) -> bool:
        """Whether it is a ConvTranspose."""
        return self.kind is KINDS["ConvTranspose"]

    def folded(self) -> tuple[Tensor, Tensor | None]:
        """Weight and bias with batch norm in them."""
        if self.norm is None:
            return self.weight, self.bias
        gain, norm = self.norm.gain, self.norm
        shape = [-1 if a == self.kind.axis else 1 for a in range(self.weight.dim())]
        offset = -norm.mean if self.bias is None else self.bias - norm.mean
        return self.weight * gain.reshape(shape), norm.beta + offset * gain

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, O, H', W'), or (..., I) to (..., O)."""
        source = self._source[0]
        if source.mode == "export":
            return self._emit(x)
        weight, bias = self.folded()
        if source.mode != "quantize":
            return self.kind.compute(x, weight, bias, *self.options)
        weight = self.quantizer.fake(weight)
        if self.norm is not None and self.training and not self.norm.frozen:
            return self._normalised(x, weight, self.norm)
        grid = (self.quantizer.scale().flatten() * source.scale()).detach()
        rounded = None if bias is None else bias + (torch.round(bias / grid) * grid - bias).detach()
        return self.kind.compute(x, weight, rounded, *self.options)

    def _normalised(self, x: Tensor, weight: Tensor, norm: Norm) -> Tensor:
        y = self.kind.compute(x, weight, None, *self.options) / norm.gain.detach().reshape(self.kind.channels)
        y = y if self.bias is None else y + self.bias.reshape(self.kind.channels)
        return torch.batch_norm(
            y, norm.gamma, norm.beta, norm.mean, norm.var, True, norm.momentum, norm.eps, False
        )  # fmt: skip

    def freeze(self) -> None:
        """Fix weight and bias as integers with their scales, for export."""
        weight, bias = self.folded()
        scale = self.quantizer.scale().flatten().expand(weight.shape[self.kind.axis])
        self._fix("weight", self.quantizer.codes(weight), scale, torch.int8)
        if bias is not None:
            grid = scale * self._source[0].scale()
            self._fix("bias", torch.round(bias / grid), grid, torch.int32)

    def _fix(self, name: str, codes: Tensor, scale: Tensor, dtype: torch.dtype) -> None:
        constant(self, f"{name}_codes", codes.to(dtype))
        constant(self, f"{name}_scale", scale)
        constant(self, f"{name}_zero", torch.zeros(len(scale), dtype=dtype))

    def _fixed(self, name: str, axis: int) -> Tensor:
        codes, scale, zero = (self.get_buffer(f"{name}_{part}") for part in ("codes", "scale", "zero"))
        return dequantize(codes, scale, zero, axis)

    def _emit(self, x: Tensor) -> Tensor:
        has_bias = "bias_codes" in dict(self.named_buffers(recurse=False))
        bias = self._fixed("bias", 0) if has_bias else None
        return self.kind.compute(x, self._fixed("weight", self.kind.axis), bias, *self.options)

    def trained(self) -> dict[str, Tensor]:
        """Every tensor under the name it has in the eager network."""
        pairs: list[tuple[str, Tensor | None]] = [*zip(self.names, (self.weight, self.bias), strict=True)]
        if self.norm is not None:
            parts = (self.norm.gamma, self.norm.beta, self.norm.mean, self.norm.var)
            pairs += [*zip(self.norm.names, parts, strict=True)]
        return {name: value.detach() for name, value in pairs if value is not None}
