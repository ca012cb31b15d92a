"""Batches of samples of one's own: stacked, and what is wrong with them said."""

import numpy as np
import pytest
from edgekd.errors import RequestError
from edgekd.schema.io import ImageInput, IoRecord, TensorInput, TensorOutput
from edgekd.students.simple import SimpleStudent

GREY = ImageInput(name="image", shape=(1, 1, 4, 4), color="L", mean=(0.0,), std=(1.0,))
NUMBERS = TensorInput(name="numbers", shape=(1, 3), ends=(0, 1))
PICTURE = np.full((4, 4), 255, np.uint8)


def student(sample, *inputs):
    class Own(SimpleStudent):
        def io(self, shape):
            return IoRecord(inputs=inputs, outputs=(TensorOutput(name="y"),))

        def sample(self, rng):
            return sample(rng)

    return Own({}, {}, 0)


def test_a_batch_of_pictures_and_numbers():
    made = student(lambda rng: {"image": PICTURE, "numbers": rng.random(3), "label": 2}, GREY, NUMBERS)
    batch = made.batch(0, 2)
    assert {name: tuple(x.shape) for name, x in batch.items()} == {
        "image": (2, 1, 4, 4),
        "numbers": (2, 3),
        "label": (2,),
    }
    assert batch["image"].unique().tolist() == [1.0]
    assert [tuple(x.shape) for x in made.inputs(batch)] == [(2, 1, 4, 4), (2, 3)]


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        (lambda rng: {"image": PICTURE, "boxes": np.zeros((rng.integers(1, 50), 4))},
         r"gives `boxes` in unequal shapes, \[\d+, 4\] and \[\d+, 4\]"),
        (lambda rng: {"image": np.zeros((4, rng.integers(1, 50)), np.uint8)}, "gives `image` in unequal shapes"),
        (lambda rng: {"picture": PICTURE}, "gives no `image`"),
        (lambda rng: {"image": PICTURE} | ({"label": 1} if rng.random() < 0.5 else {}), "gives no `label`"),
        (lambda rng: {"image": PICTURE, "label": "cat"}, "gives `label` as str"),
    ],
)  # fmt: skip
def test_samples_that_do_not_fit(sample, words):
    with pytest.raises(RequestError, match=words) as error:
        student(sample, GREY).batch(0, 8)
    assert error.value.hint
