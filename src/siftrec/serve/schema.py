"""Requests and answers: typed, bounded, with examples; the OpenAPI page is made of them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

ID_CHARACTERS = 256
HISTORY = 1000
LISTED = 10_000
MOST = 1000
BATCH = 1000
KEYS = 64
KEYS_IN_ALL = 20_000
_CHECKED = ConfigDict(extra="forbid", strict=True, frozen=True)
_DAY = re.compile(r"\d{4}-\d\d-\d\d[Tt ]")  # a text of digits alone would be read as seconds
_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)


def _text(value: Any) -> Any:
    if value is not None and not (isinstance(value, str) and _DAY.match(value)):
        raise ValueError('must be text like "2026-01-31T12:00:00Z"')
    return value


def _plausible(value: datetime) -> datetime:
    # A log with one time of another age is refused as a whole when it is read.
    if not _EARLIEST <= value <= datetime.now(UTC) + timedelta(days=1):
        raise ValueError("must lie between 1990 and now")
    return value


# One mistake is told; a body of nothing but mistakes is not gone through to its end.
First = Field(fail_fast=True)
Id = Annotated[str, Field(min_length=1, max_length=ID_CHARACTERS)]
Ids = Annotated[list[Id], First]
Title = Annotated[str, Field(max_length=1000)]
Most = Annotated[int, Field(ge=1, le=MOST, description="How many items, at most.")]
# Squares of up to 10^5 such numbers stay within single precision.
Number = Annotated[float, Field(ge=-1e15, le=1e15, allow_inf_nan=False)]
When = Annotated[AwareDatetime, Field(strict=False), AfterValidator(_plausible), BeforeValidator(_text)]


class Recommend(BaseModel):
    """A history, and what is wanted for it."""

    model_config = _CHECKED | ConfigDict(
        json_schema_extra={"examples": [{"history": ["v17", "v203"], "k": 10, "exclude": ["v5"], "explain": True}]}
    )
    history: Ids = Field(max_length=HISTORY, description="Item ids, oldest first; unknown ones are skipped.")
    k: Most = 10
    exclude: Ids = Field([], max_length=LISTED, description="Item ids that must not be recommended.")
    only: Ids | None = Field(None, max_length=LISTED, description="The only item ids that may be; null: any.")
    explain: bool = Field(False, description="Say what of the history counted.")


class Ranked(BaseModel):
    """One item of an answer."""

    rank: int
    item: str
    score: float = Field(description="Comparable within one answer only.")
    title: str | None


class Counted(BaseModel):
    """What one interaction of the history counted."""

    item: str
    title: str | None
    attention: float | None = Field(description="Share of the attention; null where histories are read as a whole.")
    noise: float | None = Field(description="Probability of a false positive; null where nothing is known.")
    modalities: dict[str, float | None] = Field(description="Weights, sum 1; null where the item lacks it.")


class Explained(BaseModel):
    """What counted, oldest first."""

    interactions: list[Counted]
    unread: int = Field(description="Older interactions that the model does not read.")


class Recommended(BaseModel):
    """The answer for a history."""

    model: str = Field(description="Version of the model that answered.")
    items: list[Ranked]
    unknown: list[str] = Field(description="Ids of the history that the catalog does not hold.")
    fallback: bool = Field(description="True when nothing of the history was known: popularity answered.")
    explanation: Explained | None = Field(description="Null unless asked for, or where the method has no opinion.")


class Similar(BaseModel):
    """An item whose like is wanted."""

    model_config = _CHECKED | ConfigDict(json_schema_extra={"examples": [{"item": "v17", "k": 10}]})
    item: Id
    k: Most = 10


class Likened(BaseModel):
    """Items by cosine."""

    model: str
    items: list[Ranked]


class NewItem(BaseModel):
    """An item known by its content alone."""

    model_config = _CHECKED
    item: Id
    title: Title | None = None
    content: dict[Id, Annotated[list[Number], First]] = Field(
        min_length=1, max_length=KEYS, description="Raw vector by modality, as the model was trained with."
    )


class NewItems(BaseModel):
    """Items to add: all of them or none."""

    model_config = _CHECKED | ConfigDict(
        json_schema_extra={
            "examples": [{"items": [{"item": "v9000", "title": "New", "content": {"text": [0.1, 0.2]}}]}]
        }
    )
    items: Annotated[list[NewItem], First] = Field(min_length=1, max_length=BATCH)


class Added(BaseModel):
    """Items that are stored and can be recommended now."""

    added: int
    model: str


class Hide(BaseModel):
    """Items to take out of all answers, or to have there again: all of them or none."""

    model_config = _CHECKED | ConfigDict(json_schema_extra={"examples": [{"items": ["v1"]}]})
    items: Ids = Field(min_length=1, max_length=BATCH)


class Hidden(BaseModel):
    """What is hidden now."""

    hidden: int = Field(description="Ids that are hidden, in this catalog or not.")
    model: str


class Happened(BaseModel):
    """What a user did."""

    model_config = _CHECKED
    user: Id
    item: Id
    time: When | None = Field(None, description="When, with a time zone; null: now.")
    label: Annotated[int, Field(ge=0, le=1)] | None = Field(None, description="1 or null: clicked; 0: shown only.")


class Feedback(BaseModel):
    """Events to keep."""

    model_config = _CHECKED | ConfigDict(
        json_schema_extra={"examples": [{"events": [{"user": "u1", "item": "v17", "time": "2026-01-31T12:00:00Z"}]}]}
    )
    events: Annotated[list[Happened], First] = Field(min_length=1, max_length=BATCH)


class Stored(BaseModel):
    """Events that are on disk."""

    stored: int


class Titled(BaseModel):
    """One item found."""

    item: str
    title: str | None
    popularity: int = Field(description="Training interactions.")


class Found(BaseModel):
    """Items found, most popular first."""

    items: list[Titled]


class Modality(BaseModel):
    """One kind of content."""

    name: str
    width: int
    coverage: float = Field(description="Share of the catalog's items, added ones included, that have it.")


class Index(BaseModel):
    """How the best items are found."""

    approximate: bool = Field(description="Whether only the items of promising clusters are looked at.")
    recall: float = Field(description="Share of the ranks 91 to 100 that it finds on sample histories; 1 if exact.")


class About(BaseModel):
    """What answers here."""

    model: str
    method: str
    items: int = Field(description="In the catalog, added ones included.")
    added: int
    hidden: int = Field(description="Ids that are hidden, in this catalog or not.")
    modalities: list[Modality]
    explains: bool = Field(description="Whether the method has an opinion of single interactions.")
    index: Index
    facts: dict[str, Any]
    siftrec: str
    problem: str | None = Field(description="Why a newer model is not served; null when there is none.")


class Health(BaseModel):
    """Whether it can answer, and what is the matter."""

    ready: bool
    model: str
    problem: str | None = Field(
        description="That a newer model is not served, or that the store cannot be used; null: neither is so."
    )
    left_out: int = Field(description="Stored items that this model cannot take.")
    full: list[str] = Field(description='Of "items" and "feedback", what no more is stored of.')


class Problem(BaseModel):
    """What is wrong."""

    what: str
    where: str | None


class Failed(BaseModel):
    """The one shape of errors."""

    error: Problem
