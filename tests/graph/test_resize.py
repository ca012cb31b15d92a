"""Resize rules against geometry worked out by hand, and what holds for pictures of any size."""

import numpy as np
import pytest
from edgekd.errors import RequestError
from edgekd.graph import answers
from edgekd.graph.resize import blend, centred, fit, scale, tiles, undo
from edgekd.schema.io import ImageInput, ImageOutput, IoRecord
from hypothesis import given
from hypothesis import strategies as st

SIDES = st.one_of(st.integers(1, 3), st.integers(1, 90), st.sampled_from([1, 500]))
HALF = (0.5, 0.5, 0.5)


def spec(rule, size=(24, 16), name="bilinear"):
    return ImageInput(name="x", shape=(1, 3, *size), mean=HALF, std=HALF, resize=rule, filter=name)


def record(rule, size=(24, 16)):
    return IoRecord(inputs=(spec(rule, size),), outputs=(ImageOutput(name="y", mean=HALF, std=HALF),))


class ByRecord:
    encode = staticmethod(answers.encode)
    decode = staticmethod(answers.decode)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


@given(h=SIDES, w=SIDES, rule=st.sampled_from(["stretch", "letterbox", "crop"]), grey=st.booleans())
def test_any_picture_gets_the_inputs_size_and_its_own_back(h, w, rule, grey):
    picture = np.full((h, w) if grey else (h, w, 3), 77, np.uint8)
    fitted = fit(picture, spec(rule))
    assert fitted.shape == (24, 16, *picture.shape[2:])
    assert set(np.unique(fitted)) <= {77, 0 if rule == "letterbox" else 77}
    back = undo(fitted, (h, w), spec(rule))
    assert np.unique(back).tolist() == [77]  # nothing of the black border is left
    assert back.shape == picture.shape or rule == "crop"


def test_letterbox_by_hand():
    """100 x 50 in 24 x 16: the height decides, 24 / 100; 50 columns become 12, two stay black on each side."""
    fitted = fit(np.full((100, 50, 3), 200, np.uint8), spec("letterbox"))
    np.testing.assert_array_equal(fitted[:, :, 0], np.repeat([[0, 200, 0]], [2, 12, 2], axis=1).repeat(24, 0))


def test_crop_by_hand():
    """60 x 100 holds 60 x 40 of the proportions 24 : 16, columns 30 to 70; undone, it is that part."""
    assert centred((24, 16), (60, 100)) == (slice(0, 60), slice(30, 70))
    picture = np.repeat(np.arange(100, dtype=np.uint8)[None], 60, 0)
    fitted = fit(picture, spec("crop", name="nearest"))
    np.testing.assert_array_equal(fitted[0], 30 + np.floor((np.arange(16) + 0.5) * 2.5))
    assert undo(fitted, (60, 100), spec("crop")).shape == (60, 40)


def test_filters_by_definition():
    picture = noise(8, 6)
    means = picture.reshape(4, 2, 3, 2, 3).mean((1, 3))
    np.testing.assert_allclose(scale(picture, (4, 3), "box"), means, atol=1)  # Pillow rounds after each axis
    np.testing.assert_array_equal(scale(picture, (16, 12), "nearest"), picture.repeat(2, 0).repeat(2, 1))


@given(h=st.integers(1, 20), w=st.integers(1, 20), rule=st.sampled_from(["stretch", "letterbox"]))
def test_whole_multiples_come_back_exactly(h, w, rule):
    """Every pixel doubled by `nearest`, and one of each pair taken again."""
    one = spec(rule, (2 * h, 2 * w), "nearest")
    picture = noise(h, w)
    np.testing.assert_array_equal(undo(fit(picture, one), (h, w), one), picture)


def test_a_network_that_enlarges_keeps_its_factor():
    twice = np.zeros((48, 32, 3), np.uint8)
    assert undo(twice, (100, 50), spec("letterbox")).shape == (200, 100, 3)
    assert undo(twice, (60, 100), spec("crop")).shape == (120, 80, 3)


@given(h=SIDES, w=SIDES, seed=st.integers(0, 9))
def test_tiles_of_a_picture_put_together_are_the_picture(h, w, seed):
    picture = noise(h, w, seed)
    parts = tiles(picture, (24, 16))
    assert {part.shape for part in parts} == {(24, 16, 3)}
    np.testing.assert_array_equal(blend(parts, (h, w)), picture)


def test_blending_is_linear_where_two_tiles_overlap():
    """20 columns in two tiles of 12: four are shared, and the second tile's share grows by a fifth each column."""
    first, second = tiles(np.zeros((5, 20), np.uint8), (5, 12))
    mixed = blend([first, second + np.uint8(90)], (5, 20))
    np.testing.assert_array_equal(mixed, [[0] * 8 + [18, 36, 54, 72] + [90] * 8] * 5)


@given(h=SIDES, w=SIDES, rule=st.sampled_from(["stretch", "letterbox", "tile"]))
def test_the_whole_way_keeps_size_and_brightness(h, w, rule):
    """A network that gives back what it gets."""
    picture = np.full((h, w, 3), 140, np.uint8)
    got = answers.answer(ByRecord(), record(rule), lambda x: {"y": x["x"]}, picture)
    np.testing.assert_array_equal(got, picture)


def test_the_whole_way_in_tiles_sees_each_tile_once():
    sizes = []
    got = answers.answer(
        ByRecord(), record("tile"), lambda x: sizes.append(x["x"].shape) or {"y": -x["x"]}, noise(50, 40)
    )
    assert sizes == [(1, 3, 24, 16)] * 9
    np.testing.assert_array_equal(got, 255 - noise(50, 40))


def test_tiles_that_are_no_pictures_are_refused():
    class Words(ByRecord):
        decode = staticmethod(lambda outputs, io: "a word")

    with pytest.raises(RequestError, match="cannot be blended"):
        answers.answer(Words(), record("tile"), lambda x: {"y": x["x"]}, noise(50, 40))
