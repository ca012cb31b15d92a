"""Samples, metrics against independent computations, controls, box noise."""

import numpy as np
import pytest
from edgekd.graph.answers import encode
from edgekd.graph.roi import Roi, crop, region
from edgekd.students.base import title_of, unit_of
from edgekd.students.picosam3.task import SegmentTask, Truth, band, fill
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

TASK = SegmentTask({"tests": 12}, 0)
SHAPE = (96, 96)


def truth(inside, outside=0):
    h, w = inside.shape
    return Truth((0.0, 0.0, float(w), float(h)), Roi(0, 0, w, h), inside, outside)


def logits(mask):
    return np.where(mask, np.float32(3), np.float32(-2))


def square(y, x, side=20, size=40):
    mask = np.zeros((size, size), bool)
    mask[y : y + side, x : x + side] = True
    return mask


def brute_band(mask, width):
    """Pixels of the mask with one outside it, or beyond the frame, within `width` in rows and columns."""
    padded = np.pad(mask, width)
    out = np.zeros_like(mask)
    for y, x in zip(*np.nonzero(mask), strict=True):
        out[y, x] = not padded[y : y + 2 * width + 1, x : x + 2 * width + 1].all()
    return out


def test_samples_are_the_regions_of_their_boxes():
    samples = TASK.evalset()
    assert len(samples) == len({s.id for s in samples}) == 12
    by_id = {i.id: i for i in TASK.parts[1]}
    for s in samples:
        instance = by_id[s.id]
        picture, mask = TASK.instances.picture(instance.picture), TASK.instances.mask(instance)
        assert s.truth.roi == region(instance.box, picture.shape[:2])
        np.testing.assert_array_equal(s.raw, picture[s.truth.roi.slices])
        assert s.truth.inside.sum() == mask.sum() > 0
        assert s.truth.outside == 0
        marked = TASK.reference(s)
        x, y, w, h = map(int, marked.box)
        assert marked.inside[y : y + h, x : x + w].sum() == mask.sum()


def test_what_is_encoded_is_the_crop_as_a_sensor_hands_it():
    sample, io = TASK.evalset()[3], TASK.io(SHAPE)
    instance = next(i for i in TASK.parts[1] if i.id == sample.id)
    seen = crop(TASK.instances.picture(instance.picture), sample.truth.roi, SHAPE)
    got = encode(sample.raw, io)["crop"]
    np.testing.assert_allclose(got[0], seen.transpose(2, 0, 1) / 128.0 - 1, atol=1e-6)
    assert io.inputs[0].ends == pytest.approx((-1, 127 / 128))


def test_metrics_by_hand():
    """Two squares of 20 by 20, one moved by 10: 200 pixels in common of 600."""
    got = TASK.score(logits(square(10, 10)), truth(square(10, 20)))
    a, b = brute_band(square(10, 10), 1), brute_band(square(10, 20), 1)
    assert got == pytest.approx({
        "iou": 100 / 3, "iou_picture": 100 / 3, "iou_boundary": 100 * (a & b).sum() / (a | b).sum(),
        "at_50": 0, "at_75": 0, "at_50_95": 0,
    })  # fmt: skip
    near = TASK.score(logits(square(10, 10)), truth(square(10, 12)))
    assert near["iou"] == pytest.approx(100 * 360 / 440)
    assert (near["at_50"], near["at_75"], near["at_50_95"]) == (100, 100, pytest.approx(70))  # 0.5 to 0.8
    missed = TASK.score(logits(square(10, 10)), truth(square(10, 12), outside=60))
    assert missed["iou"] == near["iou"]
    assert missed["iou_picture"] == pytest.approx(100 * 360 / 500)


