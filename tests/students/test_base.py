"""Titles and units of metrics, by what a task says of them."""

from edgekd.students.base import Described, Referenced, title_of, unit_of
from edgekd.students.classifier.task import ClassifyTask
from edgekd.students.picosam3.task import SegmentTask
from edgekd.students.qdr.task import DenoiseTask


def test_without_a_word_names_are_titles_and_the_metric_has_the_unit():
    task = DenoiseTask({}, 0)
    assert [title_of(task, name) for name in ("psnr", "ssim", "sharpness")] == ["PSNR", "SSIM", "sharpness"]
    assert [unit_of(task, name) for name in ("psnr", "ssim")] == ["dB", ""]
    assert title_of(ClassifyTask({}, 0), "accuracy") == "accuracy"


def test_what_a_task_says_holds():
    task = SegmentTask({}, 0)
    assert isinstance(task, Described)
    assert isinstance(task, Referenced)
    assert (title_of(task, "iou"), unit_of(task, "iou_boundary")) == ("IoU", "%")
    assert (title_of(task, "dice"), unit_of(task, "dice")) == ("DICE", "")
