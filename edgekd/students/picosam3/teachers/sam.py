"""SAM 2.1 and SAM 3 through `transformers`, by checkpoints that lie here: a picture encoded once, a box a mask.

Pictures and boxes are prepared here, as the models' papers and documentation say, since `transformers`' own preparation
needs torchvision: stretched to a square, values normalised by the constants below.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn.functional import interpolate

from edgekd.errors import MissingError, RequestError, last_line
from edgekd.graph.resize import Picture, Size, scale
from edgekd.graph.roi import Box
from edgekd.students.picosam3.teachers.base import Answer
from edgekd.students.picosam3.teachers.overlap import overlaps, reach

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
WORD = "visual"
"""What a concept is called that only a box shows; SAM 3's own."""


class Sam(ABC):
    """A model that answers boxes in a picture it has encoded."""

    model: str
    """Class of `transformers`."""
    mean, std = HALF
    names: Mapping[str, str] = {}
    """Beginnings of weights' names, as patterns, in checkpoints of more than this model, and the model's own."""

    def __init__(self, folder: Path) -> None:
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        options = {"use_safetensors": True, "output_loading_info": True, "key_mapping": dict(self.names)}
        net, told = self._load(folder, self.model, **options)
        if lacking := sorted(told["missing_keys"]):
            message = f"`{folder}` is no checkpoint of `{self.model}`: it lacks `{lacking[0]}`"
            raise RequestError(message, "its `config.json` tells what it is")
        self.net = net.eval().to(self.device)

    def _load(self, folder: Path, name: str, **options: Any) -> Any:
        """A checkpoint by the class of `transformers`. Raises MissingError or RequestError."""
        try:
            hf = import_module("transformers")
            hf.utils.logging.disable_progress_bar()
            return getattr(hf, name).from_pretrained(folder, local_files_only=True, **options)
        except ImportError as error:
            message = f"`{name}` needs a package that is not here: {last_line(error)}"
            raise MissingError(message, "pip install torchvision, from where torch was installed") from None
        except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
            message = f"`{folder}` is no checkpoint of `{name}`: {last_line(error)}"
            raise RequestError(message, "its `config.json` tells what it is") from None

    @torch.inference_mode()
    def __call__(self, picture: Picture, boxes: Sequence[Box]) -> list[Answer]:
        """An answer for each box in a picture (H, W, 3)."""
        size = picture.shape[:2]
        corners = torch.tensor([[x, y, x + w, y + h] for x, y, w, h in boxes], device=self.device)
        shares = corners / torch.tensor([size[1], size[0]] * 2, device=self.device)
        found = self.ask(self.encoded(picture), shares)
        return [_answer(mask, score, box, size) for (mask, score), box in zip(found, boxes, strict=True)]

    def encoded(self, picture: Picture) -> Tensor:
        """A picture as the model takes it, (1, 3, side, side)."""
        side = self.side()
        pixels = scale(picture, (side, side), "bilinear").astype(np.float32) / 255
        normal = (pixels - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return torch.from_numpy(np.ascontiguousarray(normal.transpose(2, 0, 1)[None])).to(self.device)

    @abstractmethod
    def side(self) -> int:
        """Of the square pictures it takes, in pixels."""

    @abstractmethod
    def ask(self, pixels: Tensor, boxes: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Boxes (N, 4), corners as shares of the picture's sides, to N logits (h, w) over it and scores."""


class Tracker(Sam):
    """One instance a box: SAM 3's tracker, whose checkpoint holds the concepts' model too."""

    model = "Sam3TrackerModel"
    names = {
        r"^tracker_model\.": "",
        r"^tracker_neck\.": "vision_encoder.neck.",
        r"^detector_model\.vision_encoder\.backbone\.": "vision_encoder.backbone.",
    }

    def side(self) -> int:
        """The prompt encoder's."""
        return int(self.net.config.prompt_encoder_config.image_size)

    def ask(self, pixels: Tensor, boxes: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """All boxes at once; the score is the estimated IoU times how sure it is that there is an object."""
        found = self.net(
            image_embeddings=self.net.get_image_embeddings(pixels),
            input_boxes=boxes[None] * self.side(),
            multimask_output=False,
        )
        present = found.object_score_logits[0].sigmoid().flatten()
        yield from zip(found.pred_masks[0, :, 0], found.iou_scores[0, :, 0] * present, strict=True)


class Sam2(Tracker):
    """SAM 2.1 (Ravi et al. 2024, arXiv 2408.00714), asked as the tracker is."""

    model, (mean, std), names = "Sam2Model", IMAGENET, {}


class Concept(Sam):
    """SAM 3's concepts: a box asks for all that look like what it holds, so of these the one that lies in it is taken.

    The best-scored one may be another instance; the scores of two boxes of one picture are then alike.
    """

    model = "Sam3Model"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        words = self._load(folder, "AutoTokenizer")
        self.words = words(WORD, return_tensors="pt", padding="max_length", max_length=32).to(self.device)

    def side(self) -> int:
        """The vision encoder's."""
        return int(self.net.config.vision_config.image_size)

    def ask(self, pixels: Tensor, boxes: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """A box at a time; the score is the instance's times the concept's presence."""
        seen = self.net.get_vision_features(pixels)
        inside = torch.ones(1, 1, dtype=torch.long, device=self.device)
        for box in boxes:
            centred = torch.cat([(box[:2] + box[2:]) / 2, box[2:] - box[:2]])
            asked = {"input_boxes": centred[None, None], "input_boxes_labels": inside}
            found = self.net(vision_embeds=seen, **asked, **self.words)
            best = int(overlaps(_boxes(found.pred_boxes[0]), _boxes(box[None])[0]).argmax())
            score = found.pred_logits[0, best].sigmoid() * found.presence_logits[0, 0].sigmoid()
            yield found.pred_masks[0, best], score


def _boxes(corners: Tensor) -> list[Box]:
    """(N, 4) as left, top, width, height."""
    return [(x, y, right - x, bottom - y) for x, y, right, bottom in corners.float().tolist()]


def _answer(mask: Tensor, score: Tensor, box: Box, size: Size) -> Answer:
    """Logits (h, w) over a picture of `size`, at its resolution, around the box."""
    whole = interpolate(mask[None, None].float(), tuple(size), mode="bilinear", align_corners=False)[0, 0]
    roi = reach(box, size)
    return Answer(whole[roi.slices].cpu().numpy().copy(), roi, float(score.float().clamp(0, 1)))
