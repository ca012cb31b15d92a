"""COCO files that the tests write."""

from __future__ import annotations

import json

import numpy as np
import pytest
from edgekd.errors import MissingError, RequestError
from edgekd.students.picosam3.coco import decoded, load_coco
from edgekd.students.picosam3.data import DataConfig, load
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

mask_api = pytest.importorskip("pycocotools.mask")

SQUARE = [4.0, 2.0, 14.0, 2.0, 14.0, 12.0, 4.0, 12.0]


def annotation(number, picture=7, **more):
    return {"id": number, "image_id": picture, "bbox": [4, 2, 10, 10], "segmentation": [SQUARE], "iscrowd": 0} | more


@pytest.fixture
def write(tmp_path):
    """A COCO file of a picture of 40 x 30, and one that nothing is said of."""
    images = tmp_path / "images"
    images.mkdir()
    Image.fromarray(np.full((30, 40, 3), 9, np.uint8)).save(images / "seven.png")

    def write(annotations, **picture):
        known = {"id": 7, "file_name": "seven.png", "width": 40, "height": 30} | picture
        unused = {"id": 8, "file_name": "absent.png", "width": 4, "height": 3}
        path = tmp_path / "instances.json"
        path.write_text(json.dumps({"images": [unused, known], "annotations": annotations, "categories": []}))
        return path, str(images)

    return write


def test_polygons_become_masks(write):
    data = load_coco(*write([annotation(1), annotation(2, segmentation=[SQUARE, [20, 20, 30, 20, 30, 25, 20, 25]])]))
    assert data.names == ("seven",)
    assert [i.id for i in data.found] == ["seven-1", "seven-2"]
    assert data.found[0].box == (4.0, 2.0, 10.0, 10.0)
    assert data.picture(0).shape == (30, 40, 3)
    one, two = map(data.mask, data.found)
    square = np.zeros((30, 40), bool)
    square[2:12, 4:14] = True
    assert (one == square).all()
    square[20:25, 20:30] = True
    assert (two == square).all()


def test_crowds_and_what_has_no_mask_or_area_are_left_out(write):
    path, images = write([
        annotation(1), annotation(2, iscrowd=1, segmentation={"counts": [1200], "size": [30, 40]}),
        annotation(3, segmentation=[]), annotation(4, bbox=[4, 2, 0, 10]),
    ])  # fmt: skip
    assert [i.number for i in load_coco(path, images).found] == [1]


def test_it_is_a_data_source(write):
    path, images = write([annotation(1), annotation(2, bbox=[0, 0, 5, 5])])
    data = load(DataConfig(source=str(path), images=images, least=8))
    assert [i.number for i in data.found] == [1]


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_run_lengths_are_those_of_pycocotools(height, width, seed):
    from edgekd.students.picosam3.coco import _Runs

    wanted = np.random.default_rng(seed).random((height, width)) > 0.4
    packed = mask_api.encode(np.asfortranarray(wanted.astype(np.uint8)))
    packed["counts"] = packed["counts"].decode()
    assert (decoded(_Runs.model_validate(packed), (height, width), "it") == wanted).all()
    column = wanted.T.ravel()
    ends = np.flatnonzero(np.diff(np.concatenate([[False], column, [not column[-1]]])))
    plain = np.diff(np.concatenate([[0], ends])).tolist()
    runs = _Runs(counts=plain, size=(height, width))
    assert (decoded(runs, (height, width), "it") == wanted).all()


@pytest.mark.parametrize(
    "segmentation",
    [
        {"counts": [100, 20], "size": [30, 40]},
        {"counts": [-5, 1205], "size": [30, 40]},
        {"counts": [], "size": [30, 40]},
        {"counts": "", "size": [30, 40]},
        {"counts": "~~~~~~", "size": [30, 40]},
        {"counts": [1200], "size": [40, 30]},
        [[*SQUARE, 3.0]],
    ],
)
def test_a_damaged_mask_is_told(write, segmentation):
    data = load_coco(*write([annotation(1, segmentation=segmentation)]))
    with pytest.raises(RequestError, match="annotation 1"):
        data.mask(data.found[0])


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "a/../../b.png", "", ".", "a\0b.png"])
def test_a_picture_outside_its_folder_is_refused(write, name):
    with pytest.raises(RequestError, match="leads out of the folder"):
        load_coco(*write([annotation(1)], file_name=name))


@pytest.mark.parametrize(
    ("annotations", "told"),
    [
        ([annotation(1, picture=99)], "a picture 99 that it does not list"),
        ([annotation(1, bbox=[0, 0, 1])], r"annotations\.0\.bbox"),
        ([annotation(1, bbox=[0, 0, float("nan"), 1])], "no COCO file"),
        ([annotation(1, segmentation=[[1, 2]])], r"annotations\.0\.segmentation"),
        ([annotation(1, segmentation=[[1e9] * 6])], r"annotations\.0\.segmentation"),
        ("nothing", "no COCO file"),
    ],
)
def test_a_damaged_file_is_told(write, annotations, told):
    with pytest.raises(RequestError, match=told):
        load_coco(*write(annotations))


def test_a_cut_off_file_is_told(write):
    path, images = write([annotation(1)])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RequestError, match="no COCO file"):
        load_coco(path, images)
    with pytest.raises(MissingError, match="does not exist"):
        load_coco(path.with_name("none.json"), images)


def test_pictures_that_are_not_there_are_counted(write, tmp_path):
    path, _ = write([annotation(1)])
    with pytest.raises(MissingError, match=r"lacks 1 of the 1 pictures"):
        load_coco(path, str(tmp_path))
    with pytest.raises(RequestError, match="no folder"):
        load_coco(path, "")


def test_a_picture_of_another_size_is_told(write):
    data = load_coco(*write([annotation(1)], width=41))
    with pytest.raises(RequestError, match="not of the size"):
        data.picture(0)


def test_pictures_of_one_stem_are_named_by_their_number(write, tmp_path):
    path, images = write([annotation(1), annotation(2, picture=8)])
    table = json.loads(path.read_text())
    table["images"][0]["file_name"] = "more/seven.png"
    (tmp_path / "images" / "more").mkdir()
    Image.fromarray(np.zeros((3, 4, 3), np.uint8)).save(tmp_path / "images" / "more" / "seven.png")
    path.write_text(json.dumps(table))
    assert load_coco(path, images).names == ("8", "7")
