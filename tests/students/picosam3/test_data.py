"""Pictures with instances: both forms of files, splits by picture, what is wrong is said."""

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from edgekd.errors import EdgekdError, MissingError, RequestError
from edgekd.students.picosam3.data import DataConfig, boxes, exposed, labelled, load, split
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

MAP = np.array([[0, 1, 1, 0], [0, 1, 0, 0], [3, 0, 0, 3]], np.uint8)
"""Two instances; the second lies in two parts."""


@pytest.fixture
def folder(tmp_path):
    """Ten pictures of 24 by 32, each with two rectangles."""
    rng = np.random.default_rng(0)
    for i in range(10):
        labels = np.zeros((24, 32), np.uint16)
        labels[2:14, 3:9], labels[10:20, 15:30] = 300, 7
        Image.fromarray(rng.integers(0, 256, (24, 32, 3)).astype(np.uint8)).save(tmp_path / f"p{i}.png")
        Image.fromarray(labels).save(tmp_path / f"p{i}.mask.png")
    return tmp_path


def arrays(**more):
    x = np.arange(2 * 12 * 16 * 3).reshape(2, 12, 16, 3).astype(np.uint8)
    return {"x": x} | more


def label_maps():
    maps = np.zeros((2, 12, 16), np.int32)
    maps[0, 1:12, 2:5], maps[1, 0:3, 0:12], maps[1, 8, 3] = 4, 2, 9
    return maps


def packed():
    maps = label_maps()
    masks = [maps[0] == 4, maps[1] == 2, maps[1] == 9]
    return {"mask_packbits": np.stack([np.packbits(m) for m in masks]), "img": np.array([0, 1, 1])}


def saved(path: Path, **content) -> DataConfig:
    np.savez(path / "data.npz", **content)
    return DataConfig(source=str(path / "data.npz"), least=10)


def test_boxes_are_tight():
    assert [*boxes(MAP)] == [(1, (1, 0, 2, 2)), (3, (0, 2, 4, 1))]
    assert not [*boxes(np.zeros((3, 3), np.int64))]
    assert not [*boxes(np.full((3, 3), -1, np.int64))]


@given(st.integers(0, 2**32 - 1))
def test_boxes_hold_their_pixels_and_touch_them(seed):
    labels = np.random.default_rng(seed).integers(0, 4, (9, 7))
    for number, (x, y, w, h) in boxes(labels):
        mask = labels == number
        part = mask[int(y) : int(y + h), int(x) : int(x + w)]
        assert part.sum() == mask.sum()
        assert all(side.any() for side in (part[0], part[-1], part[:, 0], part[:, -1]))


def test_a_folder(folder):
    data = load(DataConfig(source=str(folder), least=10))
    assert len(data.found) == 20
    second = data.found[1]
    assert (second.id, second.box) == ("p0-300", (3, 2, 6, 12))
    assert data.mask(second).sum() == 72
    assert data.picture(0).shape == (24, 32, 3)
    assert len(load(DataConfig(source=str(folder), least=15)).found) == 10


