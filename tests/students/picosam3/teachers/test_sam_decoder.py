from __future__ import annotations

import re

import torch
import transformers as hf
from edgekd.students.picosam3.teachers.sam_decoder import MaskDecoder
from torch import Tensor, nn
from transformers.models.sam.modeling_sam import SamMaskDecoder, SamPromptEncoder

NAMES = [
    (r"(mlps\.0|head)\.layers\.0", r"\1.layers.1"),
    (r"proj_in", "layers.0"),
    (r"proj_out", "layers.2"),
    (r"output_hypernetworks_mlps\.0", "filter"),
    (r"layer_norm_final_attn", "norm_final_attn"),
    (r"layer_norm(\d)", r"norm\1"),
    (r"upscale_conv1", "output_upscaling.0"),
    (r"upscale_layer_norm", "output_upscaling.1"),
    (r"upscale_conv2", "output_upscaling.3"),
    (r"(token|tokens)\.weight$", r"\1"),
]
"""Names of `transformers`, and ours."""


def renamed(name: str) -> str:
    for theirs, ours in NAMES:
        name = re.sub(theirs, ours, name)
    return name


def randomised(net: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in net.parameters():
            value.add_(torch.randn(value.shape, generator=generator) * 0.1)
    return net.eval()


def theirs(embedding: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """What SAM of `transformers` answers with random weights, and these by our names."""
    config = hf.SamConfig(vision_config={"image_size": 256}, prompt_encoder_config={"image_size": 256})
    config.mask_decoder_config._attn_implementation = "eager"
    prompt, decoder = randomised(SamPromptEncoder(config)), randomised(SamMaskDecoder(config.mask_decoder_config))
    n, _, h, w = embedding.shape
    rows, columns = ((torch.arange(s) + 0.5) / s for s in (h, w))
    grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1)
    places = prompt.shared_embedding(grid[None]).permute(0, 3, 1, 2)
    sparse, _ = prompt(None, None, boxes[:, None], None)
    dense = prompt.no_mask_embed.weight.reshape(1, -1, 1, 1).expand(n, -1, h, w)
    masks, iou = decoder(embedding, places.expand(n, -1, -1, -1), sparse, dense, multimask_output=False)[:2]
    known = {renamed(name): value for name, value in decoder.state_dict().items()}
    unused = re.compile(r"output_hypernetworks_mlps")
    state = {name: value for name, value in known.items() if not unused.match(name)} | {
        "prompt.waves": prompt.shared_embedding.positional_embedding.detach(),
        "prompt.corners.0": prompt.point_embed[2].weight.detach(),
        "prompt.corners.1": prompt.point_embed[3].weight.detach(),
        "prompt.no_mask": prompt.no_mask_embed.weight.detach(),
    }
    return masks[:, 0, 0], iou[:, 0, 0], state


def test_it_is_the_decoder_of_sam() -> None:
    torch.manual_seed(0)
    embedding, boxes = torch.randn(2, 256, 16, 24), torch.tensor([[40.0, 50, 200, 210], [3, 7, 100, 250]])
    with torch.inference_mode():
        masks, iou, state = theirs(embedding, boxes)
        ours = MaskDecoder().eval()
        ours.load_state_dict(state)
        logits, score = ours(embedding, (boxes.view(-1, 2, 2) + 0.5) / 256)
    assert logits.shape == (2, 64, 96)
    assert masks.std() > 0.1
    torch.testing.assert_close(logits, masks, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(score, iou, rtol=1e-4, atol=1e-4)


def test_the_box_matters() -> None:
    torch.manual_seed(0)
    net, embedding = randomised(MaskDecoder()), torch.randn(1, 256, 8, 8)
    with torch.inference_mode():
        answers = [net(embedding, torch.tensor([[[0.1, 0.2], right]]))[0] for right in ([0.5, 0.6], [0.9, 0.6])]
    assert (answers[0] - answers[1]).abs().max() > 1e-3
