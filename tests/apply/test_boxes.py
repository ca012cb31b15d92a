"""Boxes as prompts; the network here answers with the brightness that it sees, so that answers are known."""

import json

import numpy as np
import pytest
from edgekd.apply.boxes import prompted, read_boxes
from edgekd.apply.model import Model
from edgekd.apply.run import Outcome, apply
from edgekd.errors import Problem, RequestError
from edgekd.graph import answers
from edgekd.graph.roi import region
from edgekd.schema.io import ClassesOutput, ImageInput, IoRecord, MaskOutput, Region, TensorOutput
from edgekd.students.picosam3.data import read_labels
from PIL import Image

HALF = (0.5, 0.5, 0.5)
ASKED = Region(margin=0.1, least=4)
MASK = MaskOutput(name="m")


def model(*outputs, asked=ASKED, resize="stretch", run=None):
    spec = ImageInput(name="x", shape=(1, 3, 24, 24), mean=HALF, std=HALF, resize=resize, region=asked)

    def bright(x):
        return {"m": x["x"].mean(1, keepdims=True), "c": np.array([[0.0, 5.0]]), "t": x["x"].mean((2, 3))}

    return Model("known", IoRecord(inputs=(spec,), outputs=outputs or (MASK,)), answers, run or bright)


def picture():
    """Dark, with two bright rectangles."""
    out = np.full((60, 80, 3), 10, np.uint8)
    out[10:30, 20:40], out[40:52, 50:74] = 240, 250
    return out


BOXES = [(20.0, 10.0, 20.0, 20.0), (50.0, 40.0, 24.0, 12.0)]


@pytest.fixture
def file(tmp_path):
    Image.fromarray(picture()).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_each_box_has_its_region_and_its_mask():
    asked = prompted(model(), BOXES)
    found = asked.answer(picture())
    assert [f.box for f in found] == BOXES
    assert [f.roi for f in found] == [region(box, (60, 80)) for box in BOXES]
    first, second = asked.masks(picture(), found)
    np.testing.assert_array_equal(first[:35, :45], picture()[:35, :45, 0] > 100)
    assert not first[35:].any()
    assert not second[:35].any()
    assert second.sum() == pytest.approx(24 * 12, rel=0.15)


def test_the_record_s_rule_makes_the_region():
    wide = prompted(model(asked=Region(margin=0.5, least=50)), BOXES).answer(picture())
    assert [(f.roi.width, f.roi.height) for f in wide] == [(50, 50), (50, 50)]
    assert wide[0].roi == region(BOXES[0], (60, 80), margin=0.5, least=50)


def test_json_tells_box_region_area_and_share(file):
    (outcome,) = apply(prompted(model(), BOXES), [file], file.with_name("out.png"))
    json.dumps(outcome.answers)
    first = outcome.answers[0]
    assert first["box"] == [20, 10, 20, 20]
    assert first["region"] == [18, 8, 24, 24]
    assert first["answers"]["m"] == {"area": 400, "share": pytest.approx(400 / 576)}


def test_it_is_drawn_on_the_whole_picture(file):
    (outcome,) = apply(prompted(model(), BOXES), [file], file.with_name("out.png"))
    shown = np.asarray(Image.open(outcome.wrote)).astype(int)
    assert shown.shape == (360, 480, 3)  # enlarged sixfold
    blue_less = shown[..., 2] < shown[..., 0] - 30  # yellow, the first colour
    assert blue_less[100:150, 150:200].all()
    assert (shown[60 * 5 + 45 :, :100] == 10).all()
    colors = [shown[90, 180], shown[270, 372]]
    assert not np.allclose(*colors, atol=20)


def test_without_a_place_it_is_out_png(file, monkeypatch):
    monkeypatch.chdir(file.parent)
    (outcome,) = apply(prompted(model(), BOXES[:1]), [file], None)
    assert str(outcome.wrote) == "out.png"
    (outcome,) = apply(prompted(model(), BOXES), [file], None, masks=True)
    assert str(outcome.wrote) == "out.mask.png"


def test_masks_as_numbers_are_data_again(file):
    asked = prompted(model(), BOXES)
    (outcome,) = apply(asked, [file], file.parent / "folder", masks=True)
    assert outcome.wrote.name == "a.mask.png"
    labels = read_labels(outcome.wrote)
    assert np.unique(labels).tolist() == [0, 1, 2]
    for number, mask in enumerate(asked.masks(picture(), asked.answer(picture())), 1):
        np.testing.assert_array_equal(labels == number, mask)
    with pytest.raises(RequestError, match="would not keep the numbers"):
        list(apply(asked, [file], file.with_name("out.jpg"), masks=True))


def test_masks_as_arrays(file):
    (outcome,) = apply(prompted(model(), BOXES), [file], file.with_name("out.npz"))
    with np.load(outcome.wrote) as found:
        assert {name: found[name].shape for name in found.files} == {
            "boxes": (2, 4), "regions": (2, 4), "m": (2, 24, 24), "m.masks": (2, 60, 80),
        }  # fmt: skip
        np.testing.assert_array_equal(found["boxes"], BOXES)
        assert found["m.masks"].dtype == bool


