"""SHA-256 of data files is remembered, and a change is seen."""

import hashlib
import os
import sqlite3
import time
from contextlib import closing

import pytest
from edgekd import digests as module
from edgekd.digests import digests


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEKD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def read(monkeypatch):
    """Names of the files that were read, in turn."""
    seen, whole = [], module.sha256
    monkeypatch.setattr(module, "sha256", lambda path: seen.append(path.name) or whole(path))
    return seen


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SETTLED", 0.05)
    paths = [tmp_path / name for name in ("a", "b")]
    for path in paths:
        path.write_bytes(path.name.encode())
    time.sleep(0.1)
    return paths


def wanted(paths):
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def test_what_has_not_changed_is_read_once(files, read):
    assert digests(files) == digests(files) == wanted(files)
    assert read == ["a", "b"]


def test_a_change_of_as_many_bytes_that_keeps_the_time_of_its_content_is_seen(files, read):
    digests(files)
    before = files[0].stat()
    files[0].write_bytes(b"z")
    os.utime(files[0], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert digests(files) == wanted(files)
    assert read == ["a", "b", "a"]


def test_another_file_in_its_place_is_seen(files, tmp_path, read):
    digests(files)
    (tmp_path / "c").write_bytes(b"c")
    (tmp_path / "c").replace(files[1])
    assert digests(files) == wanted(files)
    assert read == ["a", "b", "b"]


def test_what_changed_a_moment_ago_is_read_again(files, read, monkeypatch):
    monkeypatch.setattr(module, "SETTLED", 60.0)
    assert digests(files) == digests(files)
    assert read == ["a", "b"] * 2


def test_what_is_remembered_does_not_count_where_it_is_read_again(files, cache):
    digests(files)
    with closing(sqlite3.connect(cache / "digests.db")) as base, base:
        base.execute("UPDATE files SET sha256 = 'other'")
    assert {*digests(files).values()} == {"other"}
    assert digests(files, again=True) == digests(files) == wanted(files)


@pytest.mark.parametrize("spoilt", ["folder", "bytes"])
def test_without_a_cache_they_are_read(files, cache, read, spoilt):
    if spoilt == "folder":
        cache.write_text("a file")
    else:
        cache.mkdir()
        (cache / "digests.db").write_bytes(b"no database, but long enough to be one" * 100)
    assert digests(files) == digests(files) == wanted(files)
    assert read == ["a", "b"] * 2
