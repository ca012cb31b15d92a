"""Pictures and labels of hands that move together."""

from __future__ import annotations

import numpy as np
import pytest
from edgekd.graph.resize import scale
from edgekd.students.fast_hamer.config import DataConfig
from edgekd.students.fast_hamer.crop import View, coloured, crop_of, cut, drawn, labels_in, turned
from edgekd.students.fast_hamer.data.base import Hand
from edgekd.students.fast_hamer.hand.model import PARENTS
from hypothesis import given, settings
from hypothesis import strategies as st

VIEWS = st.builds(
    View,
    st.floats(0.6, 1.5),
    st.floats(-180, 180),
    st.tuples(st.floats(-0.1, 0.1), st.floats(-0.1, 0.1)),
)
SIDES = st.booleans()


def rotations(rng, count=16):
    q, r = np.linalg.qr(rng.normal(size=(count, 3, 3)))
    q *= np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None]
    q[..., 0] *= np.linalg.det(q)[:, None]
    return q.astype(np.float32)


def hand(right=True, seed=0, **more):
    rng, far = np.random.default_rng(seed), np.array([0, 0, 0.5])
    known = {
        "pixels": np.column_stack([rng.uniform(30, 90, (21, 2)), np.ones(21)]).astype(np.float32),
        "joints": np.column_stack([rng.normal(0, 0.05, (21, 3)) + far, np.ones(21)]).astype(np.float32),
        "vertices": (rng.normal(0, 0.05, (12, 3)) + far).astype(np.float32),
        "rotations": rotations(rng), "shape": rng.normal(size=10).astype(np.float32),
    }  # fmt: skip
    return Hand("it", 0, (60.0, 55.0), 90.0, right, **(known | more))


def blob(place, size=(120, 130)):
    """A soft bright spot around a place of the picture."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    spot = 250 * np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / (2 * 2.5**2))
    return np.repeat(spot[..., None], 3, 2).astype(np.uint8)


@given(VIEWS, SIDES, st.sampled_from([48, 96, 160]), st.floats(45, 75), st.floats(40, 70))
@settings(max_examples=40, deadline=None)
def test_what_is_marked_in_the_picture_is_found_at_its_label(view, right, side, x, y):
    pixels = np.tile(np.float32([x, y, 1]), (21, 1))
    it = hand(right, pixels=pixels)
    crop = crop_of(it, view)
    place = labels_in(crop, it, 12)["pixels"][0]
    shown = cut(blob((x, y)), crop, side)[..., 0].astype(float)
    assert shown.shape == (side, side)
    if abs(place).max() > 0.5 - 10 / crop.size:
        return
    rows, columns = np.mgrid[:side, :side] + 0.5
    found = np.array([(columns * shown).sum(), (rows * shown).sum()]) / shown.sum() / side - 0.5
    assert found == pytest.approx(place, abs=0.5 / min(side, crop.size))


@given(VIEWS, SIDES)
@settings(max_examples=40, deadline=None)
def test_places_go_forth_and_back(view, right):
    it = hand(right)
    crop = crop_of(it, view)
    assert crop.pixels(crop.places(it.pixels[:, :2])) == pytest.approx(it.pixels[:, :2], abs=1e-3)
    labels = labels_in(crop, it, 12)
    assert crop.upright(labels["joints"]) == pytest.approx(it.joints[:, :3] - it.joints[0, :3], abs=1e-6)


@given(VIEWS)
@settings(max_examples=25, deadline=None)
def test_a_mirrored_left_hand_is_the_right_hand_of_a_mirrored_picture(view):
    """So that mirroring twice changes nothing; the turn is the crop's, whichever hand it is."""
    left = hand(right=False)
    flip, width = np.float32([-1, 1, 1]), 130
    other = hand(
        True, pixels=left.pixels * flip + np.float32([width, 0, 0]), joints=left.joints * [*flip, 1],
        vertices=left.vertices * flip, rotations=left.rotations * np.outer(flip, flip),
    )  # fmt: skip
    other = Hand(**{**vars(other), "centre": (width - left.centre[0], left.centre[1])})
    mirrored = View(view.scale, view.turn, (-view.shift[0], view.shift[1]))
    one, two = crop_of(left, view), crop_of(other, mirrored)
    for name, value in labels_in(one, left, 12).items():
        assert value == pytest.approx(labels_in(two, other, 12)[name], abs=1e-6), name
    picture = np.random.default_rng(0).integers(0, 256, (120, width, 3), dtype=np.uint8)
    apart = cut(picture, one, 64).astype(int) - cut(np.ascontiguousarray(picture[:, ::-1]), two, 64)
    assert np.percentile(abs(apart), 99) <= 2


def chain(rotations, offsets):
    """Joints of a tree of bones, each turned against its parent: forward kinematics, written out."""
    places, turns = [np.zeros(3)], [rotations[0].astype(float)]
    for i in range(1, 16):
        parent = PARENTS[i]
        places.append(places[parent] + turns[parent] @ offsets[i])
        turns.append(turns[parent] @ rotations[i])
    return np.array(places)


