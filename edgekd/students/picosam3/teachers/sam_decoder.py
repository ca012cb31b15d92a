"""SAM's prompt encoder and mask decoder (Kirillov et al. 2023, arXiv 2304.02643) for one box and one mask.

Tokens are (N, T, C), C = 256. Names are the checkpoints' where they have them.
"""

from __future__ import annotations

from collections import OrderedDict
from math import pi

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from edgekd.students.picosam3.teachers.tinyvit import EMBEDDING, ChannelNorm

HEADS, DEPTH, WIDE = 8, 2, 2048
MASKS = 4
"""Mask tokens: the first is for a prompt that says enough, as a box does; all attend to each other."""


class BoxPrompt(nn.Module):
    """Corners as tokens, and where each pixel of the embedding lies, by the same random waves."""

    def __init__(self) -> None:
        super().__init__()
        self.waves: Tensor
        self.register_buffer("waves", torch.randn(2, EMBEDDING // 2))
        self.corners = nn.ParameterList(nn.Parameter(torch.zeros(1, EMBEDDING)) for _ in range(2))
        self.no_mask = nn.Parameter(torch.zeros(1, EMBEDDING))

    def forward(self, corners: Tensor) -> Tensor:
        """Corners (N, 2, 2) as x, y, shares of the picture's sides, to tokens (N, 2, C)."""
        return self.places(corners) + torch.cat(list(self.corners))

    def places(self, points: Tensor) -> Tensor:
        """(..., 2) shares to (..., C)."""
        angles = 2 * pi * ((2 * points - 1) @ self.waves)
        return torch.cat([angles.sin(), angles.cos()], -1)

    def grid(self, height: int, width: int) -> Tensor:
        """Of the embedding's pixels, (1, H W, C)."""
        y, x = ((torch.arange(n, device=self.waves.device) + 0.5) / n for n in (height, width))
        return self.places(torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)).reshape(1, -1, EMBEDDING)


class Attention(nn.Module):
    """Several heads, in `inner` channels."""

    def __init__(self, inner: int) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(EMBEDDING, inner) for _ in range(3))
        self.out_proj = nn.Linear(inner, EMBEDDING)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(N, T, C), (N, S, C), (N, S, C) to (N, T, C)."""
        q, k, v = _heads(self.q_proj(q)), _heads(self.k_proj(k)), _heads(self.v_proj(v))
        out: Tensor = self.out_proj(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return out


def _heads(x: Tensor) -> Tensor:
    """(N, T, C) to (N, heads, T, C / heads)."""
    return x.view(*x.shape[:2], HEADS, -1).transpose(1, 2)


class TwoWay(nn.Module):
    """Tokens attend to themselves and to the picture, then the picture to the tokens."""

    def __init__(self, first: bool) -> None:
        super().__init__()
        self.first = first
        self.self_attn, half = Attention(EMBEDDING), EMBEDDING // 2
        self.cross_attn_token_to_image, self.cross_attn_image_to_token = Attention(half), Attention(half)
        self.norm1, self.norm2, self.norm3, self.norm4 = (nn.LayerNorm(EMBEDDING) for _ in range(4))
        layers = OrderedDict(lin1=nn.Linear(EMBEDDING, WIDE), act=nn.ReLU(), lin2=nn.Linear(WIDE, EMBEDDING))
        self.mlp = nn.Sequential(layers)

    def forward(self, tokens: Tensor, picture: Tensor, asked: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens and the picture's pixels (N, S, C); `asked`: the tokens as they came in, `places`: of the pixels."""
        own = tokens if self.first else tokens + asked
        seen = self.self_attn(own, own, tokens)
        tokens = self.norm1(seen if self.first else tokens + seen)
        keys = picture + places
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + asked, keys, picture))
        tokens = self.norm3(tokens + self.mlp(tokens))
        return tokens, self.norm4(picture + self.cross_attn_image_to_token(keys, tokens + asked, tokens))


class Perceptron(nn.Module):
    """Three layers."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(EMBEDDING, n) for n in (EMBEDDING, EMBEDDING, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C) to (N, outputs)."""
        first, second, last = self.layers
        out: Tensor = last(second(first(x).relu()).relu())
        return out


class Transformer(nn.Module):
    """Two-way layers, then once more from the tokens to the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TwoWay(first=i == 0) for i in range(DEPTH))
        self.final_attn_token_to_image, self.norm_final_attn = Attention(EMBEDDING // 2), nn.LayerNorm(EMBEDDING)

    def forward(self, asked: Tensor, picture: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """(N, T, C), (N, S, C), (1, S, C) to the first two's shapes."""
        tokens = asked
        for layer in self.layers:
            tokens, picture = layer(tokens, picture, asked, places)
        seen = self.final_attn_token_to_image(tokens + asked, picture + places, picture)
        return self.norm_final_attn(tokens + seen), picture


class MaskDecoder(nn.Module):
    """An embedding and a box to a mask at four times the embedding's size, and how good it will be."""

    def __init__(self) -> None:
        super().__init__()
        self.prompt, self.transformer = BoxPrompt(), Transformer()
        self.iou_token, self.mask_tokens = (nn.Parameter(torch.zeros(n, EMBEDDING)) for n in (1, MASKS))
        quarter, eighth = EMBEDDING // 4, EMBEDDING // 8
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(EMBEDDING, quarter, 2, 2),
            ChannelNorm(quarter),
            nn.GELU(),
            nn.ConvTranspose2d(quarter, eighth, 2, 2),
            nn.GELU(),
        )
        self.filter, self.iou_prediction_head = Perceptron(eighth), Perceptron(MASKS)

    def forward(self, embedding: Tensor, corners: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 256, h, w), and corners (N, 2, 2) as x, y in [0, 1], to logits (N, 4 h, 4 w) and IoU (N,)."""
        n, _, h, w = embedding.shape
        own = torch.cat([self.iou_token, self.mask_tokens]).expand(n, -1, -1)
        pixels = embedding.flatten(2).transpose(1, 2) + self.prompt.no_mask
        asked = torch.cat([own, self.prompt(corners)], 1)
        tokens, pixels = self.transformer(asked, pixels, self.prompt.grid(h, w))
        fine = self.output_upscaling(pixels.transpose(1, 2).reshape(n, -1, h, w))
        logits = torch.einsum("nc,nchw->nhw", self.filter(tokens[:, 1]), fine)
        return logits, self.iou_prediction_head(tokens[:, 0])[:, 0]
