"""A hand model by the name of its source. numpy."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from edgekd.errors import MissingError, RequestError
from edgekd.students.arrays import read_arrays
from edgekd.students.fast_hamer.hand.arrays import model_of
from edgekd.students.fast_hamer.hand.mano import read_mano
from edgekd.students.fast_hamer.hand.model import HandModel
from edgekd.students.fast_hamer.hand.synthetic import synthetic_hand

SHIPPED = "edgekd:hand"
"""The hand of our own making."""


@lru_cache(4)
def load_hand(source: str) -> HandModel:
    """`edgekd:hand`; the file `MANO_RIGHT.pkl` of a person who may use it; an `.npz` of the fields of `HandModel`.

    Raises MissingError or RequestError.
    """
    if source == SHIPPED:
        return synthetic_hand()
    path = hand_file(source)
    if path.suffix == ".pkl":
        return read_mano(path)
    if path.suffix == ".npz":
        return model_of(read_arrays(path), source)
    raise RequestError(f"`{source}` is no known hand model", f"name a `MANO_RIGHT.pkl`, or `{SHIPPED}`")


def hand_file(source: str) -> Path:
    """The file of a hand model that a person brings. Raises MissingError with how to come by one."""
    path = Path(source)
    if not path.is_file():
        hint = f"register at mano.is.tue.mpg.de and name its `MANO_RIGHT.pkl`, or `{SHIPPED}`"
        raise MissingError(f"the hand model `{source}` does not exist", hint)
    return path
