"""Where the vectors of a modality are, as an experiment says it."""

from __future__ import annotations

from pathlib import Path

from siftrec.data.catalog import Modality
from siftrec.errors import SettingsError
from siftrec.modality.impute import Impute
from siftrec.modality.precomputed import features
from siftrec.settings import settings


@settings
class Source:
    """Where the vectors of one modality are; the keys are the arguments of `siftrec.features`.

    Attributes:
        impute: what items without the modality get; see `siftrec.modality.impute`.
    """

    path: str
    ids: str | None = None
    mask: str | None = None
    id_column: str | None = None
    vector_column: str | None = None
    impute: Impute = "none"

    def read(self, key: str) -> Modality:
        """The vectors; `key` is the key path of this table, for errors."""
        for name, path in (("path", self.path), ("ids", self.ids), ("mask", self.mask)):
            if path is not None:
                check_exists(f"{key}.{name}", path)
        return features(
            self.path, ids=self.ids, mask=self.mask, id_column=self.id_column, vector_column=self.vector_column
        )


def check_exists(key: str, path: str) -> None:
    """Refuse a path that leads to nothing, by its key.

    Raises:
        SettingsError: it does.
    """
    if not Path(path).exists():
        raise SettingsError(key, f"{path!r} does not exist")
