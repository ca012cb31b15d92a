"""Synthetic hands: the same each time, seen where their labels say, different where they should be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from edgekd.students.fast_hamer.config import DataConfig
from edgekd.students.fast_hamer.crop import crop_of, cut
from edgekd.students.fast_hamer.data.base import Hand
from edgekd.students.fast_hamer.data.load import load
from edgekd.students.fast_hamer.data.poses import _hinge, rotations, shape
from edgekd.students.fast_hamer.data.rendered import BEHIND, _generator, _load, load_rendered, rendered
from edgekd.students.fast_hamer.hand.skinning import skin
from edgekd.students.fast_hamer.hand.synthetic import FINGERS, synthetic_hand

CONFIG = DataConfig(side=64, rendered=40, tests=12)
HANDS = load_rendered(CONFIG)
EVERY = (*HANDS.training, *HANDS.test)


def test_as_many_as_were_asked_for_with_all_that_is_known() -> None:
    assert (len(HANDS.training), len(HANDS.test)) == (40, 12)
    assert len({hand.id for hand in EVERY}) == len({hand.picture for hand in EVERY}) == 52
    for hand in EVERY:
        assert all(value is not None for value in vars(hand).values())
        assert hand.size == 64
        assert hand.right


def test_labels_fit_each_other() -> None:
    """A pinhole camera sees the joints where the pixels are; skinning puts mesh and joints there."""
    for hand in EVERY:
        joints, pixels = hand.joints[:, :3], hand.pixels[:, :2]  # type: ignore[index]
        flat = joints[:, :2] / joints[:, 2:]
        design = np.zeros((42, 3))
        design[0::2, 0], design[1::2, 0] = flat[:, 0], flat[:, 1]
        design[0::2, 1] = design[1::2, 2] = 1
        rest = np.linalg.lstsq(design, pixels.ravel(), rcond=None)[1]
        assert rest[0] < 1e-5
        vertices, landmarks = skin(synthetic_hand(), hand.rotations[None], hand.shape[None])  # type: ignore[index]
        np.testing.assert_allclose(landmarks[0] - landmarks[0, 0], joints - joints[0], atol=1e-6)
        np.testing.assert_allclose(vertices[0] - landmarks[0, 0], hand.vertices - joints[0], atol=1e-6)
        assert 0.25 < joints[:, 2].min() < joints[:, 2].max() < 1.15


def test_the_hand_lies_in_its_box_and_the_picture_around_it() -> None:
    for hand in EVERY:
        inside = crop_of(hand).places(hand.pixels[:, :2])  # type: ignore[index]
        assert np.abs(inside).max() < 0.45
        assert np.ptp(inside, axis=0).max() > 0.7
        picture = HANDS.picture(hand.picture)
        assert picture.shape == (96, 96, 3)
        assert picture.dtype == np.uint8
        assert cut(picture, crop_of(hand), 64).std() > 2


def test_the_mesh_is_seen_where_the_labels_say() -> None:
    """What changes when only the hand is moved lies where the hand was or is."""
    hand = HANDS.training[3]
    picture = HANDS.picture(hand.picture).astype(int)
    low, high = hand.pixels[:, :2].min(0) - 6, hand.pixels[:, :2].max(0) + 6  # type: ignore[index]
    gone = replace(hand, vertices=hand.vertices + np.array([0, 0, 1e6], np.float32))  # type: ignore[operator]
    without = rendered(gone, _generator(0, "training", 3, 1), 64, BEHIND["training"]).astype(int)
    y, x = np.nonzero(np.abs(picture - without).max(2) > 12)
    covered = (x > low[0]) & (x < high[0]) & (y > low[1]) & (y < high[1])
    wrist, middle = hand.pixels[0, :2], hand.pixels[9, :2]  # type: ignore[index]
    arm = (np.column_stack([x, y]) - middle) @ (wrist - middle) > 0
    assert covered.sum() > 200
    assert (covered | arm).mean() > 0.98


def test_the_same_whatever_was_rendered_before() -> None:
    again = _load.__wrapped__(64, 40, 12, 0, 0.5)
    for number in (51, 7, 0):
        np.testing.assert_array_equal(again.picture(number), HANDS.picture(number))
    more = _load.__wrapped__(64, 90, 30, 0, 0.5)
    for ours, theirs in zip(HANDS.training, more.training, strict=False):
        np.testing.assert_array_equal(ours.joints, theirs.joints)
    np.testing.assert_array_equal(more.picture(90 + 3), HANDS.picture(40 + 3))
    assert HANDS.picture(7) is HANDS.picture(7)


def test_another_split_is_other_hands_and_no_test_hand_trains() -> None:
    other = _load.__wrapped__(64, 4, 4, 1, 0.5)
    sets: list[tuple[Hand, ...]] = [HANDS.training, HANDS.test, other.training, other.test]
    shapes = {hand.shape.tobytes() for part in sets for hand in part}  # type: ignore[union-attr]
    assert len(shapes) == 40 + 12 + 4 + 4


def test_it_is_the_source_that_ships() -> None:
    assert load(CONFIG).training[5].id == HANDS.training[5].id


@pytest.mark.parametrize("seed", range(3))
def test_poses_keep_within_what_fingers_can_do(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(60):
        turns = rotations(rng)
        np.testing.assert_allclose(turns @ turns.swapaxes(1, 2), np.tile(np.eye(3), (16, 1, 1)), atol=1e-9)
        for finger in FINGERS:
            for k, (least, most) in enumerate(((-0.45, 1.75), (-0.06, 1.91), (-0.11, 1.31))):
                ahead = turns[finger.joint + k] @ finger.direction
                bend = np.arctan2(ahead @ finger.flexes, ahead @ finger.direction)
                assert least <= bend <= most
                assert abs(ahead @ np.array(_hinge(finger))) < (0.6 if k == 0 else 1e-9)
        assert np.abs(shape(rng)).max() <= 2


def test_fingers_that_do_not_bend_for_themselves_bend_together() -> None:
    def alike(alone: float) -> float:
        rng = np.random.default_rng(0)
        turns = np.stack([rotations(rng, alone)[[1, 10]] for _ in range(300)])
        bends = np.arccos(np.clip((np.trace(turns, axis1=2, axis2=3) - 1) / 2, -1, 1))
        return float(np.corrcoef(bends.T)[0, 1])

    assert alike(0.0) > 0.6
    assert abs(alike(1.0)) < 0.15


def test_palms_and_backs_are_seen_with_fingers_straight_and_folded() -> None:
    rng = np.random.default_rng(0)
    turns = np.stack([rotations(rng) for _ in range(300)])
    palm = turns[:, 0, 2, 2]
    assert (palm < -0.5).mean() > 0.2
    assert (palm > 0.5).mean() > 0.2
    curls = np.arccos(np.clip((np.trace(turns[:, 2], axis1=1, axis2=2) - 1) / 2, -1, 1))
    assert (curls < 0.4).mean() > 0.15
    assert (curls > 1.2).mean() > 0.15
