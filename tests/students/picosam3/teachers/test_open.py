from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from edgekd.errors import MissingError, ProblemsError, RequestError
from edgekd.resources import sha256
from edgekd.schema.load import parse
from edgekd.students.picosam3.data import Instances
from edgekd.students.picosam3.teachers.base import TeacherConfig
from edgekd.students.picosam3.teachers.open import digests, open_teacher
from edgekd.toolchains.lock import find_lock
from pydantic import ValidationError

NOTHING = Instances((), (), lambda i: np.zeros((8, 8, 3), np.uint8), lambda i: np.zeros((8, 8), bool))


def config(source: str) -> TeacherConfig:
    return TeacherConfig(source=source)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("litemedsan", "no teacher is called `litemedsan`"),
        ("", "no teacher is called ``"),
        ("sam2", "`sam2` names no place"),
        ("masks:", "`masks:` names no place"),
        ("litemedsam:there", "`litemedsam:there` has no place"),
    ],
)
def test_a_source_that_is_none_is_told(source: str, told: str) -> None:
    for asked in (digests, lambda c: open_teacher(c, NOTHING)):
        with pytest.raises(RequestError, match=told):
            asked(config(source))


@pytest.mark.parametrize("kind", ["sam2", "sam3", "masks", "model", "student"])
def test_a_place_that_is_not_there_is_told_whole(kind: str, tmp_path: Path) -> None:
    with pytest.raises(MissingError) as told:
        digests(config(f"{kind}:{tmp_path / 'absent'}"))
    assert f"`{tmp_path / 'absent'}` does not exist" in told.value.message
    assert told.value.hint


@pytest.mark.parametrize(
    ("kind", "licence"), [("sam2", "Apache-2.0"), ("sam3", "SAM License"), ("sam3-concept", "SAM License")]
)
def test_a_sam_that_is_not_there_comes_with_its_licence(kind: str, licence: str, tmp_path: Path) -> None:
    with pytest.raises(MissingError) as told:
        digests(config(f"{kind}:{tmp_path / 'absent'}"))
    assert licence in told.value.hint


@pytest.mark.skipif(find_spec("torchvision") is not None, reason="torchvision is here")
@pytest.mark.parametrize("kind", ["sam3", "sam3-concept"])
def test_sam_3_needs_torchvision(kind: str, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=f"`{kind}` needs `torchvision`") as told:
        digests(config(f"{kind}:{tmp_path}"))
    assert "pip install" in told.value.hint


def test_litemedsam_names_the_command_that_fetches_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKD_CACHE", str(tmp_path))
    with pytest.raises(MissingError) as told:
        digests(config("litemedsam"))
    assert told.value.hint == "edgekd fetch litemedsam"


def test_litemedsam_is_the_locked_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgekd.toolchains.cache import fill

    monkeypatch.setenv("EDGEKD_CACHE", str(tmp_path))
    folder = fill(find_lock("litemedsam"), lambda folder: (folder / "lite_medsam.pth").write_bytes(b"weights") and None)
    assert digests(config("litemedsam")) == {"lite_medsam.pth": sha256(folder / "lite_medsam.pth")}


def test_of_a_folder_the_files_that_matter_count(tmp_path: Path) -> None:
    for name in ("a.mask.png", "b.mask.png", "notes.md"):
        (tmp_path / name).write_text(name)
    before = digests(config(f"masks:{tmp_path}"))
    assert before == {name: sha256(tmp_path / name) for name in ("a.mask.png", "b.mask.png")}
    (tmp_path / "a.mask.png").write_text("other")
    assert digests(config(f"masks:{tmp_path}"))["a.mask.png"] != before["a.mask.png"]


def test_of_a_file_what_lies_beside_it_by_its_name_counts(tmp_path: Path) -> None:
    for name in ("net.onnx", "net.json", "net.onnx.data", "network.onnx"):
        (tmp_path / name).write_text(name)
    assert set(digests(config(f"model:{tmp_path / 'net.onnx'}"))) == {"net.onnx", "net.json", "net.onnx.data"}


@pytest.mark.parametrize(
    "table",
    [{"source": "litemedsam", "trust": 1.5}, {"source": "litemedsam", "trust": "much"}, {"source": "x", "views": 0}],
)
def test_a_wrong_table_is_told(table: dict[str, object]) -> None:
    with pytest.raises(ProblemsError):
        parse(TeacherConfig, table, "teacher")


def test_trust_is_the_score_or_a_share() -> None:
    assert config("litemedsam").trust == "score"
    assert TeacherConfig(source="litemedsam", trust=0.5).trust == 0.5
    with pytest.raises(ValidationError):
        TeacherConfig(source="litemedsam", trust=-0.1)