@given(VIEWS, SIDES, st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_rotations_give_the_joints_that_the_crop_shows(view, right, seed):
    """A left hand's bones are those of the right one mirrored."""
    rng = np.random.default_rng(seed)
    offsets = rng.normal(0, 0.03, (16, 3))
    it = hand(right, seed)
    crop = crop_of(it, view)
    own = offsets if right else offsets * [-1, 1, 1]
    seen = chain(it.rotations, own) @ crop.turning.T
    assert chain(turned(crop, it.rotations), offsets) == pytest.approx(seen, abs=1e-5)
    assert np.linalg.det(turned(crop, it.rotations)) == pytest.approx(np.ones(16), abs=1e-4)


def test_a_quarter_turn_is_clockwise():
    it = hand(pixels=np.tile(np.float32([80, 55, 1]), (21, 1)))
    labels = labels_in(crop_of(it, View(turn=90)), it, 12)
    assert labels["pixels"][0] == pytest.approx([0, 20 / 90], abs=1e-6)
    apart = it.joints[5, :3] - it.joints[0, :3]
    assert labels["joints"][5] == pytest.approx([-apart[1], apart[0], apart[2]], abs=1e-6)


def test_what_is_not_known_is_zero_and_not_trusted():
    nothing = dict.fromkeys(("pixels", "joints", "vertices", "rotations", "shape"))
    it = hand(**nothing)
    labels = labels_in(crop_of(it), it)
    assert {name: value.shape for name, value in labels.items()} == {
        "joints": (21, 3), "has_joints": (21,), "pixels": (21, 2), "has_pixels": (21,), "vertices": (778, 3),
        "has_vertices": (), "rotations": (16, 3, 3), "has_rotations": (), "shape": (10,), "has_shape": (),
    }  # fmt: skip
    assert not any(value.any() for value in labels.values())
    assert all(value.dtype == np.float32 for value in labels.values())
    assert all(labels_in(crop_of(hand()), hand(), 12)[f"has_{name}"].all() for name in nothing)


def test_landmarks_that_are_not_sure_are_zero_even_where_they_are_no_numbers():
    joints, pixels = hand().joints.copy(), hand().pixels.copy()
    joints[7], pixels[7] = (np.nan, np.nan, np.nan, 0), (np.inf, 0, 0)
    joints[8, 3] = 0.5
    labels = labels_in(crop_of(hand()), hand(joints=joints, pixels=pixels), 12)
    assert not labels["joints"][7].any()
    assert not labels["pixels"][7].any()
    assert labels["has_joints"][7:9].tolist() == [0, 0.5]
    joints[0, 3] = 0
    labels = labels_in(crop_of(hand()), hand(joints=joints), 12)
    assert not labels["has_joints"].any()
    assert not labels["has_vertices"]


def test_the_plain_crop_is_the_picture_resized():
    picture = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    whole = crop_of(Hand("it", 0, (48, 48), 96))
    assert (cut(picture, whole, 96) == picture).all()
    assert abs(cut(picture, whole, 32).astype(int) - scale(picture, (32, 32), "bilinear")).max() <= 1
    left = crop_of(Hand("it", 0, (48, 48), 96, right=False))
    assert (cut(picture, left, 96) == picture[:, ::-1]).all()


def test_fine_patterns_are_averaged_where_the_crop_shrinks():
    """A chessboard of pixels is grey from afar, turned or not."""
    board = np.indices((240, 240)).sum(0) % 2 * 255
    picture = np.repeat(board[..., None], 3, 2).astype(np.uint8)
    for turn in (0, 30):
        shown = cut(picture, crop_of(Hand("it", 0, (120, 120), 120), View(turn=turn)), 24)
        assert shown.astype(float) == pytest.approx(127.5, abs=40)


def test_beyond_the_picture_it_is_black():
    picture = np.full((40, 40, 3), 200, np.uint8)
    for side in (40, 160):
        shown = cut(picture, crop_of(Hand("it", 0, (0, 20), 40)), side)
        assert (shown[:, : side // 2 - 2] == 0).all()
        assert (shown[:, side // 2 + 2 :] == 200).all()


def test_views_are_drawn_within_their_bounds():
    config = DataConfig(scale=0.3, turn=30, shift=0.02, colour=0.2)
    views = [drawn(config, np.random.default_rng([0, i])) for i in range(2000)]
    scales = np.array([view.scale for view in views])
    turns = np.array([view.turn for view in views])
    assert (scales.min(), scales.max()) == pytest.approx((0.7, 1.3))
    assert abs(turns).max() == pytest.approx(60)
    assert (turns != 0).mean() == pytest.approx(0.6, abs=0.04)
    assert abs(np.array([view.shift for view in views])).max() == pytest.approx(0.02)
    gains = np.array([view.gain for view in views])
    assert (gains.min(), gains.max()) == pytest.approx((0.8, 1.2), abs=0.01)
    assert views[0] == drawn(config, np.random.default_rng([0, 0]))
    calm = drawn(DataConfig(scale=0, turn=0, shift=0, colour=0), np.random.default_rng(1))
    assert (calm.scale, abs(calm.turn), calm.gain) == (1, 0, (1, 1, 1))


def test_gains_are_of_each_colour_and_stop_at_white():
    picture = np.full((2, 2, 3), 200, np.uint8)
    assert coloured(picture, View(gain=(0.5, 1, 1.5)))[0, 0].tolist() == [100, 200, 255]
