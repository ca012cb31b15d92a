"""Small models of the real classes, with random weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from edgekd.errors import RequestError
from edgekd.students.picosam3.teachers.overlap import reach
from edgekd.students.picosam3.teachers.sam import Concept, Sam, Sam2, Tracker
from PIL import Image
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate
from transformers.models.sam3.modeling_sam3 import Sam3GeometryEncoder
from transformers.utils import import_utils

from tests.students.picosam3.teachers import sams

PICTURE = np.random.default_rng(0).integers(0, 256, (100, 160, 3)).astype(np.uint8)
BOXES = [(10.0, 5.0, 20.0, 20.0), (80.0, 40.0, 30.0, 20.0), (0.0, 60.0, 50.0, 40.0)]


def roi_align(maps: Tensor, boxes: list[Tensor], size: int) -> Tensor:
    """One sample in the middle of each bin: a stand-in, and not torchvision's finer sampling."""
    shares = (torch.arange(size) + 0.5) / size
    out = []
    for features, (x, y, right, bottom) in zip(maps, boxes[0], strict=True):
        places = [2 * (at + shares * (to - at)) / n - 1 for at, to, n in ((x, right, maps.shape[3]), (y, bottom, maps.shape[2]))]  # fmt: skip  # noqa: E501
        grid = torch.stack(torch.meshgrid(*places, indexing="xy"), -1)
        out.append(grid_sample(features[None], grid[None], align_corners=False)[0])
    return torch.stack(out)


