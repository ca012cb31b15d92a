"""ConvNeXt-Tiny and -Large (Liu et al. 2022, arXiv 2201.03545), stride 32, without the norm behind the last stage."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from edgekd.students.fast_hamer.backbones.classes import LastMap, library

WIDTHS = {"convnext-tiny": (96, 192, 384, 768), "convnext-large": (192, 384, 768, 1536)}
DEPTHS = {"convnext-tiny": (3, 3, 9, 3), "convnext-large": (3, 3, 27, 3)}


def convnext(name: str, depths: Sequence[int] | None = None) -> nn.Module:
    """(N, 3, H, W) to (N, 768 or 1536, H / 32, W / 32); `depths` for a shallower one. Raises MissingError."""
    hf = library(name)
    net = hf.ConvNextModel(hf.ConvNextConfig(hidden_sizes=WIDTHS[name], depths=list(depths or DEPTHS[name])))
    net.layernorm = nn.Identity()  # of pooled features, which nobody reads
    return LastMap(net)
