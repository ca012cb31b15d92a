"""Masks on their pictures, and what is drawn of them."""

import numpy as np
import pytest
from edgekd.graph.masks import (
    BOX,
    COLORS,
    MISSED,
    TOO_MUCH,
    coloured,
    enlarged,
    eroded,
    errors,
    framed,
    inside,
    iou,
    is_mask,
    on_picture,
    outlined,
    times,
    tinted,
)
from edgekd.schema.io import ImageInput, MaskOutput, TensorOutput
from hypothesis import given
from hypothesis import strategies as st

GREY = np.full((30, 40, 3), 100, np.uint8)


def spec(resize, size=(24, 32)):
    return ImageInput(name="x", shape=(1, 3, *size), mean=(0.5,) * 3, std=(0.5,) * 3, resize=resize)


def square(height, width):
    """Values above zero in the middle, in a quarter of the whole."""
    out = np.full((height, width), -1, np.float32)
    out[height // 4 : height - height // 4, width // 4 : width - width // 4] = 1
    return out


@pytest.mark.parametrize(
    ("resize", "picture", "middle"),
    [
        ("stretch", (48, 64), (slice(12, 36), slice(16, 48))),
        ("stretch", (240, 32), (slice(60, 180), slice(8, 24))),
        ("none", (24, 32), (slice(6, 18), slice(8, 24))),
        ("crop", (48, 100), (slice(12, 36), slice(34, 66))),  # 64 columns are seen, from 18 on
        ("letterbox", (48, 32), (slice(12, 36), slice(0, 32))),  # 16 of 32 columns are the picture
        ("letterbox", (24, 64), (slice(0, 24), slice(16, 48))),  # 12 of 24 rows are
    ],
)
def test_a_mask_lies_where_it_was_seen(resize, picture, middle):
    want = np.zeros(picture, bool)
    want[middle] = True
    for values in (square(24, 32), square(12, 16), square(24, 32) > 0):  # of any size, booleans too
        assert iou(on_picture(values, picture, spec(resize)), want) > 0.9


@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(1, 20))
def test_values_at_their_own_size_are_above_zero_or_not(seed, height, width):
    values = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    np.testing.assert_array_equal(inside(values, (height, width)), values > 0)
    np.testing.assert_array_equal(inside(values > 0, (height, width)), values > 0)


def test_iou():
    a, b = np.array([[1, 1, 0, 0]], bool), np.array([[0, 1, 1, 0]], bool)
    assert iou(a, b) == pytest.approx(1 / 3)
    assert iou(a, b, missed=3) == pytest.approx(1 / 6)
    assert iou(a & ~a, b & ~b) == 1
    assert iou(a & ~a, b) == 0


@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_erosion_is_that_of_a_slow_search(seed, width):
    mask = np.random.default_rng(seed).random((9, 12)) < 0.9
    padded = np.pad(mask, width)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * width + 1, 2 * width + 1))
    np.testing.assert_array_equal(eroded(mask, width), windows.all((2, 3)))


def test_small_pictures_are_enlarged_by_whole_factors():
    assert [times(size) for size in [(192, 10), (191, 191), (1, 1), (500, 2)]] == [1, 2, 192, 1]
    small = np.arange(6).reshape(2, 3)
    large = enlarged(small, least=6)
    assert large.shape == (4, 6)
    np.testing.assert_array_equal(large[::2, ::2], small)


def test_drawing_changes_what_it_is_about_alone():
    mask = square(30, 40) > 0
    shown = outlined(tinted(GREY, mask, COLORS[0]), mask, COLORS[0])
    np.testing.assert_array_equal((shown != GREY).any(2), mask)
    edge = (shown == COLORS[0]).all(2)
    assert edge.any()
    assert not (edge & eroded(mask, 1)).any()
    assert (GREY == 100).all()
    assert coloured(GREY[..., 0]).shape == GREY.shape


def test_what_is_too_much_and_what_is_missed():
    answer, truth = np.zeros((2, 30, 40), bool)
    answer[5:15], truth[10:20] = True, True
    shown = errors(GREY, answer, truth).astype(int)
    for rows, color in ((slice(5, 10), TOO_MUCH), (slice(15, 20), MISSED)):
        np.testing.assert_allclose(shown[rows], np.broadcast_to(0.6 * 100 + 0.4 * np.array(color), (5, 40, 3)), atol=1)
    assert (shown[10:15] == 100).all()
    assert (shown[20:] == 100).all()


def test_a_box_is_a_line_around_its_pixels():
    shown = framed(GREY, (10, 5, 12, 8), BOX)
    line = (shown == BOX).all(2)
    want = np.zeros((30, 40), bool)
    want[5:13, 10:22] = True
    want[6:12, 11:21] = False
    np.testing.assert_array_equal(line, want)
    twice = framed(GREY, (5, 2.5, 6, 4), BOX, n=2)
    np.testing.assert_array_equal(twice, shown)
    for box in [(-1e308, -1e308, 1.7e308, 1.7e308), (39, 29, 1e9, 1e9), (-5, -5, 5.1, 5.1), (3, 3, 0.1, 0.1)]:
        assert framed(GREY, box, BOX).shape == GREY.shape


def test_what_is_a_mask():
    mask, tensor = MaskOutput(name="m"), TensorOutput(name="t")
    assert is_mask(np.zeros((3, 4)), mask)
    assert not is_mask(np.zeros((3, 4)), tensor)
    assert not is_mask(np.zeros((1, 3, 4)), mask)
    assert not is_mask("a mask", mask)