@pytest.fixture
def torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torchvision is not here: SAM 3 is told that it is, and its one operator is stood in for."""
    if not import_utils.is_torchvision_available():
        monkeypatch.setitem(import_utils.BACKENDS_MAPPING, "torchvision", (lambda: True, ""))
        ops = SimpleNamespace(ops=SimpleNamespace(roi_align=roi_align))
        monkeypatch.setitem(Sam3GeometryEncoder._encode_boxes.__globals__, "torchvision", ops)


@pytest.fixture(params=["sam2", "sam3", "sam3-concept"])
def teacher(request: pytest.FixtureRequest, tmp_path: Path, torchvision: None) -> Sam:
    make, kind = {"sam2": (sams.sam2, Sam2), "sam3": (sams.tracker, Tracker), "sam3-concept": (sams.concept, Concept)}[
        request.param
    ]
    make(tmp_path)
    return kind(tmp_path)


def test_each_box_has_its_answer_around_it(teacher: Sam) -> None:
    answers = teacher(PICTURE, BOXES)
    for answer, box in zip(answers, BOXES, strict=True):
        assert answer.roi == reach(box, (100, 160))
        assert answer.logits.shape == (answer.roi.height, answer.roi.width)
        assert answer.logits.dtype == np.float32
        assert 0 <= answer.score <= 1
        assert answer.logits.std() > 0


def test_several_boxes_are_answered_as_one_at_a_time(teacher: Sam) -> None:
    for together, box in zip(teacher(PICTURE, BOXES), BOXES, strict=True):
        (alone,) = teacher(PICTURE, [box])
        np.testing.assert_allclose(together.logits, alone.logits, atol=1e-5)
        assert together.score == pytest.approx(alone.score, abs=1e-5)


def test_a_picture_is_encoded_once(teacher: Sam) -> None:
    calls = []
    teacher.net.vision_encoder.register_forward_hook(lambda *_: calls.append(1))
    teacher(PICTURE, BOXES)
    assert len(calls) == 1


def test_the_box_matters(teacher: Sam) -> None:
    first, second = teacher(PICTURE, [BOXES[0], (12.0, 7.0, 16.0, 16.0)])
    assert np.abs(first.logits[:20, :20] - second.logits[:20, :20]).max() > 1e-6


def asked_whole(teacher: Tracker, mean: list[float], std: list[float]) -> tuple[Tensor, Tensor]:
    """The documented way: pixels and boxes scaled by hand, logits resized to the picture."""
    side = teacher.net.config.prompt_encoder_config.image_size
    small = Image.fromarray(PICTURE).resize((side, side), Image.Resampling.BILINEAR)
    channels = torch.tensor(np.asarray(small)).permute(2, 0, 1)[None] / 255
    pixels = (channels - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
    boxes = torch.tensor([[[x / 160, y / 100, (x + w) / 160, (y + h) / 100] for x, y, w, h in BOXES]]) * side
    with torch.inference_mode():
        found = teacher.net(pixel_values=pixels, input_boxes=boxes, multimask_output=False)
    whole = interpolate(found.pred_masks[0], (100, 160), mode="bilinear", align_corners=False)[:, 0]
    return whole, found.iou_scores[0, :, 0] * found.object_score_logits[0, :, 0].sigmoid()


@pytest.mark.parametrize(
    ("make", "kind", "mean", "std"),
    [
        (sams.sam2, Sam2, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        (sams.tracker, Tracker, [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]),
    ],
)
def test_it_asks_as_documented(
    make: Callable[[Path], object],
    kind: type[Tracker],
    mean: list[float],
    std: list[float],
    tmp_path: Path,
    torchvision: None,
) -> None:
    make(tmp_path)
    teacher = kind(tmp_path)
    whole, scores = asked_whole(teacher, mean, std)
    for answer, logits, score in zip(teacher(PICTURE, BOXES), whole, scores, strict=True):
        expected = logits[answer.roi.slices].numpy()
        np.testing.assert_allclose(answer.logits, expected, atol=1e-3 * expected.std())
        assert answer.score == pytest.approx(float(score), abs=1e-3)


@pytest.mark.parametrize(
    ("make", "kind", "part"),
    [
        (sams.sam2_video, Sam2, ""),
        (sams.sam3_video, Tracker, "tracker_model."),
        (sams.sam3_video, Concept, "detector_model."),
    ],
)
def test_checkpoints_load_in_the_form_in_which_they_ship(
    make: Callable[[Path], torch.nn.Module], kind: type[Sam], part: str, tmp_path: Path, torchvision: None
) -> None:
    whole = make(tmp_path).state_dict()
    teacher = kind(tmp_path)
    decoder = {name: value for name, value in teacher.net.state_dict().items() if name.startswith("mask_decoder.")}
    assert decoder
    for name, value in decoder.items():
        assert torch.equal(value, whole[part + name])
    assert len(teacher(PICTURE, BOXES)) == len(BOXES)


class Ramp(Sam):
    """Logits that tell where in the picture they lie: the share of its width."""

    def __init__(self) -> None:
        self.device = "cpu"

    def side(self) -> int:
        return 64

    def ask(self, pixels: Tensor, boxes: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        shares = (torch.arange(64) + 0.5) / 64
        yield from ((shares.expand(64, -1), torch.tensor(1.5)) for _ in boxes)


@pytest.mark.parametrize("shift", [0, 37])
def test_an_answer_lies_in_the_picture_where_its_region_says(shift: int) -> None:
    (answer,) = Ramp()(PICTURE, [(40.0 + shift, 40.0, 10.0, 12.0)])
    expected = (answer.roi.x + np.arange(answer.roi.width) + 0.5) / 160
    np.testing.assert_allclose(answer.logits[3], expected, atol=1e-4)
    assert answer.roi.x == reach((40.0, 40.0, 10.0, 12.0), (100, 160)).x + shift
    assert answer.score == 1


def test_of_a_concept_the_instance_in_the_box_is_taken(tmp_path: Path, torchvision: None) -> None:
    sams.concept(tmp_path)
    teacher = Concept(tmp_path)
    boxes = torch.tensor([[0.05, 0.1, 0.2, 0.4], [0.5, 0.5, 0.9, 0.9], [0.2, 0.1, 0.9, 0.3], [0.0, 0.0, 0.1, 0.1]])
    taken_best_scored = []
    with torch.inference_mode():
        pixels = teacher.encoded(PICTURE)
        for box, (mask, _) in zip(boxes, teacher.ask(pixels, boxes), strict=True):
            centre, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
            found = teacher.net(
                pixel_values=pixels, input_boxes=torch.cat([centre, size]).view(1, 1, 4), **teacher.words
            )
            shares = [iou(other.tolist(), box.tolist()) for other in found.pred_boxes[0]]
            torch.testing.assert_close(mask, found.pred_masks[0, int(np.argmax(shares))])
            taken_best_scored.append(int(np.argmax(shares)) == int(found.pred_logits[0].argmax()))
    assert not all(taken_best_scored)


def iou(a: list[float], b: list[float]) -> float:
    wide, high = (max(0.0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1))
    areas = sum((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b))
    return wide * high / (areas - wide * high)


def test_what_is_no_checkpoint_is_told(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no checkpoint of `Sam2Model`"):
        Sam2(tmp_path)
    sams.sam2(tmp_path)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RequestError, match="no checkpoint of `Sam2Model`"):
        Sam2(tmp_path)


def test_a_checkpoint_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    sams.sam2(tmp_path)
    weights = tmp_path / "model.safetensors"
    state = load_file(weights)
    del state["mask_decoder.iou_token.weight"]
    save_file(state, weights, {"format": "pt"})
    with pytest.raises(RequestError, match=r"lacks `mask_decoder\.iou_token\.weight`"):
        Sam2(tmp_path)
