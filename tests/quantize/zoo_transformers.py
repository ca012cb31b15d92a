"""Tiny random-weight networks of the `transformers` package; attention eager, since SDPA hides its matmuls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers as hf
from torch import Tensor, nn

from tests.quantize.zoo import Case


class Field(nn.Module):
    """One field of a model's answer, called as one call would."""

    def __init__(self, net: nn.Module, field: str, **options: Any) -> None:
        super().__init__()
        self.net, self.field, self.options = net, field, options

    def forward(self, x: Tensor) -> Tensor:
        return getattr(self.net(pixel_values=x, **self.options), self.field)


def classifier(net: Any, config: Any, **options: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        config.num_labels, config._attn_implementation = 4, "eager"
        return Field(net(config), "logits", **options)

    return build


def resnet() -> nn.Module:
    config = hf.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    return classifier(hf.ResNetForImageClassification, config)()


def convnext() -> nn.Module:
    config = hf.ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2, drop_path_rate=0.1)
    return classifier(hf.ConvNextForImageClassification, config)()


def vit() -> nn.Module:
    config = hf.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=8
    )
    return classifier(hf.ViTForImageClassification, config, interpolate_pos_encoding=True)()


def mobilevit() -> nn.Module:
    config = hf.MobileViTConfig(
        hidden_sizes=[16, 16, 16],
        neck_hidden_sizes=[8, 8, 8, 8, 8, 8, 16],
        num_attention_heads=2,
        expand_ratio=1.0,
        image_size=32,
    )
    return classifier(hf.MobileViTForImageClassification, config)()


def segformer() -> nn.Module:
    config = hf.SegformerConfig(
        num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[8, 16], patch_sizes=[7, 3],
        strides=[4, 2], num_attention_heads=[1, 2], mlp_ratios=[2, 2], decoder_hidden_size=16,
    )  # fmt: skip
    return classifier(hf.SegformerForSemanticSegmentation, config)()


def swiftformer() -> nn.Module:
    config = hf.SwiftFormerConfig(
        image_size=32, depths=[1, 1], embed_dims=[8, 16], mlp_ratio=2, downsamples=[True, True], drop_path_rate=0.1
    )
    return classifier(hf.SwiftFormerForImageClassification, config)()


def swin() -> nn.Module:
    config = hf.SwinConfig(
        image_size=32, patch_size=4, embed_dim=8, depths=[2], num_heads=[2], window_size=4, mlp_ratio=2.0
    )
    return classifier(hf.SwinForImageClassification, config)()


class MaskDecoder(nn.Module):
    """The mask decoder of SAM 2, asked for one mask."""

    def __init__(self) -> None:
        super().__init__()
        config = hf.models.sam2.configuration_sam2.Sam2MaskDecoderConfig(
            hidden_size=32, mlp_dim=32, num_hidden_layers=1, num_attention_heads=2, iou_head_hidden_dim=16
        )
        config._attn_implementation = "eager"
        self.net = hf.models.sam2.modeling_sam2.Sam2MaskDecoder(config)

    def forward(self, picture: Tensor, places: Tensor, points: Tensor, dense: Tensor, a: Tensor, b: Tensor) -> Any:
        return self.net(picture, places, points, dense, False, [a, b])[:2]


def prompts(batch: int, height: int, width: int) -> tuple[Tensor, ...]:
    shapes = [(batch, 32, height, width), (1, 32, height, width), (batch, 1, 2, 32), (batch, 32, height, width),
              (batch, 4, 4 * height, 4 * width), (batch, 8, 2 * height, 2 * width)]  # fmt: skip
    return tuple(torch.rand(shape) * 2 - 1 for shape in shapes)


NETS: dict[str, Case] = {
    "ResNet": Case(resnet),
    "ConvNeXt": Case(convnext, exact=False),
    "ViT": Case(vit, exact=False),
    "MobileViT": Case(mobilevit, exact=False, large=(32, 64)),
    "Segformer": Case(segformer, exact=False, large=(32, 64)),
    "SwiftFormer": Case(swiftformer, exact=False, large=(32, 64)),
    "Swin": Case(swin, exact=False),
    "SAM 2 mask decoder": Case(MaskDecoder, prompts, exact=False, small=(8, 8), large=(8, 12)),
}
