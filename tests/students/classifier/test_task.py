"""Sprites split once and for all; digits of a file; what is wrong is said."""

import numpy as np
import pytest
from edgekd.errors import EdgekdError, MissingError, ProblemsError
from edgekd.graph.images import find_folder, read_picture
from edgekd.students.classifier.task import ClassifyTask
from edgekd.students.classifier.training import ClassifierStudent
from PIL import Image


def as_set(pictures) -> set[bytes]:
    return {picture.tobytes() for picture in pictures}


def test_sprites_are_split_by_sample():
    labels, (train, _), (test, classes) = ClassifyTask({}, 0).loaded
    assert labels == (
        "ankle-boot",
        "bag",
        "coat",
        "dress",
        "pullover",
        "sandal",
        "shirt",
        "sneaker",
        "t-shirt",
        "trouser",
    )
    assert train.shape == (600, 28, 28)
    assert np.bincount(classes).tolist() == [30] * 10
    sheets = [read_picture(path, "L") for path in sorted(find_folder("edgekd:sprites").iterdir())]
    tiles = [sheet[y : y + 28, x : x + 28] for sheet in sheets for y in range(0, 252, 28) for x in range(0, 280, 28)]
    assert as_set(train) | as_set(test) == as_set(tiles)
    assert not as_set(train) & as_set(test)


def test_the_split_is_of_the_data_not_of_the_seed():
    first, again = (ClassifyTask({}, seed).evalset() for seed in (0, 1))
    assert all(np.array_equal(a.raw, b.raw) and a.truth == b.truth for a, b in zip(first, again, strict=True))
    other = ClassifyTask({"split": 1}, 0).evalset()
    assert any(not np.array_equal(a.raw, b.raw) for a, b in zip(first, other, strict=True))
    few = ClassifyTask({"tests": 20}, 0).evalset()
    assert np.bincount([s.truth for s in few]).tolist() == [2] * 10


def test_scores():
    task = ClassifyTask({}, 0)
    assert task.score(np.array([0.2, 0.5, 0.3]), 1) == {"accuracy": 100.0, "confidence": 50.0}
    assert task.score(np.array([0.2, 0.5, 0.3]), 2) == {"accuracy": 0.0, "confidence": 30.0}


def digits(path, **changes):
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(0, 256, (40, 28, 28)).astype(np.uint8),
        "y_train": np.arange(40) % 4 + 3,
        "x_test": rng.integers(0, 256, (8, 28, 28)).astype(np.uint8),
        "y_test": np.arange(8) % 4 + 3,
    }
    np.savez(path, **{name: array for name, array in (arrays | changes).items() if array is not None})
    return {"source": str(path)}


def test_arrays_of_a_file(tmp_path):
    task = ClassifyTask(digits(tmp_path / "digits.npz"), 0)
    assert task.io((28, 28)).outputs[0].labels == ("3", "4", "5", "6")
    assert [s.id for s in task.evalset()][:5] == ["3-0", "4-1", "5-2", "6-3", "3-4"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"y_test": None}, "has no array y_test"),
        ({"x_train": np.zeros((4, 28, 28, 2), np.uint8)}, "`x_train` of"),
        ({"x_test": np.zeros((8, 28, 28))}, "is not (N, H, W) uint8"),
        ({"x_test": np.zeros((8, 28, 27), np.uint8)}, "another size than `x_train`"),
        ({"y_train": np.arange(39) % 4}, "int64 [39], not 40 classes"),
        ({"y_test": np.zeros((8, 4), np.int64)}, "int64 [8, 4], not 8 classes"),
        ({"y_train": np.full(40, 0.5)}, "float64 [40]"),
        ({"y_test": np.arange(8) % 4 + 4}, "has class 7, `y_train` has not"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, changes, words):
    with pytest.raises(EdgekdError) as error:
        ClassifyTask(digits(tmp_path / "digits.npz", **changes), 0).evalset()
    assert words in error.value.message


def test_a_file_that_is_cut_off(tmp_path):
    data = digits(tmp_path / "digits.npz")
    whole = (tmp_path / "digits.npz").read_bytes()
    (tmp_path / "digits.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EdgekdError, match="cannot be read"):
        ClassifyTask(data, 0).evalset()


def test_sources_that_are_not_there_or_not_sheets(tmp_path):
    with pytest.raises(MissingError, match="does not exist"):
        ClassifyTask({"source": str(tmp_path / "gone.npz")}, 0).evalset()
    Image.fromarray(np.zeros((30, 56), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(EdgekdError, match="not made of tiles"):
        ClassifyTask({"source": str(tmp_path)}, 0).evalset()
    with pytest.raises(ProblemsError, match="unknown key"):
        ClassifyTask({"sourc": "x"}, 0)


def test_batches_depend_on_seed_step_and_sample_alone():
    student, same = (ClassifierStudent({}, {}, 0) for _ in "ab")
    student.batch(0, 4)
    a, b = student.batch(5, 4), same.batch(5, 4)
    assert a["image"].shape == (4, 1, 28, 28)
    assert a["image"].min() >= -1
    assert a["image"].max() <= 1
    assert all((a[k] == b[k]).all() for k in ("image", "class"))
    assert (a["image"][:2] == same.batch(5, 2)["image"]).all()
    assert not (a["image"] == same.batch(6, 4)["image"]).all()


def test_training_shows_the_training_pictures_only():
    """Unshifted and unmirrored, each picture is one of the training set, with its class."""
    student = ClassifierStudent({}, {"shift": 0, "flip": False}, 0)
    _, (pictures, classes), _ = student.task.loaded
    known = {picture.tobytes(): int(c) for picture, c in zip(pictures, classes, strict=True)}
    batch = student.batch(0, 64)
    shown = ((batch["image"][:, 0].numpy() * 0.5 + 0.5) * 255).round().astype(np.uint8)
    assert [known[picture.tobytes()] for picture in shown] == batch["class"].tolist()