def test_a_movie_has_the_same_boxes_on_each_picture(tmp_path):
    frames = [Image.fromarray(np.roll(picture(), 4 * i, 1)) for i in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    (outcome,) = apply(prompted(model(), BOXES[:1]), [tmp_path / "a.gif"], None)
    areas = [entry[0]["answers"]["m"]["area"] for entry in outcome.answers]
    assert len(areas) == 3
    assert areas[0] > areas[2] > 0
    with pytest.raises(RequestError, match="drawn only"):
        list(apply(prompted(model(), BOXES[:1]), [tmp_path / "a.gif"], tmp_path / "b.gif", masks=True))


def test_other_answers_about_a_box_are_written_beside_it(file):
    several = model(MASK, ClassesOutput(name="c", labels=("cat", "cup"), activation="sigmoid"), TensorOutput(name="t"))
    (outcome,) = apply(prompted(several, BOXES), [file], file.with_name("out.png"))
    assert outcome.answers[1]["answers"]["c"]["cup"] == pytest.approx(0.9933, abs=1e-4)
    classes = model(ClassesOutput(name="c", labels=("cat", "cup")))
    (outcome,) = apply(prompted(classes, BOXES[:1]), [file], file.with_name("out.png"))
    shown = np.asarray(Image.open(outcome.wrote))
    assert (shown[:60] > 250).any()  # words above the box
    (outcome,) = apply(prompted(classes, BOXES), [file], file.with_name("out.npz"))
    with np.load(outcome.wrote) as found:
        assert found["c"].shape == (2, 2)


@pytest.mark.parametrize(
    ("text", "told"),
    [("1,2,3", "not four numbers"), ("1,2,3,4,5", "not four numbers"), ("1,2,x,4", "not four"), ("", "not four")],
)
def test_boxes_that_are_none(text, told):
    with pytest.raises(RequestError, match=told):
        read_boxes([text])


def test_boxes_are_read():
    assert read_boxes(["1,2.5, 3,4", "-1,0,1e2,4"]) == [(1, 2.5, 3, 4), (-1, 0, 100, 4)]


@pytest.mark.parametrize(
    ("box", "told"),
    [("5,5,0,9", "no area"), ("5,5,nan,9", "no area"), ("5,5,inf,9", "no area"), ("80,5,9,9", "outside the picture")],
)
def test_degenerate_boxes_are_told_with_their_picture(file, box, told):
    asked = prompted(model(), read_boxes([box]))
    with pytest.raises(RequestError, match=told):
        list(apply(asked, [file], None))
    problems = list(apply(asked, [file, file], file.parent / "out"))
    assert all(isinstance(p, Problem) and told in p.message for p in problems)


@pytest.mark.parametrize(
    "box", [(0, 0, 80, 60), (-1e308, -1e308, 1.7e308, 1.7e308), (79.5, 59.5, 40, 40), (3, 3, 1e-9, 1)]
)
def test_absurd_boxes_are_drawn(file, box):
    (outcome,) = apply(prompted(model(), [box, box]), [file], file.with_name("out.png"))
    assert isinstance(outcome, Outcome)


def test_boxes_and_networks_must_fit():
    with pytest.raises(RequestError, match="there is no box"):
        prompted(model(), [])
    with pytest.raises(RequestError, match="whole pictures and no boxes"):
        prompted(model(asked=None), BOXES)
    plain = model(asked=None)
    assert prompted(plain, []) is plain
    with pytest.raises(ValueError, match="`region` needs `resize` to be `stretch`"):
        model(resize="letterbox")


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "crop"])
def test_masks_of_whole_pictures(file, resize):
    """Without boxes: drawn, counted, written; where nothing was seen nothing is inside."""
    plain = model(asked=None, resize=resize)
    (outcome,) = apply(plain, [file], file.with_name("out.png"))
    whole = (picture()[..., 0] > 100).sum()
    assert outcome.answers["m"]["area"] == pytest.approx(whole, rel=0.2)
    assert outcome.answers["m"]["share"] == pytest.approx(outcome.answers["m"]["area"] / 4800)
    shown = np.asarray(Image.open(outcome.wrote)).astype(int)
    assert shown.shape == (180, 240, 3)
    assert shown[60, 90, 2] < shown[60, 90, 0] - 30
    (outcome,) = apply(plain, [file], file.with_name("out.npz"))
    with np.load(outcome.wrote) as found:
        assert found["m.mask"].shape == (60, 80)
    (outcome,) = apply(plain, [file], file.with_name("m.png"), masks=True)
    assert read_labels(outcome.wrote).sum() == pytest.approx(whole, rel=0.2)


def test_masks_are_asked_of_networks_that_give_them(file):
    with pytest.raises(RequestError, match="gives no mask"):
        list(apply(model(TensorOutput(name="t"), asked=None), [file], None, masks=True))
