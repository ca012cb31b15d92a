from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch
from edgekd.errors import MissingError, RequestError
from edgekd.resources import sha256
from edgekd.students.fast_hamer.config import DataConfig, TeacherConfig
from edgekd.students.fast_hamer.teachers.open import check, digests, open_teacher

MANO = DataConfig(hand="MANO_RIGHT.pkl")
LITERT = pytest.mark.skipif(find_spec("ai_edge_litert") is None, reason="not here: pip install 'edgekd[litert]'")


def config(source, **more):
    return TeacherConfig(source=source, **more)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("mediapip", "no teacher is called `mediapip`"),
        ("hamer", "`hamer` names no place"),
        ("mediapipe:there", "`mediapipe:there` has no place"),
    ],
)
def test_a_source_that_is_none_is_told(source, told):
    for asked in (digests, lambda c: open_teacher(c, MANO)):
        with pytest.raises(RequestError, match=told):
            asked(config(source))


def test_what_a_teacher_cannot_say_is_told_at_once():
    with pytest.raises(RequestError, match="`mediapipe-lite` has no map"):
        check(config("mediapipe-lite", features=0.1), DataConfig())
    with pytest.raises(RequestError, match="MANO's hand"):
        check(config("hamer:file"), DataConfig())
    with pytest.raises(RequestError, match="no teacher is called `hammer:file`"):
        check(config("hammer:file"), DataConfig())
    check(config("hamer:file", features=0.1), MANO)
    check(config("mediapipe"), DataConfig())


@LITERT
def test_mediapipe_names_the_command_that_fetches_it(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEKD_CACHE", str(tmp_path))
    with pytest.raises(MissingError) as told:
        digests(config("mediapipe"))
    assert told.value.hint == "edgekd fetch mediapipe-hands"


def test_hamer_that_is_not_here_comes_with_where_it_is(tmp_path):
    with pytest.raises(MissingError, match="does not exist") as told:
        digests(config(f"hamer:{tmp_path / 'hamer.ckpt'}"))
    assert "hamer_demo_data.tar.gz" in told.value.hint


@pytest.mark.skipif(find_spec("transformers") is None, reason="not here: pip install 'edgekd[hamer]'")
def test_of_hamer_its_file_counts_and_another_net_is_refused(tmp_path):
    path = tmp_path / "hamer.ckpt"
    torch.save({"state_dict": {"x": torch.zeros(2)}}, path)
    assert digests(config(f"hamer:{path}")) == {"hamer.ckpt": sha256(path)}
    with pytest.raises(RequestError, match="lacks"):
        open_teacher(config(f"hamer:{path}"), MANO)
