"""Names and shapes of the authors' tensors, written down from their code, and numbers to fill them with."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch

Shapes = dict[str, tuple[int, ...]]
BLOCKS = (
    (3, 16, 16, 0), (3, 64, 24, 0), (3, 72, 24, 0), (5, 72, 40, 24), (5, 120, 40, 32), (5, 120, 40, 32),
    (3, 240, 80, 0), (3, 200, 80, 0), (3, 184, 80, 0), (3, 184, 80, 0), (3, 480, 112, 120),
    (3, 672, 112, 168), (5, 672, 160, 168), (5, 960, 160, 240), (5, 960, 160, 240),
)  # fmt: skip
"""MobileNetV3-Large: kernel's side, channels between, channels behind, channels inside squeeze and excite."""


def affine(name: str, *shape: int) -> Shapes:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def batch_norm(name: str, channels: int) -> Shapes:
    running = {f"{name}.running_{part}": (channels,) for part in ("mean", "var")}
    return affine(name, channels) | running | {f"{name}.num_batches_tracked": ()}


def conv_norm(conv: str, norm: str, *shape: int) -> Shapes:
    return {f"{conv}.weight": shape} | batch_norm(norm, shape[0])


def under(room: str, shapes: Shapes) -> Shapes:
    return {f"{room}.{name}": shape for name, shape in shapes.items()}


def mobilenet() -> Shapes:
    shapes, channels = conv_norm("0.0", "0.1", 16, 3, 3, 3), 16
    for i, (side, inner, outputs, excite) in enumerate(BLOCKS, 1):
        wider = [(inner, channels, 1, 1)] if inner != channels else []
        convs = [*wider, (inner, 1, side, side), (outputs, inner, 1, 1)]
        places = [n + bool(excite and n == len(convs) - 1) for n in range(len(convs))]
        for n, shape in zip(places, convs, strict=True):
            shapes |= conv_norm(f"{i}.block.{n}.0", f"{i}.block.{n}.1", *shape)
        if excite:
            at = f"{i}.block.{places[-1] - 1}"
            shapes |= affine(f"{at}.fc1", excite, inner, 1, 1) | affine(f"{at}.fc2", inner, excite, 1, 1)
        channels = outputs
    return shapes | conv_norm("16.0", "16.1", 960, 160, 1, 1)


def resnet(depths: tuple[int, ...]) -> Shapes:
    shapes, channels = conv_norm("0", "1", 64, 3, 7, 7), 64
    for stage, depth in enumerate(depths):
        inner = 64 * 2**stage
        for block in range(depth):
            at = f"{stage + 4}.{block}"
            convs = (inner, channels, 1, 1), (inner, inner, 3, 3), (4 * inner, inner, 1, 1)
            for n, shape in enumerate(convs, 1):
                shapes |= conv_norm(f"{at}.conv{n}", f"{at}.bn{n}", *shape)
            if block == 0:
                shapes |= conv_norm(f"{at}.downsample.0", f"{at}.downsample.1", 4 * inner, channels, 1, 1)
            channels = 4 * inner
    return shapes


def convnext() -> Shapes:
    widths = 192, 384, 768, 1536
    shapes = affine("0.0", 192, 3, 4, 4) | affine("0.1", 192)
    for stage, (width, depth) in enumerate(zip(widths, (3, 3, 27, 3), strict=True)):
        for block in range(depth):
            at = f"{2 * stage + 1}.{block}"
            shapes |= affine(f"{at}.block.0", width, 1, 7, 7) | affine(f"{at}.block.2", width)
            shapes |= affine(f"{at}.block.3", 4 * width, width) | affine(f"{at}.block.5", width, 4 * width)
            shapes[f"{at}.layer_scale"] = (width, 1, 1)
    for stage, (before, behind) in enumerate(pairwise(widths), 1):
        shapes |= affine(f"{2 * stage}.0", before) | affine(f"{2 * stage}.1", behind, before, 2, 2)
    return shapes


def attention(at: str, width: int, hidden: int) -> Shapes:
    shapes = affine(f"{at}.norm1", width) | affine(f"{at}.norm2", width)
    shapes |= affine(f"{at}.attn.qkv", 3 * width, width) | affine(f"{at}.attn.proj", width, width)
    return shapes | affine(f"{at}.mlp.fc1", hidden, width) | affine(f"{at}.mlp.fc2", width, hidden)


def bottle(at: str, inputs: int, outputs: int) -> Shapes:
    inner, shapes = 4 * inputs, {}
    convs = {"conv1_1x1": (inner, inputs, 1, 1), "conv2_kxk": (inner, 1, 3, 3), "conv3_1x1": (outputs, inner, 1, 1)}
    for name, shape in convs.items():
        shapes |= conv_norm(f"{at}.{name}.conv", f"{at}.{name}.bn", *shape)
    return shapes


