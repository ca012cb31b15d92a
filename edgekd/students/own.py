"""A student from a person's own file, `FILE.py:CLASS`: loaded, checked, its files listed, its mistakes told.

The file is run under a private module name. Modules beside it can be imported as if it were run as a script, but
`sys.path` is left as it was. Nothing is written there, not even bytecode.
"""

from __future__ import annotations

import ast
import hashlib
import sys
import traceback
from collections.abc import Iterator
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from edgekd.errors import EdgekdError, MissingError, RequestError, nearest

PREFIX = "edgekd_own_"
PAGE = "docs/your-own-student.md"
TASK = ("metric", "unit", "baseline", "about", "folders", "io", "evalset", "encode", "decode", "score")
STUDENT = ("taps", "build", "batch", "inputs", "loss")
STACKING = "edgekd.students.simple"
"""The module whose `batch` stacks what `sample` gives; it imports torch, so it is not imported here."""


def load_class(name: str, parts: tuple[str, ...]) -> Any:
    """The class that `FILE.py:CLASS` names, which has all `parts`. Raises MissingError or RequestError."""
    file, _, wanted = name.rpartition(":")
    module = _load(Path(file))
    cls = getattr(module, wanted, None)
    if not isinstance(cls, type):
        own = [n for n, v in vars(module).items() if isinstance(v, type) and v.__module__ == module.__name__]
        raise RequestError(f"`{Path(file).name}` has no class `{wanted}`", nearest(wanted, own) if own else "write it")
    stacks = "batch" in parts and getattr(getattr(cls, "batch", None), "__module__", "") == STACKING
    if missing := [part for part in (*parts, *(["sample"] if stacks else [])) if not hasattr(cls, part)]:
        message = f"`{wanted}` in `{Path(file).name}` has no `{missing[0]}`"
        raise RequestError(message, f"`{PAGE}` shows what a student has")
    return cls


def local_files(file: Path) -> dict[str, Path]:
    """The file and every module beside it that it imports, directly or not: name below its folder to path."""
    found: dict[str, Path] = {}
    todo = [file.resolve()]
    while todo:
        path = todo.pop()
        name = path.relative_to(file.resolve().parent).as_posix()
        if name not in found:
            found[name] = path
            todo += [p for module in _imported(path) for p in _beside(file.resolve().parent, module)]
    return dict(sorted(found.items()))


def edgekd_modules(files: dict[str, Path]) -> list[str]:
    """The modules of edgekd that these files import."""
    named = {module for path in files.values() for module in _imported(path) if module.split(".")[0] == "edgekd"}
    return sorted(named)


def blame(error: BaseException) -> EdgekdError | None:
    """An error that came out of a person's own file, as a sentence with file and line; None for any other."""
    frames = [(f.f_globals.get("__name__", ""), f.f_code, line) for f, line in traceback.walk_tb(error.__traceback__)]
    own = [(code, line) for name, code, line in frames if name.startswith(PREFIX) or name in BESIDE.files]
    if not own or isinstance(error, EdgekdError):
        return None
    code, line = own[-1]
    return RequestError(f"`{Path(code.co_filename).name}` line {line}: {_reason(error)}", "mend that line")


def _load(path: Path) -> ModuleType:
    """The file's module; the same one while its files and place stay the same."""
    if not path.is_file():
        raise MissingError(f"student file `{path}` does not exist", "its path is relative to the recipe's folder")
    files = local_files(path)
    content = b"\0".join([str(path.resolve()).encode(), *(p.read_bytes() for p in files.values())])
    name = PREFIX + hashlib.sha256(content).hexdigest()[:16]
    if name not in sys.modules:
        module = ModuleType(name)
        module.__file__ = str(path)
        sys.modules[name] = module
        BESIDE.offer({_module(n): p for n, p in files.items() if p != path.resolve()})
        try:
            exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
        except Exception as error:
            del sys.modules[name]
            raise _told(error, path) from None
    return sys.modules[name]


class _Source(SourceFileLoader):
    """Leaves no bytecode beside the file: that may be a bundle."""

    def set_data(self, path: str, data: Any, *, _mode: int = 0o666) -> None:
        """Write nothing."""


class _Beside(MetaPathFinder):
    """Finds the modules beside the file that was loaded last, before any other of their name."""

    def __init__(self) -> None:
        self.files: dict[str, Path] = {}

    def offer(self, files: dict[str, Path]) -> None:
        """Find these modules from now on, and load them anew."""
        for name in {*self.files, *files}:
            sys.modules.pop(name, None)
        self.files = files
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """The module's file, if it is one of them."""
        file = self.files.get(fullname)
        return spec_from_file_location(fullname, file, loader=_Source(fullname, str(file))) if file else None


BESIDE = _Beside()


def _module(file: str) -> str:
    """`a/b.py` as `a.b`, `a/__init__.py` as `a`."""
    return file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def _told(error: Exception, path: Path) -> Exception:
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.split(".")[0]
        extra = "'edgekd[train]'" if package == "torch" else package
        return MissingError(f"`{path.name}` needs `{error.name}`", f"pip install {extra}")
    if isinstance(error, SyntaxError):
        return _syntax(Path(error.filename or path), error)
    return blame(error) or error


def _syntax(path: Path, error: SyntaxError) -> RequestError:
    return RequestError(f"`{path.name}` line {error.lineno}: {error.msg}", "mend that line")


def _reason(error: BaseException) -> str:
    if isinstance(error, ValidationError):  # pydantic's, of an io record for example
        return "; ".join(e["msg"].removeprefix("Value error, ") for e in error.errors())
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__


def _imported(path: Path) -> list[str]:
    """Names of the modules that a file imports; `from a import b` may mean the module `a.b`."""
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError as error:
        raise _syntax(path, error) from None
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return names


def _beside(folder: Path, module: str) -> Iterator[Path]:
    """The files in `folder` that importing `module` runs."""
    parts = module.split(".")
    if parts[0] in sys.stdlib_module_names or parts[0] == "edgekd":
        return
    for i in range(len(parts)):
        stem = folder.joinpath(*parts[: i + 1])
        yield from (p for p in (stem / "__init__.py", stem.with_suffix(".py")) if p.is_file())
        if not (stem / "__init__.py").is_file():
            return
