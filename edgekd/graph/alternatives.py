"""What to write instead of an operator that does not become integers, or that an engine does not run. Ours."""

from __future__ import annotations

_AFTER = "leave it out of the network and do it on its outputs"
_NORM = "`BatchNormalization` behind a convolution, which folds into its weights"
ALTERNATIVES = {
    "ArgMax": _AFTER,
    "ConvTranspose": "`Resize` by a whole factor and a `Conv`",
    "CumSum": "a `Conv` with a fixed kernel",
    "Einsum": "`MatMul` and `Transpose`",
    "Elu": "`Relu`",
    "Erf": "`Relu` or `HardSwish`",
    "GRU": "convolutions over time",
    "Gelu": "`Relu` or `HardSwish`",
    "GridSample": "`Resize`",
    "GroupNormalization": _NORM,
    "HardSwish": "`Relu`",
    "If": "`Where`, computing both",
    "InstanceNormalization": _NORM,
    "LSTM": "convolutions over time",
    "LayerNormalization": _NORM,
    "LeakyRelu": "`Relu`",
    "Loop": "the loop written out",
    "Mish": "`Relu` or `HardSwish`",
    "NonMaxSuppression": _AFTER,
    "NonZero": _AFTER,
    "PRelu": "`Relu`",
    "Resize": "nearest upsampling by a whole factor",
    "Softplus": "`Relu`",
    "TopK": _AFTER,
}


def alternative(operator: str) -> str:
    """A hint for a person whose network has this ONNX operator."""
    return f"instead: {ALTERNATIVES.get(operator, 'convolutions, matrix products, sums, `Relu`')}"
