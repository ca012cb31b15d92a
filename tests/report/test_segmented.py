"""A run whose answers are masks, as its report, its tables and its pictures show it."""

import json
import re

import numpy as np
from edgekd.report.compare import read_run
from PIL import Image

CONTROLS = ("ellipse in the box", "whole box")


def rows_of(page, title):
    table = re.search(rf"<h2>{title}</h2>.*?</table>", page, re.DOTALL)[0]
    return re.findall(r"<tr.*?</tr>", table, re.DOTALL)


def test_the_run_is_whole(segmented):
    assert not segmented.verification.failures
    assert segmented.bundle.manifest.recipe.student == "picosam3"


def test_every_metric_has_its_unit_in_the_ledger(segmented):
    names = ("iou", "iou_picture", "iou_boundary", "at_50", "at_75", "at_50_95")
    for subject in (*CONTROLS, "fp32", "qat-dfd", "openvino"):
        found = {f.name: f for f in segmented.figures if f.subject == subject}
        assert {found[name].unit for name in names} == {"%"}
        assert all(0 <= found[name].value <= 100 and found[name].n == 10 for name in names)


def test_controls_are_rows_and_marked(segmented):
    page = segmented.report.read_text(encoding="utf-8")
    for title in ("Arms and artifacts", "Every metric"):
        rows = rows_of(page, title)
        for control in CONTROLS:
            (row,) = (row for row in rows if f"<td>{control} " in row)
            assert '<span class="tag">control' in row
        assert sum('<span class="tag">control' in row for row in rows) == 2
    assert "share at IoU ≥ 0.5, %" in page
    assert not any(re.search(r"\bm?AP\b|precision", row) for row in rows_of(page, "Every metric"))
    assert {row.title for row in read_run(segmented.bundle).rows if row.role == "control"} == set(CONTROLS)


def test_worst_masks_stand_beside_their_truth(segmented):
    page = segmented.report.read_text(encoding="utf-8")
    told = json.loads((segmented.folder / "pictures/answers.json").read_text())
    values = [entry["value"] for entry in told if entry["group"] == "worst"]
    assert values == sorted(values)
    assert len(values) == 8
    assert len(told) == len({entry["id"] for entry in told}) > 8
    scores = {f.subject: f.details for f in segmented.figures if f.name == "iou"}
    for entry in told:
        truth, full, ours, errors = entry["panels"]
        assert (truth["subject"], errors["subject"]) == ("truth", "errors")
        assert (full["value"], ours["value"]) == (scores["fp32"][entry["id"]], scores["qat-dfd"][entry["id"]])
        assert f"IoU {ours['value']:.1f} %" in page
        sizes = {Image.open(segmented.folder / "pictures" / panel["file"]).size for panel in entry["panels"]}
        assert len(sizes) == 1
        assert max(sizes.pop()) >= 192
    assert page.count("data:image/webp") == 4 * len(told)
    assert not re.search(r'(src|href)="(?!data:|#)', page)


def test_the_mask_that_is_drawn_is_the_answer(segmented):
    """Share of tinted pixels against the share of positive logits."""
    from edgekd.apply.model import bundled_model
    from edgekd.students.registry import bundled_task

    told = json.loads((segmented.folder / "pictures/answers.json").read_text())[-1]
    sample = next(s for s in bundled_task(segmented.bundle).evalset() if s.id == told["id"])
    answer = bundled_model(segmented.bundle, "reference").answer(sample.raw)
    truth, _, ours, _ = (np.asarray(Image.open(segmented.folder / "pictures" / p["file"])) for p in told["panels"])
    tinted = (ours.astype(int)[..., 2] < truth.astype(int)[..., 2] * 0.65 + 1).mean()
    assert abs(tinted - (answer > 0).mean()) < 0.15


def test_the_command_line_marks_them(segmented, cli):
    done = cli("verify", segmented.folder)
    assert done.returncode == bool(segmented.verification.failures), done.stderr
    lines = done.stdout.splitlines()
    assert "iou %" in lines[0]
    assert "iou_picture %" in lines[0]
    assert [line.split("  ")[0] for line in lines if "(control)" in line] == [f"{c} (control)" for c in CONTROLS]
