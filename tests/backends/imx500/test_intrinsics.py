"""What programs are told of a network, by picamera2's schema."""

import pytest
from edgekd.backends.imx500.intrinsics import intrinsics
from edgekd.schema.io import ClassesOutput, ImageOutput, IoRecord, Region

from tests.backends.imx500.files import record


def test_a_mask_is_segmentation_and_its_region_is_told():
    told = intrinsics(record(size=(96, 48), region=Region(margin=0.1, least=4)))
    assert told["task"] == "segmentation"
    assert told["input_aspect_ratio"] == {"width": 48, "height": 96}
    assert told["edgekd"] == {"region": {"margin": 0.1, "least": 4}, "threshold": 0.0}


def test_without_a_prompt_there_is_no_region():
    assert intrinsics(record())["edgekd"]["region"] is None


@pytest.mark.parametrize("activation", ["softmax", "none"])
def test_classes_have_their_names(activation):
    given = record().inputs
    output = ClassesOutput(name="output", labels=("cat", "dog"), activation=activation)
    told = intrinsics(IoRecord(inputs=given, outputs=(output,)))
    assert told["task"] == "classification"
    assert told["classes"]["labels"] == ["cat", "dog"]
    assert told["cpu"]["softmax"] is (activation == "softmax")


def test_a_picture_is_no_task_that_programs_know():
    output = ImageOutput(name="output", mean=(0.5,) * 3, std=(0.5,) * 3)
    told = intrinsics(IoRecord(inputs=record().inputs, outputs=(output,)))
    assert "task" not in told
    assert told["edgekd"]["threshold"] is None
