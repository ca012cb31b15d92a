import numpy as np
import pytest
from edgekd.apply.draw import annotate
from edgekd.schema.io import ClassesOutput, ImageInput, ImageOutput, IoRecord, TensorOutput

INPUT = ImageInput(name="x", shape=(1, 3, 8, 8), mean=(0.5,) * 3, std=(0.5,) * 3)
PICTURE = ImageOutput(name="y", mean=(0.5,) * 3, std=(0.5,) * 3)


def record(*outputs):
    return IoRecord(inputs=(INPUT,), outputs=outputs)


@pytest.mark.parametrize("size", [(300, 400), (28, 28), (1, 1), (1000, 40), (40, 1000)])
@pytest.mark.parametrize("label", ["cat", "a very long label that would never go in the width of a small picture"])
def test_text_is_written_in_the_corner_alone(size, label):
    grey = np.full((*size, 3), 100, np.uint8)
    classes = ClassesOutput(name="c", labels=(label, "other"))
    drawn = annotate(grey, np.array([0.9, 0.1], np.float32), record(classes))
    assert drawn.max() > 200
    assert drawn.shape[0] % size[0] == 0  # enlarged by a whole factor
    assert drawn.shape[0] / size[0] == drawn.shape[1] / size[1]
    assert max(drawn.shape) >= 192
    assert (drawn[-1, -1] == 100).all() or size in [(1, 1), (40, 1000), (1000, 40)]


def test_a_picture_alone_is_as_it_is():
    grey, other = np.full((8, 8, 3), 100, np.uint8), np.full((8, 8, 3), 20, np.uint8)
    assert annotate(grey, other, record(PICTURE)) is other


def test_the_rest_is_written_on_the_picture_of_an_answer():
    answer = {"y": np.full((300, 300, 3), 20, np.uint8), "t": np.array([1.0, 2.0])}
    drawn = annotate(np.full((300, 300, 3), 100, np.uint8), answer, record(PICTURE, TensorOutput(name="t")))
    assert (drawn[-1, -1] == 20).all()
    assert drawn.max() > 200


def test_an_answer_of_another_form_is_words():
    drawn = annotate(np.full((300, 300, 3), 100, np.uint8), "a cat", record(TensorOutput(name="t")))
    assert drawn.max() > 200
