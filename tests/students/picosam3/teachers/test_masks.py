from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from edgekd.errors import MissingError, RequestError
from edgekd.students.picosam3.data import load_folder
from edgekd.students.picosam3.teachers.base import TeacherConfig
from edgekd.students.picosam3.teachers.masks import answer
from edgekd.students.picosam3.teachers.open import open_teacher
from edgekd.students.picosam3.teachers.overlap import overlaps, reach
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

LABELS = np.zeros((40, 60), np.uint16)
LABELS[5:15, 10:20] = 3
LABELS[10:30, 30:50] = 300


def test_the_mask_whose_box_overlaps_most_is_taken() -> None:
    found = answer(LABELS, (28.0, 8.0, 20.0, 20.0))
    assert found.score == 1
    assert found.roi == reach((28.0, 8.0, 20.0, 20.0), (40, 60))
    assert ((found.logits > 0) == (LABELS[found.roi.slices] == 300)).all()
    assert set(np.unique(found.logits)) == {-1.0, 1.0}


def test_where_nothing_is_marked_nothing_is_trusted() -> None:
    for labels in (LABELS, np.zeros_like(LABELS)):
        found = answer(labels, (0.0, 30.0, 8.0, 8.0))
        assert found.score == 0
        assert (found.logits < 0).all()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("b", "a"):
        Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(folder / f"{name}.png")
        Image.fromarray(LABELS).save(folder / f"{name}.mask.png")
    return folder


def test_masks_are_found_by_the_picture_s_name(pictures: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    other = np.zeros_like(LABELS)
    other[10:25, 30:50] = 1
    Image.fromarray(LABELS).save(masks / "a.mask.png")
    Image.fromarray(other).save(masks / "b.mask.png")
    teacher = open_teacher(TeacherConfig(source=f"masks:{masks}"), load_folder(str(pictures)))
    box = (30.0, 10.0, 20.0, 20.0)
    areas = [int((teacher(picture, [box])[0].logits > 0).sum()) for picture in (0, 1)]
    assert areas == [400, 300]


def test_a_lacking_or_misshapen_map_is_told(pictures: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    teacher = open_teacher(TeacherConfig(source=f"masks:{masks}"), load_folder(str(pictures)))
    with pytest.raises(MissingError, match=r"a\.mask\.png"):
        teacher(0, [(1.0, 1.0, 5.0, 5.0)])
    Image.fromarray(LABELS[1:]).save(masks / "a.mask.png")
    with pytest.raises(RequestError, match="not of its picture's size"):
        teacher(0, [(1.0, 1.0, 5.0, 5.0)])


WHOLE = st.integers(1, 12)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20), WHOLE, WHOLE), min_size=2, max_size=5))
def test_overlaps_are_those_of_filled_boxes(boxes: list[tuple[int, int, int, int]]) -> None:
    filled = np.zeros((len(boxes), 32, 32), bool)
    for i, (x, y, w, h) in enumerate(boxes):
        filled[i, y : y + h, x : x + w] = True
    expected = [(f & filled[0]).sum() / (f | filled[0]).sum() for f in filled]
    found = overlaps([tuple(map(float, box)) for box in boxes], tuple(map(float, boxes[0])))
    np.testing.assert_allclose(found, expected)


def test_no_boxes_overlap_nothing() -> None:
    assert overlaps([], (0.0, 0.0, 1.0, 1.0)).shape == (0,)
