"""Whether an io record fits a graph."""

import pytest
from edgekd.graph.records import misfits
from edgekd.schema.io import ClassesOutput, ImageInput, ImageOutput, IoRecord, TensorOutput

from tests.explain.nets import SIZE, net, op

GRAPH = net([op("Relu")])
"""Gives `restored`, (1, 16, SIZE, SIZE), of `image`, (1, 8, SIZE, SIZE)."""


def record(output, name="restored", rule="none", **more):
    image = ImageInput(name="picture", shape=(1, 3, 8, 8), mean=(0.0,) * 3, std=(1.0,) * 3, resize=rule)
    return IoRecord(inputs=(image,), outputs=(output(name=name, **more),))


@pytest.mark.parametrize(
    ("io", "told"),
    [
        (record(TensorOutput), ""),
        (record(TensorOutput, "y"), "gives no such output, but `restored`"),
        (record(ClassesOutput, labels=("a", "b")), f"gives {16 * SIZE**2} values, the io record has 2 labels"),
        (record(ImageOutput, mean=(0.0,) * 3, std=(1.0,) * 3), "no picture of 3 channels"),
        (record(ImageOutput, mean=(0.0,) * 16, std=(1.0,) * 16), ""),
        (record(ImageOutput, mean=(0.0,) * 16, std=(1.0,) * 16, rule="tile"), "tiles of [8, 8] cannot be blended"),
    ],
)
def test_outputs(io, told):
    found = [problem.message for problem in misfits(GRAPH, io)]
    assert len(found) == bool(told)
    assert told in "".join(found)


def test_inputs():
    """Eight channels are taken, the record has three."""
    io = record(TensorOutput)
    renamed = io.model_copy(update={"inputs": (io.inputs[0].model_copy(update={"name": "image"}),)})
    [problem] = misfits(GRAPH, renamed)
    assert (problem.where, "[1, 8, 16, 16], the io record has [1, 3, 8, 8]" in problem.message) == ("image", True)