def test_perfect_empty_and_full_answers():
    empty, full = np.zeros((40, 40), bool), np.ones((40, 40), bool)
    assert set(TASK.score(logits(square(5, 5)), truth(square(5, 5))).values()) == {100.0}
    assert set(TASK.score(logits(empty), truth(empty)).values()) == {100.0}
    assert set(TASK.score(logits(empty), truth(square(5, 5))).values()) == {0.0}
    assert TASK.score(logits(full), truth(square(5, 5)))["iou"] == pytest.approx(25)


def test_logits_of_another_size_are_held_against_the_mask_at_theirs():
    """The crop's IoU counts the network's pixels, the picture's the picture's."""
    inside = square(2, 4, side=10, size=20)
    large = np.asarray(Image.fromarray(inside).resize((80, 80), Image.Resampling.NEAREST))
    got = TASK.score(logits(large), truth(inside))
    assert (got["iou"], got["iou_picture"]) == (100, 100)


@given(st.integers(0, 2**32 - 1), st.integers(8, 60), st.integers(8, 60))
def test_bands_are_those_of_a_slow_search(seed, height, width):
    rng = np.random.default_rng(seed)
    mask = np.asarray(Image.fromarray(rng.integers(0, 256, (4, 4)).astype(np.uint8)).resize((width, height))) > 110
    np.testing.assert_array_equal(band(mask), brute_band(mask, max(1, round(0.02 * np.hypot(height, width)))))


def test_controls_fill_box_and_ellipse():
    box = Truth((13.0, 22.0, 10.0, 20.0), Roi(8, 20, 24, 24), np.zeros((24, 24), bool), 0)
    whole, ellipse = fill(box, 24, ellipse=False) > 0, fill(box, 24) > 0
    expected = np.zeros((24, 24), bool)
    expected[2:22, 5:15] = True
    np.testing.assert_array_equal(whole, expected)
    assert not (ellipse & ~whole).any()
    assert ellipse.sum() == pytest.approx(np.pi * 5 * 10, rel=0.03)
    np.testing.assert_array_equal(ellipse[2:22, 5:15], ellipse[2:22, 5:15][::-1, ::-1])
    twice = expected.repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(fill(box, 48, ellipse=False) > 0, twice)
    assert list(TASK.controls()) == ["whole box", "ellipse in the box"]
    assert TASK.baseline in TASK.controls()


def test_controls_on_the_cells():
    """Cells are round: the ellipse is better than the box; numbers of the shipped pictures."""
    samples = TASK.evalset()
    assert {answer(s).shape for answer in TASK.controls().values() for s in samples} == {SHAPE}  # as a network's
    means = {name: np.mean([TASK.score(answer(s), s.truth)["iou"] for s in samples])
             for name, answer in TASK.controls().items()}  # fmt: skip
    assert 60 < means["whole box"] < means["ellipse in the box"] < 90


def test_noise_moves_the_box_and_cuts_the_truth_alike():
    noisy = SegmentTask({"tests": 12, "noise": 0.4}, 0)
    again, still = noisy.evalset(), TASK.evalset()
    assert [s.id for s in again] == [s.id for s in still]
    assert all(a.truth.box != b.truth.box for a, b in zip(again, still, strict=True))
    assert all(
        s.truth.inside.sum() + s.truth.outside == t.truth.inside.sum() for s, t in zip(again, still, strict=True)
    )
    assert any(s.truth.outside for s in again)
    assert [s.truth.box for s in SegmentTask({"tests": 12, "noise": 0.4}, 5).evalset()] == [s.truth.box for s in again]
    other = SegmentTask({"tests": 12, "noise": 0.1}, 0).evalset()
    assert all(a.truth.box != b.truth.box for a, b in zip(other, again, strict=True))


def test_every_metric_has_a_title_and_a_unit():
    names = TASK.score(logits(square(5, 5)), truth(square(5, 5)))
    assert set(TASK.metrics) == set(names)
    assert {unit_of(TASK, name) for name in names} == {"%"}
    assert title_of(TASK, "at_50") == "share at IoU ≥ 0.5"
    assert not any("AP" in title_of(TASK, name) for name in names)
