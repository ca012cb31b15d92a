"""What the authors' code calls the tensors of these nets: HaMeR's own, torchvision's and timm's names of backbones."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from edgekd.students.fast_hamer.config import Backbone

Rule = tuple[str, str | Callable[[re.Match[str]], str]]
_QKV: tuple[Rule, ...] = tuple(
    (rf"attention\.attention\.{part}", f"attn.qkv#{i}") for i, part in enumerate(("query", "key", "value"))
)
"""Three of our tensors are one of theirs: which third stands behind a `#`."""
_BLOCK: tuple[Rule, ...] = (
    *_QKV,
    (r"attention\.output\.dense", "attn.proj"),
    ("layernorm_before", "norm1"),
    ("layernorm_after", "norm2"),
)
VIT: tuple[Rule, ...] = (
    (r"^net\.", ""),
    (r"^embeddings\.position_embeddings", "pos_embed"),
    (r"^embeddings\.patch_embeddings\.projection", "patch_embed.proj"),
    (r"^encoder\.layer", "blocks"),
    *_BLOCK,
    ("^layernorm", "last_norm"),
)
_RESNET: tuple[Rule, ...] = (
    (r"^net\.embedder\.embedder\.convolution", "0"),
    (r"^net\.embedder\.embedder\.normalization", "1"),
    (r"^net\.encoder\.stages\.(\d)\.layers", lambda m: str(int(m[1]) + 4)),
    (r"shortcut\.convolution", "downsample.0"),
    (r"shortcut\.normalization", "downsample.1"),
    (r"layer\.(\d)\.convolution", lambda m: f"conv{int(m[1]) + 1}"),
    (r"layer\.(\d)\.normalization", lambda m: f"bn{int(m[1]) + 1}"),
)
_CONVNEXT: tuple[Rule, ...] = (
    (r"^net\.embeddings\.patch_embeddings", "0.0"),
    (r"^net\.embeddings\.layernorm", "0.1"),
    (r"^net\.encoder\.stages\.(\d)\.downsampling_layer", lambda m: str(2 * int(m[1]))),
    (r"^net\.encoder\.stages\.(\d)\.layers", lambda m: str(2 * int(m[1]) + 1)),
    ("dwconv", "block.0"),
    ("layernorm", "block.2"),
    ("pwconv1", "block.3"),
    ("pwconv2", "block.5"),
    ("layer_scale_parameter", "layer_scale"),
)
_MOBILEVIT: tuple[Rule, ...] = (
    (r"^net\.conv_stem", "0"),
    (r"^net\.conv_1x1_exp", "2"),
    (r"^net\.encoder\.layer\.(\d)\.downsampling_layer", r"1.\1.0"),
    (r"^net\.encoder\.layer\.([01])\.layer", r"1.\1"),
    (r"^net\.encoder\.layer\.(\d)", r"1.\1.1"),
    (r"transformer\.layer", "transformer"),
    *_BLOCK,
    (r"intermediate\.dense", "mlp.fc1"),
    (r"output\.dense", "mlp.fc2"),
    ("layernorm", "norm"),
    ("expand_1x1", "conv1_1x1"),
    ("conv_3x3", "conv2_kxk"),
    ("reduce_1x1", "conv3_1x1"),
    ("conv_projection", "conv_proj"),
    ("fusion", "conv_fusion"),
    (r"conv_1x1\.convolution", "conv_1x1"),
    (r"\.convolution", ".conv"),
    (r"\.normalization", ".bn"),
)
STUDENTS: Mapping[Backbone, tuple[str, tuple[Rule, ...]]] = {
    "mobilenet-v3-large": ("backbone.1.block.0.0.weight", ()),
    "mobilevit-s": ("backbone.0.conv.weight", _MOBILEVIT),
    "resnet-50": ("backbone.4.0.conv1.weight", _RESNET),
    "resnet-101": ("backbone.6.22.conv1.weight", _RESNET),
    "convnext-large": ("backbone.1.0.layer_scale", _CONVNEXT),
}
"""Backbones of Fast-HaMeR: a tensor by which each is known, of several that fit the last, and our names to theirs."""


def theirs(key: str, rules: tuple[Rule, ...]) -> tuple[str, int | None]:
    """The authors' name of our tensor of a net, and which third of theirs ours is, None for all of it."""
    room, _, name = key.partition(".")
    for pattern, to in rules if room == "backbone" else ():
        name = re.sub(pattern, to, name)
    whole, _, behind = name.partition("#")
    return f"{room}.{whole}{behind[1:]}", int(behind[0]) if behind else None
