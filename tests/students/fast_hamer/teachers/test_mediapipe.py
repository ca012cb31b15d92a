"""MediaPipe's landmarks: what its file says by the runtime alone, what it is worth on real hands, other files."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from edgekd.errors import MissingError, RequestError
from edgekd.students.fast_hamer import metrics
from edgekd.students.fast_hamer.config import DataConfig
from edgekd.students.fast_hamer.crop import Crop, View, crop_of, labels_in
from edgekd.students.fast_hamer.data.npz import load_arrays
from edgekd.students.fast_hamer.teachers.mediapipe import SIDE, MediaPipeHands
from edgekd.toolchains.cache import is_fetched, locate
from edgekd.toolchains.lock import find_lock

FETCHED = pytest.mark.skipif(
    not is_fetched(find_lock("mediapipe-hands")) or find_spec("ai_edge_litert") is None,
    reason="not here: edgekd fetch mediapipe-hands, pip install 'edgekd[litert]'",
)


def model(name="full"):
    return locate("mediapipe-hands") / f"hand_landmark_{name}.tflite"


def tiles():
    """A picture of 7 x 7 tiles, and the crop that is all of it."""
    colours = np.random.default_rng(0).integers(0, 256, (7, 7, 3), np.uint8)
    whole = Crop(np.array([[1 / SIDE, 0, -0.5], [0, 1 / SIDE, -0.5]]), np.eye(3), False, SIDE)
    return colours.repeat(32, 0).repeat(32, 1), whole


# By LiteRT's interpreter alone, reference kernels: wrist and index tip in metres and in pixels of 224, presence.
GOLDEN = {
    "full": ((0.0102292, 0.0992820, 0.0685618), (-0.0014970, -0.0775176, -0.0001657), (118.95976, 162.51369),
             (123.28976, 69.91254), 0.000179),
    "lite": ((-0.0016401, 0.0135090, 0.0612061), (-0.0133392, -0.0246811, 0.0200287), (107.38216, 167.23524),
             (112.22781, 72.11727), 0.000963),
}  # fmt: skip


@FETCHED
@pytest.mark.parametrize("name", list(GOLDEN))
def test_one_look_says_what_the_file_says(name):
    wrist, tip, wrist_place, tip_place, presence = GOLDEN[name]
    said = MediaPipeHands(model(name)).look(*tiles())
    np.testing.assert_allclose(said.joints[[0, 8]], [wrist, tip], atol=1e-5)
    np.testing.assert_allclose((said.pixels[[0, 8]] + 0.5) * SIDE, [wrist_place, tip_place], atol=0.02)
    assert said.score == pytest.approx(presence, abs=1e-5)
    assert (said.rotations, said.shape, said.map) == (None, None, None)


def real(every):
    path = Path(os.environ.get("EDGEKD_DATA", "/nowhere")) / "hand_real_400_128.npz"
    if not path.exists():
        pytest.skip(f"EDGEKD_DATA has no {path.name}")
    hands = load_arrays(path, DataConfig(source=str(path), hands="left"))
    return hands, (hands.training + hands.test)[::every]


@FETCHED
@pytest.mark.parametrize(("name", "most"), [("full", 11.0), ("lite", 12.0)])
def test_real_hands_are_found(name, most):
    """All 400: 9.9 mm full and 10.7 lite with two looks, 10.7 and 11.2 with one; their mean pose has 26."""
    hands, picked = real(20)
    teacher, errors, places, sure = MediaPipeHands(model(name)), [], [], []
    for hand in picked:
        crop = crop_of(hand)
        truth, (said,) = labels_in(crop, hand), teacher(hands.picture(hand.picture), [crop])
        errors.append(metrics.aligned_error(said.joints, truth["joints"], reflect=False))
        places.append(np.linalg.norm(said.pixels - truth["pixels"], axis=1).mean())
        sure.append(said.score)
    assert np.mean(errors) < most
    assert np.mean(places) < 0.035
    assert min(sure) > 0.5


@FETCHED
def test_answers_turn_with_the_crop():
    """A hand that lies otherwise in its crop is seen in nearly the same square: answers agree once they are turned,
    which unturned would differ by 50 mm and more."""
    hands, picked = real(80)
    teacher = MediaPipeHands(model())
    for hand in picked:
        crops = [crop_of(hand), crop_of(hand, View(turn=40, scale=1.15))]
        one, other = teacher(hands.picture(hand.picture), crops)
        upright = [crop.upright(said.joints - said.joints[0]) for crop, said in zip(crops, (one, other), strict=True)]
        assert np.linalg.norm(upright[0] - upright[1], axis=1).mean() < 0.015
        places = [crop.pixels(said.pixels) for crop, said in zip(crops, (one, other), strict=True)]
        assert np.linalg.norm(places[0] - places[1], axis=1).mean() < 3


def test_a_file_that_is_not_here_is_told(tmp_path):
    with pytest.raises(MissingError, match="does not exist") as told:
        MediaPipeHands(tmp_path / "hand_landmark_full.tflite")
    assert told.value.hint == "edgekd fetch mediapipe-hands"


@pytest.mark.parametrize("name", ["hand_landmark_full.tflite", "hand_landmark_lite.tflite", "other.tflite"])
def test_a_file_that_is_another_is_never_opened(name, tmp_path):
    (tmp_path / name).write_bytes(b"TFL3" * 100)
    with pytest.raises(RequestError, match="is not the locked") as told:
        MediaPipeHands(tmp_path / name)
    assert told.value.hint.endswith("edgekd fetch mediapipe-hands")
