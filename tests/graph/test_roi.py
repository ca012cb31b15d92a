"""The prompt's geometry: regions inside the picture, masks forth and back."""

import numpy as np
import pytest
from edgekd.errors import RequestError
from edgekd.graph.roi import LEAST, crop, crop_mask, jitter, lay_back, region
from hypothesis import assume, given
from hypothesis import strategies as st

sides = st.integers(LEAST, 300)
places = st.floats(-50, 300)
extents = st.floats(0.01, 400)


@given(sides, sides, places, places, extents, extents)
def test_a_region_lies_in_the_picture_and_holds_the_box(height, width, x, y, w, h):
    assume(x < width and y < height and x + w > 0 and y + h > 0)
    roi = region((x, y, w, h), (height, width))
    assert 0 <= roi.x <= roi.x + roi.width <= width
    assert 0 <= roi.y <= roi.y + roi.height <= height
    assert roi.x <= max(x, 0)
    assert min(x + w, width) <= roi.x + roi.width
    assert roi.y <= max(y, 0)
    assert min(y + h, height) <= roi.y + roi.height
    longer = max(roi.width, roi.height)
    assert roi.width == min(longer, width)
    assert roi.height == min(longer, height)


@pytest.mark.parametrize(
    ("box", "found"),
    [
        ((100, 100, 50, 50), (95, 95, 60, 60)),
        ((100, 110, 50, 30), (95, 95, 60, 60)),
        ((0, 100, 50, 50), (0, 95, 60, 60)),  # moved inside, not cut
        ((150, 150, 50, 50), (140, 140, 60, 60)),
        ((0, 0, 200, 100), (0, 0, 200, 200)),  # never larger than the picture
        ((10, 10, 0.5, 0.5), (8, 8, 4, 4)),
        ((-1e308, -1e308, 1.7e308, 1.7e308), (0, 0, 200, 200)),
    ],
)
def test_regions_by_hand(box, found):
    roi = region(box, (200, 200))
    assert (roi.x, roi.y, roi.width, roi.height) == found


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (0, 0, 5, -1), (float("nan"), 0, 5, 5), (0, 0, float("inf"), 5)])
def test_a_box_without_area_is_refused(box):
    with pytest.raises(RequestError, match="has no area"):
        region(box, (100, 100))


@pytest.mark.parametrize("box", [(100, 0, 5, 5), (0, 100, 5, 5), (-5, 0, 5, 5), (0, -6, 5, 5)])
def test_a_box_beside_the_picture_is_refused(box):
    with pytest.raises(RequestError, match="outside the picture of 100 x 100"):
        region(box, (100, 100))


@given(st.integers(0, 2**32 - 1), sides, sides, st.integers(1, 3))
def test_a_mask_comes_back_from_a_crop_of_whole_multiples(seed, height, width, times):
    rng = np.random.default_rng(seed)
    mask = rng.random((height, width)) < 0.5
    roi = region((float(rng.uniform(0, width)), float(rng.uniform(0, height)), 20.0, 9.0), (height, width))
    seen = crop_mask(mask, roi, (roi.height * times, roi.width * times))
    back = lay_back(np.where(seen, 1.0, -1.0)[times // 2 :: times, times // 2 :: times], roi, mask.shape)
    assert np.array_equal(back[roi.slices], mask[roi.slices])
    back[roi.slices] = False
    assert not back.any()


def test_picture_and_mask_are_cut_alike():
    picture = np.zeros((64, 80, 3), np.uint8)
    picture[20:30, 40:60] = 255
    roi = region((40, 20, 20, 10), picture.shape[:2])
    small = crop(picture, roi, (96, 96))
    assert small.shape == (96, 96, 3)
    same = (small[..., 0] > 127) == crop_mask(picture[..., 0] > 0, roi, (96, 96))
    assert same.mean() > 0.98  # they differ on the edge alone


@given(st.integers(0, 2**32 - 1), st.floats(0, 0.5))
def test_jitter_stays_near_and_keeps_a_side(seed, noise):
    x, y, w, h = jitter((10.0, 20.0, 30.0, 40.0), noise, np.random.default_rng(seed))
    assert w >= 3 - 1e-9
    assert h >= 4 - 1e-9
    assert abs(x + w / 2 - 25) <= 15 * noise + 1e-6
    assert abs(y + h / 2 - 40) <= 20 * noise + 1e-6


def test_no_jitter_leaves_the_box():
    assert jitter((1.0, 2.0, 3.0, 4.0), 0.0, np.random.default_rng(0)) == pytest.approx((1, 2, 3, 4))


def test_jitter_has_the_stated_spread():
    boxes = np.array([jitter((0.0, 0.0, 100.0, 100.0), 0.2, np.random.default_rng([7, i])) for i in range(4000)])
    centres, sizes = boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:] / 100
    assert centres.std() == pytest.approx(20 / 12**0.5, rel=0.05)  # of a uniform spread of 0.2
    assert sizes.std() == pytest.approx(0.1, rel=0.05)
