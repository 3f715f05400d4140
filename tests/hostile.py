"""A pickle that means harm, and a hook that sees anybody who reads one."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

PICKLE = b"csiftrec_hostile\ncanary\n(tR."
_SEEN: list[str] = []


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if event == "pickle.find_class" or (event in {"marshal.loads", "import"} and "siftrec_hostile" in repr(arguments)):
        _SEEN.append(event)


sys.addaudithook(_audit)


class Hostile:
    """Whoever unpickles it ends the process."""

    def __reduce__(self) -> object:
        return (sys.exit, (99,))


@contextmanager
def nothing_unpickled() -> Iterator[None]:
    """No pickle may be read within; at the end one is, to show that it would have been seen."""
    before = len(_SEEN)
    yield
    assert _SEEN[before:] == []
    with pytest.raises(ModuleNotFoundError):
        pickle.loads(PICKLE)
    assert "pickle.find_class" in _SEEN[before:]
