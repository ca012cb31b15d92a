"""Keys change with what matters, folders are whole or absent."""

import sys
import time
from multiprocessing import get_context
from pathlib import Path

import pytest
from edgekd.errors import MissingError
from edgekd.store import Store, closure, step_key, write_atomic

CODE = ["edgekd.graph.golden"]


def test_a_key_changes_with_config_needs_code_and_files(tmp_path):
    file = tmp_path / "f"
    file.write_text("1")
    base = step_key("k", {"a": 1}, [], code=CODE, files=[file])
    assert step_key("k", {"a": 1}, [], code=CODE, files=[file]) == base
    others = [
        step_key("l", {"a": 1}, [], code=CODE, files=[file]),
        step_key("k", {"a": 2}, [], code=CODE, files=[file]),
        step_key("k", {"a": 1}, [base], code=CODE, files=[file]),
        step_key("k", {"a": 1}, [], code=["edgekd.graph.cost"], files=[file]),
        step_key("k", {"a": 1}, [], code=CODE, files=[file], packages=["numpy"]),
    ]
    file.write_text("2")
    others.append(step_key("k", {"a": 1}, [], code=CODE, files=[file]))
    assert len({key.hex for key in [base, *others]}) == len(others) + 1


def test_the_closure_holds_what_is_really_imported():
    """The modules read from source are at least those that importing the module loads."""
    import subprocess

    for module in (
        "edgekd.quantize.export",
        "edgekd.train.teach",
        "edgekd.verify.check",
        "edgekd.students.qdr.training",
    ):
        code = f"import sys, {module}; print(*(m for m in sys.modules if m.startswith('edgekd.')))"
        loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        packages = {
            m for m in loaded if (Path(sys.modules["edgekd"].__file__).parent.parent / m.replace(".", "/")).is_dir()
        }
        assert set(loaded) - packages <= set(closure([module]))


def test_a_build_that_fails_leaves_nothing_finished_and_goes_on(tmp_path):
    store, key = Store(tmp_path), step_key("k", 1, [], code=())

    def fail(part: Path) -> None:
        write_atomic(part / "half", b"1")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.get(key, fail)
    assert store.find(key) is None
    seen = []
    done = store.get(key, lambda part: seen.extend(p.name for p in part.iterdir()))
    assert seen == ["half"]
    assert store.get(key, fail) == done


def _build_slowly(root: Path, log: Path) -> None:
    def build(part: Path) -> None:
        with log.open("a") as file:
            file.write("built\n")
        time.sleep(0.5)

    Store(root).get(step_key("k", 1, [], code=()), build)


def test_two_processes_build_a_step_once(tmp_path):
    log = tmp_path / "log"
    context = get_context("spawn")
    both = [context.Process(target=_build_slowly, args=(tmp_path / "s", log)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert log.read_text() == "built\n"


def test_a_folder_that_cannot_be_written():
    with pytest.raises(MissingError, match="cannot be written"):
        Store(Path("/proc/edgekd/.store"))


def test_a_file_that_cannot_be_written_is_named_and_leaves_no_part(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        write_atomic(tmp_path / "taken", b"1")
    assert caught.value.filename == str(tmp_path / "taken")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
