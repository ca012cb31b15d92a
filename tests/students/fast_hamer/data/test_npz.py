"""`.npz` files of hands."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from edgekd.errors import MissingError, RequestError
from edgekd.students.fast_hamer.config import DataConfig
from edgekd.students.fast_hamer.crop import crop_of, labels_in
from edgekd.students.fast_hamer.data.load import labelled, load
from edgekd.students.fast_hamer.data.npz import blocks
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture
def write(tmp_path):
    def write(**more):
        rng = np.random.default_rng(0)
        arrays = {
            "x": rng.integers(0, 256, (100, 32, 32, 3), dtype=np.uint8),
            "uv": rng.uniform(0, 32, (100, 21, 2)).astype(np.float32),
            "xyz_cm": rng.normal(0, 5, (100, 21, 3)).astype(np.float32),
        }  # fmt: skip
        path = tmp_path / "hands.npz"
        np.savez(path, **{name: value for name, value in (arrays | more).items() if value is not None})
        return str(path)

    return write


def test_each_picture_is_a_hand(write):
    source = write()
    hands = load(DataConfig(source=source, hands="left"))
    arrays = np.load(source)
    first = hands.test[0]
    i = first.picture
    assert (hands.picture(i) == arrays["x"][i]).all()
    assert (first.id, first.centre, first.size, first.right) == (f"hands-{i:04d}", (16, 16), 32, False)
    assert first.pixels[:, :2] == pytest.approx(arrays["uv"][i])
    assert first.joints[:, :3] == pytest.approx(arrays["xyz_cm"][i] / 100)
    assert first.joints[:, 3].min() == 1


@given(st.integers(100, 2000), st.sampled_from([0.5, 0.75, 0.8, 0.9]), st.integers(0, 20))
@settings(deadline=None)
def test_tests_are_blocks_apart_from_what_trains(count, share, split):
    turns = round(1 / (1 - share))
    if count < 20 * turns:
        return
    training, test = map(np.array, blocks(count, share, split))
    runs = np.split(test, np.flatnonzero(np.diff(test) > 1) + 1)
    assert len(runs) == 5
    assert len(test) == pytest.approx(count * (1 - share), abs=5)
    apart = min(abs(training - end).min() for run in runs for end in (run[0], run[-1]))
    assert apart > 0.25 * min(map(len, runs)) - 0.5
    assert len(training) >= count - len(test) * 1.5 - 10


def test_the_splits_test_every_picture_once():
    tests = [i for split in range(5) for i in blocks(403, 0.8, split)[1]]
    assert sorted(tests) == list(range(403))
    assert blocks(403, 0.8, 5) == blocks(403, 0.8, 0)


def test_too_few_pictures_are_told():
    with pytest.raises(RequestError, match="99 pictures in a row are too few"):
        blocks(99, 0.8, 0)


def test_tests_are_thinned_evenly(write):
    whole = load(DataConfig(source=write(), tests=100)).test
    few = load(DataConfig(source=write(), tests=5)).test
    assert len(whole) == 20
    assert [hand.id for hand in few] == [whole[i].id for i in (0, 5, 10, 14, 19)]


def test_a_smaller_share_of_labels_is_part_of_a_larger_one(write):
    for split in range(5):
        config = DataConfig(source=write(), split=split)
        hands = load(config)
        parts = [labelled(config.model_copy(update={"labelled": share}), hands) for share in (0, 0.1, 0.5, 1)]
        assert [len(part) for part in parts] == [0, *(-(-len(hands.training) // n) for n in (10, 2, 1))]
        assert parts[1] < parts[2] < parts[3]
        places = [i for i, hand in enumerate(hands.training) if hand.id in parts[1]]
        assert places[-1] - places[0] == len(places) - 1


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"x": None}, "has no `x`"),
        ({"x": np.zeros((100, 32, 32), np.uint8)}, "has no `x`"),
        ({"x": np.zeros((100, 32, 32, 3))}, "has no `x`"),
        ({"uv": None}, "has no `uv`"),
        ({"uv": np.zeros((99, 21, 2))}, "has no `uv`"),
        ({"xyz_cm": np.zeros((100, 20, 3))}, "has no `xyz_cm`"),
        ({"xyz_cm": np.zeros((100, 21, 3), int)}, "has no `xyz_cm`"),
        ({"xyz_cm": np.full((100, 21, 3), np.nan)}, "not finite"),
    ],
)
def test_a_file_that_does_not_fit_is_told(write, more, told):
    with pytest.raises(RequestError, match=told):
        load(DataConfig(source=write(**more)))


def test_what_is_no_source_is_told(tmp_path, write):
    with pytest.raises(MissingError, match="does not exist"):
        load(DataConfig(source=str(tmp_path / "none.npz")))
    with pytest.raises(RequestError, match="no known source of hands"):
        load(DataConfig(source=str(tmp_path)))
    path = Path(write())
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(RequestError, match="cannot be read"):
        load(DataConfig(source=str(path)))


def test_the_real_hands():
    """Left hands: fingers bend to the side of the palm that the normal of a right hand's points to, mirrored."""
    path = Path(os.environ.get("EDGEKD_DATA", "/nowhere")) / "hand_real_400_128.npz"
    if not path.is_file():
        pytest.skip(f"EDGEKD_DATA has no {path.name}")
    hands = load(DataConfig(source=str(path), hands="left", tests=400))
    assert (len(hands.training), len(hands.test)) == (284, 80)
    for hand in hands.test:
        joints = labels_in(crop_of(hand), hand)["joints"]
        palm = np.cross(joints[5], joints[17])
        assert np.mean([(joints[tip] - joints[tip - 3]) @ palm for tip in (8, 12, 16, 20)]) > 0
