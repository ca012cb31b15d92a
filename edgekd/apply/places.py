"""Where answers are written."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgekd.apply.ffmpeg import is_camera
from edgekd.errors import RequestError

ARRAYS = ".npz"
MASKS = ".mask.png"
"""As data of pictures with instances are named."""


@dataclass
class Places:
    """`out` is a file where there is one source alone and it has a suffix, else a folder; nothing is written twice."""

    out: Path | None
    alone: bool
    drawn: bool
    """Whether answers are to be looked at, which are written even where `out` is not named."""
    taken: set[Path] = field(default_factory=set)

    def __post_init__(self) -> None:
        if self.out and not self.alone and self._is_file():
            raise RequestError(f"`{self.out}` is one file, and there is more than one answer", "name a folder")

    @property
    def folder(self) -> Path | None:
        """The folder that `out` names."""
        return None if self.out is None or self._is_file() else self.out

    def still(self, source: Path, ending: str = "") -> Path | None:
        """The file for the answer to a picture, with another ending than its own; None where it is only told."""
        if self.out is None and not self.drawn:
            return None
        if self.alone and (self.out is None or self._is_file()):
            return self._take(self.out or Path(f"out{ending or '.png'}"), source)
        folder = self.out or Path("out")
        return self._take(folder / (source.stem + ending if ending else source.name), source)

    def movie(self, source: Path) -> Path:
        """The file for what moves: beside a source that is alone, never among a folder's pictures."""
        if self.out is not None and self._is_file():
            return self._take(self.out, source)
        name = "camera.mp4" if is_camera(source) else source.name
        beside = Path(name) if is_camera(source) else source.with_name(f"{source.stem}-out{source.suffix}")
        apart = self.out is not None or not self.alone
        return self._take((self.out or Path("out")) / name if apart else beside, source)

    def _is_file(self) -> bool:
        return self.out is not None and bool(self.out.suffix) and not self.out.is_dir()

    def _take(self, path: Path, source: Path) -> Path:
        where = path.resolve()
        if where == source.resolve() or where in self.taken:
            raise RequestError(f"`{path}` would be written over", "name another folder with `--out`")
        self.taken.add(where)
        return path
