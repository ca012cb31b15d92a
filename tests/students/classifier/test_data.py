"""MNIST's own files, colour pictures, names of classes, the digits that ship."""

import gzip
import struct

import numpy as np
import pytest
from edgekd.errors import EdgekdError, MissingError
from edgekd.students.classifier.data import IDX, load, read_idx
from edgekd.students.classifier.task import ClassifyTask
from edgekd.students.classifier.training import ClassifierStudent


def idx(array: np.ndarray) -> bytes:
    """By the format's description: zeros, type, axes, lengths, values."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, (12, 9, 7)), np.arange(12) % 3, rng.integers(0, 256, (6, 9, 7)), np.arange(6) % 3]
    for name, array in zip(IDX, arrays, strict=True):
        (tmp_path / name).write_bytes(idx(array))
    return tmp_path, arrays


@pytest.mark.parametrize("packed", [(), IDX, IDX[:1]])
def test_the_four_files(folder, packed):
    base, arrays = folder
    for name in packed:
        (base / f"{name}.gz").write_bytes(gzip.compress((base / name).read_bytes()))
        (base / name).unlink()
    labels, (x, y), (tests, classes) = load(str(base), 0.5, 0)
    assert labels == ("0", "1", "2")
    for found, wanted in zip((x, y, tests, classes), arrays, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("cut", [b"", b"\0\0\x08", b"\0\0\x08\x03\0\0", b"\0\0\x0d\x01" + b"\0\0\0\x01" + b"\0"])
def test_files_that_are_none(folder, cut):
    base, _ = folder
    (base / IDX[0]).write_bytes(cut)
    with pytest.raises(EdgekdError, match=r"is no idx file of bytes"):
        read_idx(base, IDX[0])
    whole = idx(np.zeros((2, 3)))
    (base / IDX[0]).write_bytes(whole[:-1])
    with pytest.raises(EdgekdError, match=r"is no idx file of bytes"):
        read_idx(base, IDX[0])
    (base / f"{IDX[1]}").unlink()
    (base / f"{IDX[1]}.gz").write_bytes(b"nonsense")
    with pytest.raises(EdgekdError, match=r"is no idx file of bytes"):
        read_idx(base, IDX[1])


def test_a_file_that_is_not_there(folder):
    base, _ = folder
    (base / IDX[3]).unlink()
    with pytest.raises(MissingError, match=f"has no `{IDX[3]}`"):
        load(str(base), 0.5, 0)


def test_colour(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (12, 8, 8, 3)).astype(np.uint8)
    names = np.array(["frog", "cat"])
    np.savez(
        tmp_path / "c.npz", x_train=x, y_train=np.arange(12) % 2, x_test=x, y_test=np.arange(12) % 2, classes=names
    )
    data = {"source": str(tmp_path / "c.npz"), "shift": 1}
    task = ClassifyTask(data, 0)
    io = task.io((8, 8))
    assert io.inputs[0].color == "RGB"
    assert io.inputs[0].shape == (1, 3, 8, 8)
    assert io.outputs[0].labels == ("frog", "cat")
    sample = task.evalset()[1]
    encoded = task.encode(sample.raw, io)["image"]
    np.testing.assert_allclose(encoded[0], x[1].transpose(2, 0, 1) / 127.5 - 1, atol=1e-6)
    student = ClassifierStudent({"width": 16}, data, 0)
    batch = student.batch(0, 3)
    assert batch["image"].shape == (3, 3, 8, 8)
    assert student.build()(batch["image"]).shape == (3, 2)


def test_names_that_are_not_of_the_classes(tmp_path):
    x = np.zeros((4, 8, 8), np.uint8)
    for names, y in ((np.array(["a"]), np.arange(4) % 2), (np.array(["a", "b"]), np.arange(4) % 2 + 1)):
        np.savez(tmp_path / "c.npz", x_train=x, y_train=y, x_test=x, y_test=y, classes=names)
        assert load(str(tmp_path / "c.npz"), 0.5, 0)[0] == tuple(map(str, np.unique(y)))


def test_the_digits_that_ship():
    labels, (train, y), (tests, classes) = ClassifyTask({"source": "edgekd:digits", "train": 0.8}, 0).loaded
    assert labels == tuple("0123456789")
    assert train.shape == (2000, 28, 28)
    assert np.bincount(y).tolist() == [200] * 10
    assert np.bincount(classes).tolist() == [50] * 10
    assert not {p.tobytes() for p in train} & {p.tobytes() for p in tests}
