"""What lies before and behind the network: the io record, and samples encoded anew."""

import json

import numpy as np
import pytest
from edgekd.schema.io import ClassesOutput, ImageInput, IoRecord, TensorOutput
from edgekd.students.qdr.task import DenoiseTask
from edgekd.verify.records import differences, encoding_gate, read_record, record_gate

IO = IoRecord(
    inputs=(ImageInput(name="image", shape=(1, 3, 8, 8), mean=(0.5, 0.4, 0.3), std=(0.5,) * 3),),
    outputs=(ClassesOutput(name="kind", labels=("cat", "dog")), TensorOutput(name="box")),
)


def changed(**fields):
    table = IO.plain()
    table["inputs"][0] |= fields
    return IoRecord.model_validate(table)


def test_the_same_record_holds():
    assert record_gate("graph.onnx", IO, IO).held
    assert list(differences(IO.plain(), IO.plain())) == []


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"mean": [0.3, 0.4, 0.5]}, "`inputs.image.mean.0` is 0.3, trained with 0.5"),
        ({"scale": 1.0}, "`inputs.image.scale` is 1.0"),
        ({"resize": "crop"}, "`inputs.image.resize` is crop, trained with none"),
        ({"color": "L", "mean": [0.5], "std": [0.5]}, "`inputs.image.color` is L, trained with RGB"),
    ],
)
def test_a_changed_field_is_named(fields, told):
    gate = record_gate("openvino", IO, changed(**fields))
    assert not gate.held
    assert told in gate.problem.message


def test_labels_in_another_order_are_named():
    table = IO.plain()
    table["outputs"][0]["labels"] = ["dog", "cat"]
    gate = record_gate("openvino", IO, IoRecord.model_validate(table))
    assert "`outputs.kind.labels.0` is dog, trained with cat" in gate.found


def test_a_record_that_is_gone_or_damaged(tmp_path):
    assert read_record(tmp_path) is None
    (tmp_path / "io.json").write_text("{")
    assert read_record(tmp_path) is None
    (tmp_path / "io.json").write_text(json.dumps(IO.plain()))
    assert read_record(tmp_path) == IO
    assert not record_gate("openvino", IO, None).held


class Swapped(DenoiseTask):
    """Encodes blue first, which no record tells."""

    def encode(self, raw, io):
        return super().encode(raw[..., ::-1], io)


class Shrunk(DenoiseTask):
    """Resizes by leaving out every other pixel and doubling the rest."""

    def encode(self, raw, io):
        return super().encode(raw[::2, ::2].repeat(2, 0).repeat(2, 1), io)


@pytest.mark.parametrize("task", [Swapped, Shrunk])
def test_samples_that_are_encoded_otherwise_are_found_and_the_input_named(task):
    settings = {"crop": 64, "eval": "edgekd:kodak"}
    trained = DenoiseTask(settings, 0)
    io, samples = trained.io((64, 64)), trained.evalset()[:2]
    probes = [trained.encode(s.raw, io) for s in samples]
    assert encoding_gate(trained, io, samples, probes).held
    gate = encoding_gate(task(settings, 0), io, samples, probes)
    assert not gate.held
    assert gate.found.startswith("`image` differs in ")
    assert not encoding_gate(trained, io, samples, [{"image": np.zeros((1, 3, 32, 32), np.float32)}]).held
