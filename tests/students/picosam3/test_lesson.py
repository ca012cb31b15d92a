"""What is asked, how answers are kept, and what they say of a crop."""

import numpy as np
import pytest
from edgekd.errors import RequestError
from edgekd.graph.roi import Roi, jitter, region
from edgekd.students.picosam3.lesson import OUTSIDE, SIDE, decode, encode, kept, lesson, over, wide
from edgekd.students.picosam3.task import SegmentTask
from edgekd.students.picosam3.teachers.base import Answer, TeacherConfig
from edgekd.students.picosam3.training import stretched
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

logits = arrays(np.float32, (5, 5), elements=st.floats(-40, 40, width=32))


def sharp(z):
    """What the losses see."""
    return 1 / (1 + np.exp(-5 * np.clip(z.astype(np.float64), -100, 100)))


@given(logits)
def test_kept_logits_keep_their_side_and_what_the_losses_see(z):
    back = decode(encode(z))
    assert back.dtype == np.float32
    clear = np.abs(z) > 1e-9
    np.testing.assert_array_equal(back[clear] > 0, z[clear] > 0)
    assert np.abs(sharp(back) - sharp(z)).max() < 0.004
    np.testing.assert_array_equal(encode(back), encode(z))


def test_every_code_is_of_use():
    codes = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(encode(decode(codes)), codes)
    assert np.all(np.diff(decode(codes)) > 0)


def plane(roi, size=(7, 9)):
    """Logits that tell where they are: 0.01 x + 0.001 y at the middle of each cell of `size` over the region."""
    x = roi.x + (np.arange(size[1]) + 0.5) * roi.width / size[1]
    y = roi.y + (np.arange(size[0]) + 0.5) * roi.height / size[0]
    return (0.01 * x[None] + 0.001 * y[:, None]).astype(np.float32)


regions = st.builds(Roi, st.integers(20, 60), st.integers(20, 60), st.integers(8, 40), st.integers(8, 40))


@settings(deadline=None)
@given(regions)
def test_a_region_inside_shows_what_lies_there(wanted):
    roi = Roi(0, 0, 128, 160)
    found = over(plane(roi, (160, 128)), roi, wanted, 24)
    want = plane(wanted, (24, 24))
    np.testing.assert_allclose(found, want, atol=1e-3)  # a tenth of a pixel of x


def test_beyond_the_answer_is_outside():
    roi = Roi(10, 10, 20, 20)
    found = over(np.full((5, 5), 3, np.float32), roi, Roi(0, 10, 20, 20), 20)
    assert np.all(found[:, :8] == OUTSIDE)
    assert np.all(found[:, 13:] == 3)
    apart = over(np.full((5, 5), 3, np.float32), roi, Roi(60, 10, 20, 20), 20)
    assert np.all(apart[:, 2:] == OUTSIDE)


def test_the_wide_region_holds_training_crops():
    rng = np.random.default_rng(0)
    size, whole = (512, 512), 0
    for _ in range(500):
        box = (*rng.uniform(100, 300, 2), *rng.uniform(12, 90, 2))
        crop = stretched(region(jitter(box, 0.1, rng), size), 0.1, size, rng)
        kept_over = wide(box, size)
        whole += (kept_over.x <= crop.x and crop.x + crop.width <= kept_over.x + kept_over.width
                  and kept_over.y <= crop.y and crop.y + crop.height <= kept_over.y + kept_over.height)  # fmt: skip
    assert whole > 0.98 * 500


def test_a_mask_comes_back_where_it_was():
    """An ellipse off the middle, kept and cropped again: nearly the mask itself, cropped."""
    rows, columns = np.ogrid[:90, :120]
    mask = ((columns - 70) / 22) ** 2 + ((rows - 40) / 11) ** 2 <= 1
    answer = Answer(np.where(mask, np.float32(12), np.float32(-12)), Roi(0, 0, 120, 90), 1.0)
    box = (48.0, 29.0, 45.0, 23.0)
    roi = region((50.0, 27.0, 40.0, 25.0), (90, 120))
    found = over(decode(kept(answer, wide(box, (90, 120)))), wide(box, (90, 120)), roi, 96) > 0
    want = over(answer.logits, answer.roi, roi, 96) > 0
    assert (found & want).sum() / (found | want).sum() > 0.99


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_answer_that_is_no_number_is_told(bad):
    with pytest.raises(RequestError, match="not a number"):
        kept(Answer(np.full((3, 3), bad, np.float32), Roi(0, 0, 3, 3), 1.0), Roi(0, 0, 3, 3))


@pytest.fixture(scope="module")
def task():
    return SegmentTask({}, 0)


def made(task, **settings):
    config = TeacherConfig(source="masks:calibration/cells", **settings)
    return lesson(config, task.instances, task.parts[0])


def test_all_training_instances_are_asked_picture_by_picture(task):
    asked = made(task)
    names = [name for group in asked.groups for name in group]
    assert sorted(names) == sorted(instance.id for instance in task.parts[0])
    assert all(len({name.rpartition("-")[0] for name in group}) == 1 for group in asked.groups)
    assert not {instance.id for instance in task.parts[1]} & set(names)


def test_what_changes_no_answer_changes_no_question(task):
    base = made(task).asked
    assert made(task, trust=0.3, per="batch", cache="x", noise=0.3).asked == base
    assert made(task, views=3).asked != base
    assert made(task, views=3, noise=0.3).asked != made(task, views=3).asked
    fewer = lesson(TeacherConfig(source="masks:x"), task.instances, task.parts[0][1:])
    assert fewer.asked["questions"] != base["questions"]


def test_further_views_are_moved_boxes_and_the_same_each_time(task):
    asked = made(task, views=3).ask.__self__
    first, again = (asked.boxes(task.parts[0][0]) for _ in range(2))
    assert first == again
    assert first[0] == task.parts[0][0].box
    assert len(set(first)) == 3
    assert asked.boxes(task.parts[0][1])[1] != first[1]
    np.testing.assert_allclose(first[1], first[0], atol=0.3 * max(first[0][2:]))


def test_answers_are_of_the_instances_they_are_kept_for(task):
    """The teacher is the labels themselves: what is kept of an instance is its own mask."""
    asked = made(task, views=2)
    codes, scores = asked.ask(0)
    by_name = {instance.id: instance for instance in task.parts[0]}
    assert codes.shape == (len(asked.groups[0]), 2, SIDE, SIDE)
    assert scores.shape == codes.shape[:2]
    for name, views in zip(asked.groups[0], codes, strict=True):
        instance = by_name[name]
        mask = task.instances.mask(instance)
        whole = Roi(0, 0, mask.shape[1], mask.shape[0])
        want = over(np.where(mask, np.float32(4), np.float32(-4)), whole, wide(instance.box, mask.shape), SIDE) > 0
        found = decode(views[0]) > 0
        assert (found & want).sum() / (found | want).sum() > 0.98
