"""What is shown of masks: of any task whose answers are masks, its truth said or an array."""

import numpy as np
import pytest
from edgekd.graph.masks import COLORS, MISSED, TOO_MUCH, TRUE
from edgekd.schema.io import ClassesOutput, ImageInput, IoRecord, MaskOutput, TensorInput
from edgekd.students.base import Marked, Sample
from edgekd.students.simple import SimpleTask
from edgekd.verify.panels import panels
from edgekd.verify.scores import Scores

GREY = ImageInput(name="x", shape=(1, 1, 12, 16), color="L", mean=(0.5,), std=(0.5,))
MASK = MaskOutput(name="m")
RAW = np.full((24, 32), 90, np.uint8)


def square(y, x, height=24, width=32):
    out = np.zeros((height, width), bool)
    out[y : y + 8, x : x + 8] = True
    return out


class Segments(SimpleTask):
    metric, unit = "iou", "%"


class Marks(Segments):
    def reference(self, sample):
        return Marked(square(8, 8), (8.0, 8.0, 8.0, 8.0))


def arm(name, answer, value=50.0):
    return Scores(name, ("a",), {"iou": (value,)}, (answer,))


def values(mask):
    return np.where(mask, np.float32(2), np.float32(-3))


def shown(task, truth, *arms, io=None, raw=RAW):
    record = io or IoRecord(inputs=(GREY,), outputs=(MASK,))
    return list(panels(task, record, Sample("a", raw, truth), 0, arms))


ARMS = (arm("fp32", values(square(8, 8)), 100.0), arm("int8", values(square(8, 12)), 33.3))


@pytest.mark.parametrize("truth", [square(8, 8), square(8, 8).astype(np.uint8), square(8, 8) * 7])
def test_a_truth_that_is_an_array_is_shown(truth):
    found = shown(Segments({}, 0), truth, *ARMS)
    assert [(p.subject, p.value) for p in found] == [("truth", None), ("fp32", 100), ("int8", 33.3), ("errors", None)]
    assert {p.picture.shape for p in found} == {(144, 192, 3)}
    line, full, ours, errors = (p.picture.astype(int) for p in found)
    assert (line == TRUE).all(2).any()
    np.testing.assert_array_equal(line[72, 72], [90] * 3)  # only an outline
    np.testing.assert_allclose(full[72, 72], 0.6 * 90 + 0.4 * np.array(COLORS[0]), atol=1)
    assert (ours[72, 60] == 90).all()
    np.testing.assert_allclose(errors[72, 60], 0.6 * 90 + 0.4 * np.array(MISSED), atol=1)
    np.testing.assert_allclose(errors[72, 108], 0.6 * 90 + 0.4 * np.array(TOO_MUCH), atol=1)
    assert (errors[72, 84] == 90).all()


def test_a_task_says_its_truth_and_the_box():
    line = shown(Marks({}, 0), "a cell", *ARMS)[0].picture
    white = (line == 255).all(2)
    assert white[48, 48:96].all()
    assert white[48:96, 95].all()
    assert not white[60:80, 60:80].any()


def test_answers_at_the_network_s_size_and_as_booleans():
    small = square(8, 8)[::2, ::2]
    full, ours = (p.picture for p in shown(Marks({}, 0), None, arm("fp32", values(small)), arm("int8", small))[1:3])
    inside = ((full != 90).any(2), (ours != 90).any(2))
    assert all(mask.mean() == pytest.approx(64 / 768, rel=0.15) for mask in inside)


def test_nothing_where_there_is_nothing_to_show():
    assert not shown(Segments({}, 0), "a cell", *ARMS)
    assert not shown(Segments({}, 0), 3, *ARMS)
    assert not shown(Marks({}, 0), None, ARMS[0], arm("int8", "an answer of another form"))
    classes = IoRecord(inputs=(GREY,), outputs=(ClassesOutput(name="c", labels=("a", "b")),))
    assert not shown(Marks({}, 0), None, *ARMS, io=classes)
    numbers = IoRecord(inputs=(TensorInput(name="x", shape=(1, 3), ends=(0, 1)),), outputs=(MASK,))
    assert not shown(Marks({}, 0), None, *ARMS, io=numbers, raw=np.zeros(3))


def test_masks_among_several_outputs():
    io = IoRecord(inputs=(GREY,), outputs=(ClassesOutput(name="c", labels=("a", "b")), MASK))
    answer = {"c": np.array([0.1, 0.9]), "m": values(square(8, 8))}
    assert len(shown(Marks({}, 0), None, arm("fp32", answer), arm("int8", answer), io=io)) == 4


class Draws(Segments):
    def draw(self, raw, prediction):
        return np.full((8, 8, 3), prediction, np.uint8)


class DrawsBoth(Draws):
    def draw_truth(self, sample):
        return np.full((8, 8, 3), sample.truth, np.uint8)


@pytest.mark.parametrize(("kind", "first", "shade"), [(Draws, "input", 90), (DrawsBoth, "truth", 7)])
def test_what_a_task_draws_is_shown_as_it_draws_it(kind, first, shade):
    record = IoRecord(inputs=(GREY,), outputs=(MASK,))
    arms = [Scores(name, ("a",), {"iou": (v,)}, (v,)) for name, v in (("fp32", 50), ("ours", 40))]
    found = list(panels(kind({}, 0), record, Sample("a", RAW, 7), 0, arms))
    assert [(p.subject, p.value, int(p.picture[0, 0, 0])) for p in found] == [
        (first, None, shade), ("fp32", 50, 50), ("ours", 40, 40),
    ]  # fmt: skip