def test_both_forms_of_arrays_hold_the_same(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, two = (
        load(saved(tmp_path / "a", **arrays(label=label_maps()))),
        load(saved(tmp_path / "b", **arrays(**packed()))),
    )
    assert [(i.picture, i.box) for i in one.found] == [(0, (2, 1, 3, 11)), (1, (0, 0, 12, 3))]
    assert [(i.picture, i.box) for i in two.found] == [(i.picture, i.box) for i in one.found]
    for a, b in zip(one.found, two.found, strict=True):
        np.testing.assert_array_equal(one.mask(a), two.mask(b))
        np.testing.assert_array_equal(one.picture(a.picture), two.picture(b.picture))


def test_what_ships_is_exposed_already():
    """So that `edgekd run` on one of its files sees what training saw."""
    data = load(DataConfig())
    for i in range(len(data.names)):
        np.testing.assert_array_equal(exposed(data.picture(i)), data.picture(i))


def test_no_picture_trains_and_tests():
    data = load(DataConfig())
    config = DataConfig()
    train, test = split(config, data)
    assert not {i.picture for i in train} & {i.picture for i in test}
    assert len(train) + len(test) == len(data.found)
    pictures = len({i.picture for i in data.found})
    assert len({i.picture for i in train}) == round(0.8 * pictures)
    assert split(config, data) == (train, test)
    assert split(DataConfig(split=1), data) != (train, test)


def test_a_smaller_labelled_share_is_part_of_a_larger():
    data = load(DataConfig())
    train, _ = split(DataConfig(), data)
    parts = [labelled(DataConfig(labelled=share), train) for share in (0.01, 0.1, 0.5, 1.0)]
    assert all(a < b for a, b in pairwise(parts))
    assert parts[3] == {i.picture for i in train}
    assert len(parts[1]) == round(0.1 * len(parts[3]))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"x": np.zeros((2, 4, 4), np.uint8)}, "has no `x` of pictures"),
        ({"x": np.zeros((2, 4, 4, 3), np.float32)}, "has no `x` of pictures"),
        ({"y": np.zeros(3)}, "has no `x` of pictures"),
        (arrays(), "has neither `label` nor `mask_packbits`"),
        (arrays(label=np.zeros((2, 12, 15), np.int32)), "`label` of `data.npz` does not fit"),
        (arrays(label=np.zeros((2, 12, 16))), "`label` of `data.npz` does not fit"),
        (arrays(mask_packbits=packed()["mask_packbits"]), "nor `img`"),
        (arrays(**packed() | {"mask_packbits": np.zeros((3, 23), np.uint8)}), "`mask_packbits` of .* does not fit"),
        (arrays(**packed() | {"mask_packbits": np.zeros((3, 24))}), "`mask_packbits` of .* does not fit"),
        (arrays(**packed() | {"img": np.array([0, 1, 2])}), "does not number a picture"),
        (arrays(**packed() | {"img": np.array([0, 1, -1])}), "does not number a picture"),
        (arrays(**packed() | {"img": np.array([0, 1])}), "does not number a picture"),
        (arrays(**packed() | {"img": np.array(["0", "1", "1"])}), "does not number a picture"),
        (arrays(label=np.zeros((2, 12, 16), np.int32)), "holds no instance with a side of 10"),
        ({"x": np.zeros((0, 4, 4, 3), np.uint8), "label": np.zeros((0, 4, 4), int)}, "holds no instance"),
        ({"x": np.array([{}], object)}, "cannot be read: Object arrays"),
    ],
)
def test_arrays_that_do_not_fit_are_told(tmp_path, content, told):
    with pytest.raises(RequestError, match=told):
        load(saved(tmp_path, **content))


def test_files_that_are_none_are_told(tmp_path, folder):
    with pytest.raises(MissingError, match="does not exist"):
        load(DataConfig(source=str(tmp_path / "gone.npz")))
    config = saved(tmp_path, **arrays(label=label_maps()))
    whole = Path(config.source).read_bytes()
    for content in (b"", b"PK", whole[: len(whole) // 2], b"\x93NUMPY" + bytes(20)):
        Path(config.source).write_bytes(content)
        with pytest.raises(RequestError, match="cannot be read"):
            load(config)
    with Path(config.source).open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(RequestError, match="cannot be read"):
        load(config)


def test_a_folder_that_does_not_fit_is_told(folder):
    config = DataConfig(source=str(folder))
    Image.fromarray(np.zeros((24, 31), np.uint8)).save(folder / "p3.mask.png")
    with pytest.raises(RequestError, match=r"`p3.mask.png` is not of its picture's size"):
        load(config)
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(folder / "p3.mask.png")
    with pytest.raises(RequestError, match="is no label map"):
        load(config)
    (folder / "p3.mask.png").write_bytes(b"no picture")
    with pytest.raises(RequestError, match="cannot be decoded"):
        load(config)
    (folder / "p3.mask.png").unlink()
    with pytest.raises(MissingError, match=r"p3.mask.png"):
        load(config)


def test_one_picture_cannot_be_split(folder):
    for path in folder.glob("p[1-9]*"):
        path.unlink()
    config = DataConfig(source=str(folder), least=10)
    with pytest.raises(RequestError, match="one picture cannot be split"):
        split(config, load(config))


@pytest.mark.parametrize("name", ["dsb2018_128.npz", "coco_train2017_128.npz"])
def test_the_sets_that_are_at_hand(name):
    """Files that do not ship; `EDGEKD_DATA` names their folder."""
    path = Path(os.environ.get("EDGEKD_DATA", "/nowhere")) / name
    if not path.is_file():
        pytest.skip(f"EDGEKD_DATA has no {name}")
    try:
        data = load(DataConfig(source=str(path)))
    except EdgekdError as error:
        pytest.fail(str(error))
    assert len(data.names) > 50
    first = data.found[0]
    x, y, w, h = map(int, first.box)
    assert data.mask(first)[y : y + h, x : x + w].sum() == data.mask(first).sum() > 0
