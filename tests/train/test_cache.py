"""Answers are kept whole, once, and whoever asks them; what is not as it was written is told."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from edgekd.errors import MissingError, RequestError
from edgekd.train import cache
from edgekd.train.cache import ANSWERS, Answers, Lesson, contents, fill, present, told
from hypothesis import given, settings
from hypothesis import strategies as st

SIDE = 4


def answer(sample, view):
    """What a teacher would say: the same for the same question, another for every other."""
    seed = [int.from_bytes(sample.encode()), view]
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (SIDE, SIDE), dtype=np.uint8), np.float32(rng.random())


def lesson(sizes, views=2, asked=None, dtype="uint8", asking=lambda group: None):
    groups = tuple(tuple(f"{i}-{j}" for j in range(size)) for i, size in enumerate(sizes))

    def ask(group):
        asking(group)
        pairs = [[answer(name, view) for view in range(views)] for name in groups[group]]
        return np.array([[a for a, _ in row] for row in pairs]), np.array([[s for _, s in row] for row in pairs])

    return Lesson(asked or {"views": views}, groups, views, (SIDE, SIDE), dtype, ask, dict, (), ())


def filled(folder, given, part=(0, 1)):
    """Fill, and give the number of new answers."""
    return fill(given, given.record({"a": "1"}, {"t": "2"}), folder, lambda *args: None, part)


def contents_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


MANY = [40] * 16
"""Samples of each group: 1280 answers in 8 shards of 160."""


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 70), min_size=1, max_size=6), st.integers(1, 3), st.sampled_from(["uint8", "float16"]))
def test_every_answer_is_found_again(tmp_path_factory, sizes, views, dtype):
    folder, asked = tmp_path_factory.mktemp("cache"), lesson(sizes, views, dtype=dtype)
    assert filled(folder, asked) == views * sum(sizes)
    kept = Answers(folder)
    for name in (name for group in asked.groups for name in group):
        for view in range(views):
            want, score = answer(name, view)
            found, weight = kept.look(name, view)
            assert found.dtype == dtype
            np.testing.assert_array_equal(found, want)
            assert weight == score


def test_few_shards_are_open_at_once(tmp_path, monkeypatch):
    """A million answers are thousands of shards, and a process may have far fewer files."""
    monkeypatch.setattr(cache, "OPEN", 2)
    filled(tmp_path, lesson(MANY))
    before, kept = open_files(tmp_path), Answers(tmp_path)
    for i in range(len(MANY)):
        np.testing.assert_array_equal(kept.look(f"{i}-0", 0)[0], answer(f"{i}-0", 0)[0])
    assert (before, open_files(tmp_path)) == (0, 2)


def open_files(folder):
    """Files of a folder that this process has open, where the system tells it."""
    fds = Path("/proc/self/fd")
    if not fds.is_dir():
        pytest.skip("this system does not tell a process's open files")
    return sum(str(folder) in os.path.realpath(fd) for fd in fds.iterdir())


def test_shards_hold_whole_groups_and_are_full():
    asked = lesson([3, 200, 1, 1, 60], views=1)
    assert [[*shard] for shard in asked.shards] == [[0, 1], [2, 3, 4]]
    assert len(lesson(MANY).shards) == 8
    assert all(2 * 40 * len(shard) >= ANSWERS for shard in lesson(MANY).shards)


def test_a_full_cache_asks_nothing(tmp_path):
    assert filled(tmp_path, lesson(MANY)) == 1280
    before = contents_of(tmp_path)
    assert filled(tmp_path, lesson(MANY, asking=pytest.fail)) == 0
    assert contents_of(tmp_path) == before


def test_two_machines_fill_what_one_does(tmp_path):
    filled(tmp_path / "one", lesson(MANY))
    assert filled(tmp_path / "two", lesson(MANY), part=(1, 2)) == 640
    with pytest.raises(MissingError, match="holds 4 of 8 shards") as caught:
        Answers(tmp_path / "two")
    assert "edgekd teach" in caught.value.hint
    assert filled(tmp_path / "two", lesson(MANY), part=(0, 2)) == 640
    assert contents_of(tmp_path / "two") == contents_of(tmp_path / "one")


SLOWLY = """
import sys, time
from pathlib import Path
from tests.train.test_cache import MANY, filled, lesson
filled(Path(sys.argv[1]), lesson(MANY, asking=lambda group: time.sleep(0.05)))
"""


def test_killed_and_resumed_equals_undisturbed(tmp_path):
    """kill -9 in the middle: whole shards stay and are not asked again, and every byte ends the same."""
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    process = subprocess.Popen([sys.executable, "-c", SLOWLY, str(cut)], cwd=root, env=environment)
    deadline = time.monotonic() + 60
    try:
        while not (cut / "00002.json").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    left = present(cut)[0]
    assert 3 <= left < 8
    asked = []
    assert filled(cut, lesson(MANY, asking=asked.append)) == 160 * (8 - left)
    assert asked == list(range(2 * left, 16))
    filled(whole, lesson(MANY))
    kept = {name: data for name, data in contents_of(cut).items() if not name.endswith(".tmp")}
    assert kept == contents_of(whole)


def test_a_shard_without_its_note_is_asked_again(tmp_path):
    """What a kill between the two files leaves."""
    filled(tmp_path, lesson(MANY))
    before = contents_of(tmp_path)
    (tmp_path / "00003.json").unlink()
    (tmp_path / "00003.npy").write_bytes(b"half")
    with pytest.raises(MissingError, match="7 of 8"):
        contents(tmp_path)
    assert filled(tmp_path, lesson(MANY)) == 160
    assert contents_of(tmp_path) == before


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: data[:-1] + bytes([data[-1] ^ 1]), lambda data: b""]
)
def test_a_damaged_shard_is_named_and_mended_by_deleting_it(tmp_path, damage):
    filled(tmp_path, lesson(MANY))
    before, shard = contents_of(tmp_path), tmp_path / "00005.npy"
    shard.write_bytes(damage(shard.read_bytes()))
    for act in (Answers, lambda folder: filled(folder, lesson(MANY))):
        with pytest.raises(RequestError, match=r"`.*00005.npy` is damaged") as caught:
            act(tmp_path)
        assert "delete it" in caught.value.hint
    shard.unlink()
    filled(tmp_path, lesson(MANY))
    assert contents_of(tmp_path) == before


@pytest.mark.parametrize("name", ["record.json", "00001.json"])
def test_a_damaged_record_is_named(tmp_path, name):
    filled(tmp_path, lesson(MANY))
    (tmp_path / name).write_text("{")
    with pytest.raises(RequestError, match=f"{name}` is damaged"):
        Answers(tmp_path)


def test_a_shard_of_another_cache_is_told(tmp_path):
    filled(tmp_path / "a", lesson(MANY))
    filled(tmp_path / "b", lesson(MANY, asked={"views": 2, "noise": 0.2}))
    for end in (".npy", ".json"):
        shutil.copy(tmp_path / f"b/00004{end}", tmp_path / f"a/00004{end}")
    for act in (Answers, contents, lambda folder: filled(folder, lesson(MANY))):
        with pytest.raises(RequestError, match=r"`.*00004.npy` answers other questions"):
            act(tmp_path / "a")


def test_a_folder_of_other_answers_is_left_alone(tmp_path):
    filled(tmp_path, lesson(MANY))
    before = contents_of(tmp_path)
    with pytest.raises(RequestError, match=r"other questions: `noise` is `None` there, `0.2` here"):
        filled(tmp_path, lesson(MANY, asked={"views": 2, "noise": 0.2}))
    other = lesson(MANY)
    with pytest.raises(RequestError, match="the data differ, the teacher's files differ"):
        fill(other, other.record({"a": "9"}, {"t": "9"}), tmp_path, lambda *args: None)
    assert contents_of(tmp_path) == before


def test_an_empty_folder_is_no_cache(tmp_path):
    with pytest.raises(MissingError, match="holds no answers"):
        Answers(tmp_path)


def test_what_a_manifest_keeps_changes_with_any_answer(tmp_path):
    filled(tmp_path / "a", lesson(MANY))
    filled(tmp_path / "b", lesson([*MANY[:-1], 39]))
    assert told(tmp_path / "a")["answers"] == 1280
    assert told(tmp_path / "a")["sha256"] == contents(tmp_path / "a") != contents(tmp_path / "b")
