"""Inputs and answers by the io record, against values worked out by hand."""

import numpy as np
import pytest
from edgekd.graph import answers
from edgekd.schema.io import ClassesOutput, ImageInput, ImageOutput, IoRecord, TensorInput, TensorOutput

COLOUR = ImageInput(name="rgb", shape=(1, 3, 2, 4), mean=(0.5, 0.0, 0.0), std=(0.5, 1.0, 0.5))
GREY = ImageInput(name="grey", shape=(1, 1, 2, 4), color="L", mean=(0.5,), std=(0.25,))
LABELS = ("boot", "bag", "coat")


def record(*outputs, inputs=(GREY,)):
    return IoRecord(inputs=inputs, outputs=outputs)


def classes(activation="softmax"):
    return ClassesOutput(name="logits", labels=LABELS, activation=activation)


def test_pictures_are_encoded_by_each_inputs_own_numbers():
    raw = {"grey": np.full((2, 4), 255, np.uint8), "rgb": np.full((2, 4, 3), 51, np.uint8)}
    encoded = answers.encode(raw, record(TensorOutput(name="t"), inputs=(COLOUR, GREY)))
    assert [(name, x.shape) for name, x in encoded.items()] == [("rgb", (1, 3, 2, 4)), ("grey", (1, 1, 2, 4))]
    np.testing.assert_allclose(encoded["grey"], (1 - 0.5) / 0.25, rtol=1e-6)
    np.testing.assert_allclose(encoded["rgb"][0, :, 0, 0], [(0.2 - 0.5) / 0.5, 0.2, 0.4], rtol=1e-6)


def test_classes():
    output = {"logits": np.array([[0.0, np.log(3.0), np.log(4.0)]], np.float32)}
    np.testing.assert_allclose(answers.decode(output, record(classes())), [1 / 8, 3 / 8, 4 / 8], rtol=1e-6)
    np.testing.assert_allclose(answers.decode(output, record(classes("sigmoid"))), [1 / 2, 3 / 4, 4 / 5], rtol=1e-6)
    np.testing.assert_array_equal(answers.decode(output, record(classes("none"))), output["logits"][0])


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_large_logits_do_not_overflow(activation):
    with np.errstate(over="raise", invalid="raise"):
        got = answers.activate(np.array([-3e4, 0.0, 3e4], np.float32), activation)
    np.testing.assert_array_equal(got[[0, 2]], [0.0, 1.0])


def test_several_outputs_are_told_apart():
    io = record(classes("none"), TensorOutput(name="box"))
    answer = answers.decode({"logits": np.array([[1.0, 5.0, 2.0]]), "box": np.array([[1.0, 2.5]])}, io)
    np.testing.assert_array_equal(answer["box"], [1.0, 2.5])
    assert answers.tell(answer, io) == "logits: bag 5; box: 1, 2.5"


def test_a_grey_picture_comes_back():
    io = record(ImageOutput(name="out", mean=(0.5,), std=(0.5,)))
    answer = answers.decode({"out": np.array([[[[-1.0, 0.0], [1.0, 9.0]]]])}, io)
    np.testing.assert_array_equal(answer, np.array([[0, 128], [255, 255]], np.uint8))


def test_words():
    assert answers.tell(np.array([0.1, 0.7, 0.2]), record(classes())) == "bag 70%"
    assert answers.tell(np.array([0.6, 0.7, 0.2]), record(classes("sigmoid"))) == "bag 70%, boot 60%"
    assert answers.tell(np.array([0.1, 0.2, 0.2]), record(classes("sigmoid"))) == "none"
    assert answers.tell(np.zeros((5, 4), np.float32), record(TensorOutput(name="t"))) == "float32 5 x 4"
    assert answers.tell_truth(np.int64(2), record(classes())) == "coat"
    assert answers.tell_truth(np.array([0.5, 2]), record(TensorOutput(name="t"))) == "0.5, 2"
    assert answers.tell_truth((0, 2, 0.5), record(classes())) == "boot; coat; 0.5"
    assert answers.tell_truth("a word", record(TensorOutput(name="t"))) == "a word"
    assert answers.ranked(np.array([0.1, 0.7, 0.2]), classes())[:2] == [("bag", 0.7), ("coat", 0.2)]


def test_words_for_answers_of_another_form_than_the_records():
    two = record(classes(), TensorOutput(name="box"))
    assert answers.tell("a cat", record(classes())) == "a cat"
    assert answers.tell({"label": 3}, record(classes())) == "{'label': 3}"
    assert answers.tell(np.array([0.1, 0.9]), record(classes())) == "0.1, 0.9"
    assert answers.tell(np.array(["a", "b"]), record(TensorOutput(name="t"))) == "['a' 'b']"
    assert answers.tell([1, 2], two) == "[1, 2]"
    assert answers.tell({"logits": np.array([0.1, 0.8, 0.1]), "box": None}, two) == "logits: bag 80%; box: None"
    assert answers.by_output({"logits": 1}, two) is None


@pytest.mark.parametrize("truth", [3, -1, np.int64(7)])
def test_a_truth_that_is_no_class_is_a_number(truth):
    assert answers.tell_truth(truth, record(classes())) == str(truth)


def test_numbers_are_inputs_as_they_are():
    numbers = TensorInput(name="prompt", shape=(1, 4), ends=(0, 2))
    io = record(TensorOutput(name="t"), inputs=(GREY, numbers))
    raw = {"grey": np.zeros((2, 4), np.uint8), "prompt": np.array([0, 1, 2, 1], np.int64)}
    encoded = answers.encode(raw, io)
    assert encoded["prompt"].dtype == np.float32
    assert encoded["prompt"].tolist() == [[0.0, 1.0, 2.0, 1.0]]
    assert list(answers.pictures(raw, io)) == ["grey"]
    assert IoRecord.model_validate_json(io.model_dump_json()) == io
    assert (numbers.ends, GREY.ends) == ((0, 2), (-2.0, 2.0))


def test_a_single_number_has_no_batch_axis():
    """As a mean over every axis gives it."""
    assert answers.decode_output(np.float32(0.25).reshape(()), TensorOutput(name="m")) == 0.25
    assert answers.decode_output(np.full((1, 3), 2.0), TensorOutput(name="m")).tolist() == [2.0, 2.0, 2.0]