def mobilevit() -> Shapes:
    shapes = conv_norm("0.conv", "0.bn", 16, 3, 3, 3) | conv_norm("2.conv", "2.bn", 640, 160, 1, 1)
    shapes |= bottle("1.0.0", 16, 32) | bottle("1.1.0", 32, 64) | bottle("1.1.1", 64, 64) | bottle("1.1.2", 64, 64)
    for stage, inputs, c, width, depth in ((2, 64, 96, 144, 2), (3, 96, 128, 192, 4), (4, 128, 160, 240, 3)):
        at = f"1.{stage}.1"
        shapes |= bottle(f"1.{stage}.0", inputs, c)
        shapes |= {f"{at}.conv_1x1.weight": (width, c, 1, 1)} | affine(f"{at}.norm", width)
        convs = {"conv_kxk": (c, c, 3, 3), "conv_proj": (c, width, 1, 1), "conv_fusion": (c, 2 * c, 3, 3)}
        for name, shape in convs.items():
            shapes |= conv_norm(f"{at}.{name}.conv", f"{at}.{name}.bn", *shape)
        for block in range(depth):
            shapes |= attention(f"{at}.transformer.{block}", width, 2 * width)
    return shapes


def vit(width: int = 1280, depth: int = 32) -> Shapes:
    shapes = {"pos_embed": (1, 193, width)} | affine("patch_embed.proj", width, 3, 16, 16) | affine("last_norm", width)
    for block in range(depth):
        shapes |= attention(f"blocks.{block}", width, 4 * width)
    return shapes


def head(channels: int, width: int = 1024, inner: int = 512, hidden: int = 1024, depth: int = 6) -> Shapes:
    shapes = affine("transformer.to_token_embedding", width, 1) | {"transformer.pos_embedding": (1, 1, width)}
    for layer in range(depth):
        at = f"transformer.transformer.layers.{layer}"
        for part in range(3):
            shapes |= affine(f"{at}.{part}.norm", width)
        shapes |= {f"{at}.0.fn.to_qkv.weight": (3 * inner, width), f"{at}.1.fn.to_q.weight": (inner, width)}
        shapes |= {f"{at}.1.fn.to_kv.weight": (2 * inner, channels)}
        shapes |= affine(f"{at}.0.fn.to_out.0", width, inner) | affine(f"{at}.1.fn.to_out.0", width, inner)
        shapes |= affine(f"{at}.2.fn.net.0", hidden, width) | affine(f"{at}.2.fn.net.3", width, hidden)
    shapes |= affine("decpose", 96, width) | affine("decshape", 10, width) | affine("deccam", 3, width)
    return shapes | {"init_hand_pose": (1, 96), "init_betas": (1, 10), "init_cam": (1, 3)}


BACKBONES = {
    "mobilenet-v3-large": (mobilenet, 960),
    "mobilevit-s": (mobilevit, 640),
    "resnet-50": (lambda: resnet((3, 4, 6, 3)), 2048),
    "resnet-101": (lambda: resnet((3, 4, 23, 3)), 2048),
    "convnext-large": (convnext, 1536),
}
"""Students of Fast-HaMeR, and the channels of their maps."""


def student(name: str, **sizes: int) -> Shapes:
    backbone, channels = BACKBONES[name]
    return under("backbone", backbone()) | under("mano_head", head(channels, **sizes))


def hamer(width: int = 1280, depth: int = 32, **sizes: int) -> Shapes:
    return under("backbone", vit(width, depth)) | under("mano_head", head(width, **sizes))


def meta(shapes: Shapes) -> dict[str, torch.Tensor]:
    """Tensors without numbers."""
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


def noise(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Like uniform numbers of deviation one, the same on every machine."""
    u = np.sin(np.arange(int(np.prod(shape))) * 12.9898 + seed) * 43758.5453
    return torch.from_numpy(((u - np.floor(u) - 0.5) * 12**0.5).reshape(shape)).float()


def filled(shapes: Shapes) -> dict[str, torch.Tensor]:
    """Tensors with numbers that keep a net's values near one."""
    return {name: _fill(name, shapes[name], seed) for seed, name in enumerate(sorted(shapes))}


def _fill(name: str, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    if name.endswith("num_batches_tracked"):
        return torch.tensor(0)
    if name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")):
        return 1 + 0.1 * noise(shape, seed)
    if len(shape) >= 2 and name.endswith("weight"):
        return noise(shape, seed) * (1.5 / np.prod(shape[1:])) ** 0.5
    return 0.1 * noise(shape, seed)
