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


class MobileVit(nn.Module):
    """One stage of it: convolutions, a transformer over unfolded patches, convolutions."""

    def __init__(self) -> None:
        super().__init__()
        config = hf.MobileViTConfig(num_attention_heads=2, mlp_ratio=2.0)
        config._attn_implementation = "eager"
        layer = hf.models.mobilevit.modeling_mobilevit.MobileViTLayer
        self.stem, self.layer = nn.Conv2d(3, 8, 3, 2, 1), layer(config, 8, 16, 2, hidden_size=16, num_stages=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(torch.relu(self.stem(x)))


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
    """The mask decoder of SAM 2, asked for one mask, behind convolutions that stand for its encoders."""

    def __init__(self) -> None:
        super().__init__()
        config = hf.models.sam2.configuration_sam2.Sam2MaskDecoderConfig(
            hidden_size=32,
            mlp_dim=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            iou_head_hidden_dim=16,
            dynamic_multimask_via_stability=False,
        )
        config._attn_implementation = "eager"
        self.net = hf.models.sam2.modeling_sam2.Sam2MaskDecoder(config)
        self.picture, self.places, self.dense = (nn.Conv2d(3, 32, 4, 4) for _ in range(3))
        self.fine, self.coarse = nn.Conv2d(3, 4, 3, 1, 1), nn.Conv2d(3, 8, 3, 2, 1)
        self.points = nn.Parameter(torch.randn(1, 1, 2, 32))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        points = self.points.expand(x.shape[0], -1, -1, -1)
        features = [self.fine(x), self.coarse(x)]
        return self.net(self.picture(x), self.places(x), points, self.dense(x), False, features)[:2]


NETS: dict[str, Case] = {
    "ResNet": Case(resnet),
    "ConvNeXt": Case(convnext, exact=False),
    "ViT": Case(vit, exact=False),
    "MobileViT": Case(MobileVit, exact=False, large=(32, 64)),
    "Segformer": Case(segformer, exact=False, large=(32, 64)),
    "SwiftFormer": Case(swiftformer, exact=False, large=(32, 64)),
    "Swin": Case(swin, exact=False),
    "SAM 2 mask decoder": Case(MaskDecoder, exact=False, large=(32, 48)),
}
