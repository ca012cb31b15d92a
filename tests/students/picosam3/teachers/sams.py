"""Tiny SAMs of `transformers` with random weights, saved as checkpoints are."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import transformers as hf

SMALL = {"hidden_size": 32, "num_attention_heads": 2}
DECODER = {**SMALL, "mlp_dim": 32, "iou_head_hidden_dim": 16}
WORDS = ("<|startoftext|>", "<|endoftext|>", *"visua", "l</w>", "vi", "vis", "visu", "visua", "visual</w>")


def sam2(folder: Path) -> hf.Sam2Model:
    """Sees 64 x 64."""
    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 8,
        "num_attention_heads": 1,
        "image_size": [64, 64],
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 1, 2, 2],
        "window_size_per_stage": [4, 4, 4, 4],
        "global_attention_blocks": [3],
        "window_positional_embedding_background_size": [4, 4],
    }
    vision = {
        "model_type": "sam2_vision_model",
        "backbone_config": backbone,
        "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        "fpn_hidden_size": 32,
    }
    prompt = {"hidden_size": 32, "image_size": 64, "patch_size": 16}
    config = hf.Sam2Config(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=DECODER)
    return saved(hf.Sam2Model, config, folder)


def tracker(folder: Path) -> hf.Sam3TrackerModel:
    """SAM 3's; sees 56 x 56."""
    prompt = {"hidden_size": 32, "image_size": 56, "patch_size": 14}
    config = hf.Sam3TrackerConfig(vision_config=_vit(), prompt_encoder_config=prompt, mask_decoder_config=DECODER)
    return saved(hf.Sam3TrackerModel, config, folder)


def concept(folder: Path) -> hf.Sam3Model:
    """SAM 3; sees 56 x 56 and reads the word `visual`."""
    part = {**SMALL, "intermediate_size": 32, "num_layers": 1}
    text = {
        "model_type": "clip_text_model", "vocab_size": len(WORDS), "hidden_size": 32, "intermediate_size": 32,
        "projection_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 32,
        "eos_token_id": 1, "bos_token_id": 0, "pad_token_id": 1,
    }  # fmt: skip
    config = hf.Sam3Config(
        vision_config=_vit(),
        text_config=text,
        geometry_encoder_config=part,
        detr_encoder_config=part,
        detr_decoder_config={**part, "num_queries": 12},
        mask_decoder_config=SMALL,
    )
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(WORDS)}))
    merges = ["v i", "vi s", "vis u", "visu a", "visua l</w>"]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer"}))
    return saved(hf.Sam3Model, config, folder)


MEMORY = {
    "memory_attention_hidden_size": 32, "memory_attention_num_layers": 1, "memory_attention_num_attention_heads": 1,
    "memory_attention_feed_forward_hidden_size": 32, "memory_attention_rope_feat_sizes": [4, 4],
    "memory_encoder_hidden_size": 32, "memory_encoder_output_channels": 16, "memory_fuser_embed_dim": 32,
    "memory_fuser_intermediate_dim": 32, "mask_downsampler_embed_dim": 32,
}  # fmt: skip


def sam2_video(folder: Path) -> hf.Sam2VideoModel:
    """The form in which SAM 2.1 ships: with what follows objects through a video."""
    parts = _parts(sam2(folder).config)
    return saved(hf.Sam2VideoModel, hf.Sam2VideoConfig(**parts, **MEMORY, image_size=64), folder)


def sam3_video(folder: Path) -> hf.Sam3VideoModel:
    """The form in which SAM 3 ships: concepts and tracker in one."""
    seen = hf.Sam3TrackerVideoConfig(**_parts(tracker(folder).config), **MEMORY, image_size=56)
    config = hf.Sam3VideoConfig(detector_config=concept(folder).config.to_dict(), tracker_config=seen.to_dict())
    return saved(hf.Sam3VideoModel, config, folder)


def _parts(config: object) -> dict[str, object]:
    names = ("vision_config", "prompt_encoder_config", "mask_decoder_config")
    return {name: getattr(config, name).to_dict() for name in names}


def _vit() -> dict[str, object]:
    backbone = {
        "model_type": "sam3_vit_model", **SMALL, "intermediate_size": 32, "num_hidden_layers": 2, "image_size": 56,
        "patch_size": 14, "window_size": 2, "global_attn_indexes": [1], "pretrain_image_size": 28,
    }  # fmt: skip
    sizes = [[16, 16], [8, 8], [4, 4]]
    return {
        "model_type": "sam3_vision_model",
        "backbone_config": backbone,
        "fpn_hidden_size": 32,
        "backbone_feature_sizes": sizes,
    }


def saved(kind: type, config: object, folder: Path) -> object:
    torch.manual_seed(0)
    net = kind(config).eval()
    with torch.no_grad():
        for value in net.parameters():
            value.add_(torch.randn(value.shape) * 0.1)
    net.save_pretrained(folder)
    return net
