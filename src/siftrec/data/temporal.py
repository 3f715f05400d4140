"""One cut in time for everybody: after a share of the interactions, or at a date."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator

from siftrec.data.interactions import Interactions
from siftrec.data.readers.times import Moment, iso, moment
from siftrec.data.sequences import Sequences
from siftrec.data.split import TEST, TRAIN, VALID, Split, checked, logged
from siftrec.errors import DataError, SettingsError
from siftrec.settings import Fraction, settings

_SHARE = 0.1


def _spelled(given: Any) -> str | None:
    """A point in time as TOML has it: text stays as it is, dates and datetimes become ISO 8601."""
    if given is None:
        return None
    try:
        if isinstance(given, str | date) or getattr(given, "dtype", np.dtype(int)).kind == "M":
            micro = moment(given)
            return given if isinstance(given, str) else given.isoformat() if isinstance(given, date) else iso(micro)
    except ValueError:
        pass
    raise ValueError("must be an ISO 8601 day or time from 1970 to 2100, e.g. '1998-03-01' or '1998-03-01T12:00+01:00'")


When = Annotated[Moment, BeforeValidator(_spelled)]


def _refuse(name: str, wrong: bool, problem: str) -> None:
    if wrong:
        raise SettingsError(f"TemporalSplit.{name}", problem)


@settings
class TemporalSplit:
    """One cut in time for everybody: what is later is asked for, what is earlier is trained on.

    Attributes:
        test: the last share of interactions; None: 0.1, unless `at` says where the test part begins.
        valid: before it, a share for validation, of all interactions or of those before `at`; 0: no validation, so every
            epoch is trained and the last one is kept. None: 0.1, unless `valid_at` says where it begins.
        at: in the place of `test`, the day or time at which the test part begins (ISO 8601; without a zone UTC), e.g.
            `1998-03-01`; in Python also a date or datetime.
        valid_at: with `at`, in the place of `valid`: when validation begins.
    """

    test: Fraction | None = None
    valid: Fraction | None = None
    at: When | None = None
    valid_at: When | None = None
    leaks_time = False

    def __post_init__(self) -> None:
        if self.at is None:
            _refuse("valid_at", self.valid_at is not None, "needs at, where the test part begins")
            object.__setattr__(self, "test", _SHARE if self.test is None else self.test)
        else:
            _refuse(
                "test", self.test is not None, f"{self.test} and at = {self.at!r} both say where the test part begins"
            )
        if self.at is not None and self.valid_at is not None:
            problem = f"{self.valid} and valid_at = {self.valid_at!r} both say where validation begins"
            _refuse("valid", self.valid is not None, problem)
            late = moment(self.valid_at) >= moment(self.at)
            _refuse("valid_at", late, f"{self.valid_at!r} is not before at = {self.at!r}, where the test part begins")
        elif self.valid is None:
            object.__setattr__(self, "valid", _SHARE)

    def __call__(self, events: Interactions) -> Split:
        """Cut the log.

        Raises:
            DataError: the log has an order but no clock, or a part would be empty.
            SettingsError: a test share of 0.
        """
        if self.test == 0:
            raise SettingsError("split.test", "0 holds nothing out; siftrec:Everything trains on all interactions")
        if self.test is not None and self.valid is not None and self.test + self.valid >= 1:
            raise DataError(f"split: test {self.test} and valid {self.valid} leave nothing to train on", events.source)
        if events.time_kind != "clock":
            raise DataError(
                "has no clock, only an order within each user; name its column of times, or use siftrec:LeaveOneOut",
                events.source,
            )
        users, items, log = logged(events)
        role = np.searchsorted(self._cuts(log), log.times, side="right").astype(np.int8)
        why = "the log is too short for it" if self.at is None else f"the log runs {events.positives().span}"
        needed = (TRAIN, TEST) if self.valid == 0 else (TRAIN, VALID, TEST)
        return checked(Split(log, role, users, items, "temporal"), events, needed, why)

    def _cuts(self, log: Sequences) -> np.ndarray:
        """When validation and the test part begin, in µs; both at once where nothing is validated."""
        if self.at is None:
            test, valid = self.test or 0.0, self.valid or 0.0
            return np.asarray(np.quantile(log.times, [1 - test - valid, 1 - test], method="higher"))
        last = moment(self.at)
        if self.valid_at is not None:
            return np.array([moment(self.valid_at), last])
        before = log.times[log.times < last]
        if not self.valid or not len(before):
            return np.array([last, last])
        return np.array([np.quantile(before, 1 - self.valid, method="higher"), last])
