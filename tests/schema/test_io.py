"""The io record: old ones stay readable, wrong ones are refused."""

import json

import pytest
from edgekd.schema.io import ClassesOutput, ImageInput, IoRecord, TensorOutput
from pydantic import ValidationError

# As version 1 was written.
OLD = (
    '{"version":1,"inputs":[{"name":"image","shape":[1,3,256,256],"layout":"NCHW","color":"RGB","scale":'
    '0.00392156862745098,"mean":[0.5,0.5,0.5],"std":[0.5,0.5,0.5],"resize":"none"}],"outputs":[{"name":"restored",'
    '"decode":"image","mean":[0.5,0.5,0.5],"std":[0.5,0.5,0.5]}]}'
)
GREY = ImageInput(name="image", shape=(1, 1, 8, 8), color="L", mean=(0.5,), std=(0.5,))


def test_a_record_of_version_1_is_read_and_kept():
    assert json.loads(IoRecord.model_validate_json(OLD).model_dump_json()) == json.loads(OLD)


@pytest.mark.parametrize("rule", ["none", "stretch", "letterbox", "crop"])
def test_the_resize_rule_survives(rule):
    io = IoRecord(
        inputs=(GREY.model_copy(update={"resize": rule, "filter": "box"}),), outputs=(TensorOutput(name="b"),)
    )
    again = IoRecord.model_validate_json(io.model_dump_json()).inputs[0]
    assert (again.resize, again.filter) == (rule, "bilinear" if rule == "none" else "box")  # `none` has no filter
    assert io.unresized().inputs[0].resize == "none"


@pytest.mark.parametrize("output", [TensorOutput(name="b"), ClassesOutput(name="a", labels=("x", "y"))])
def test_only_pictures_are_put_together_from_tiles(output):
    with pytest.raises(ValidationError, match="outputs that are pictures"):
        IoRecord(inputs=(GREY.model_copy(update={"resize": "tile"}),), outputs=(output,))


def test_every_kind_of_output_survives():
    io = IoRecord(inputs=(GREY,), outputs=(ClassesOutput(name="a", labels=("x", "y")), TensorOutput(name="b")))
    again = IoRecord.model_validate_json(io.model_dump_json())
    assert again == io
    assert again.version == 4
    assert [type(spec) for spec in again.outputs] == [ClassesOutput, TensorOutput]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"version":1', '"version":5'),
        ('"decode":"image"', '"decode":"boxes"'),
        ('"none"', '"squeeze"'),
        ('"color":"RGB"', '"color":"L"'),
    ],
)
def test_what_is_not_known_is_refused(old, new):
    with pytest.raises(ValidationError):
        IoRecord.model_validate_json(OLD.replace(old, new))
