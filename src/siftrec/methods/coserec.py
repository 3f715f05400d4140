"""CoSeRec: contrastive self-supervised sequential recommendation with robust augmentation (Liu et al., arXiv 2108.06479)."""

from __future__ import annotations

from typing import Literal, cast

import numpy as np
import torch
from scipy import sparse

from siftrec.data.catalog import Catalog
from siftrec.data.loader import Batch
from siftrec.data.sequences import Sequences
from siftrec.data.split import Fitting
from siftrec.methods.augmented import masked_model, with_contrast
from siftrec.methods.base import Losses, Model
from siftrec.methods.counts import interaction_matrix
from siftrec.methods.itemgraph import BLOCK_BYTES, block_rows
from siftrec.methods.model import SequenceModel
from siftrec.methods.sasrec import SASRec
from siftrec.nn.augment import crop, insert, mask, reorder, substitute, two_of
from siftrec.settings import Count, Fraction, Rate, Weight, settings

_BYTES_PER_PAIR = 64  # the product, and its copies with coordinates


@settings
class CoSeRec:
    """CL4SRec whose views also have interactions substituted by, or inserted beside, the items most correlated with them.

    Attributes:
        base: what recommends, and encodes the views.
        crop: share of a history that a cropped view keeps.
        mask: share that a masked view masks.
        reorder: share that a reordered view shuffles.
        substitute: share that is substituted.
        insert: share before which an item is inserted.
        short: K, histories of at most so many interactions are only substituted and inserted.
        warmup: epochs in which items are correlated by the users they share alone; then by that or by their vectors,
            whichever says more.
        weight: λ of the contrast.
        temperature: τ of cosines.
    """

    base: SASRec = SASRec()
    crop: Fraction = 0.2
    mask: Fraction = 0.7
    reorder: Fraction = 0.2
    substitute: Fraction = 0.1
    insert: Fraction = 0.4
    short: Count = 4
    warmup: Count = 5
    weight: Weight = 0.1
    temperature: Rate = 0.2

    @property
    def length(self) -> int:
        """L of the base."""
        return self.base.length

    @property
    def rows(self) -> Literal["prefix", "sequence"]:
        """As the base's."""
        return self.base.rows

    def build(self, catalog: Catalog) -> Model:
        """See `Learned.build`."""
        model = masked_model(self.base, catalog)
        assert model.extra is not None
        model.extra.register_buffer("shared", torch.zeros(len(catalog), dtype=torch.int64))
        model.extra.register_buffer("strength", torch.zeros(len(catalog)))
        model.extra.register_buffer("similar", torch.zeros(len(catalog), dtype=torch.int64))
        return model

    def start_epoch(self, model: Model, data: Fitting, epoch: int, seed: int) -> None:
        """See `Learned.start_epoch`: correlate items by users once, by vectors before every epoch after the warm-up."""
        model = cast(SequenceModel, model)
        self.base.start_epoch(model, data, epoch, seed)
        assert model.extra is not None
        shared_N, strength_N, similar_N = (model.extra.get_buffer(name) for name in ("shared", "strength", "similar"))
        if epoch == 0:
            found_N, by_N = by_users(data.train, len(shared_N))
            shared_N.copy_(found_N)
            strength_N.copy_(by_N)
        similar_N.copy_(shared_N)
        if epoch >= self.warmup:
            model.refresh()
            found_N, by_N = by_vectors(model.items(), model.get_buffer("popularity") > 0)
            similar_N.copy_(torch.where(by_N > strength_N, found_N, shared_N))

    def loss(self, model: Model, batch: Batch, rng: torch.Generator) -> Losses:
        """See `Learned.loss`."""
        model = cast(SequenceModel, model)
        assert model.extra is not None
        similar_N = model.extra.get_buffer("similar")
        return with_contrast(self, model, batch, rng, lambda items_nL: self.views(items_nL, similar_N, rng))

    def views(
        self, items_nL: torch.Tensor, similar_N: torch.Tensor, rng: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Two views_nW of every history, `MASK` where masked; `similar_N` as of `nn.augment.substitute`."""
        made = (
            substitute(items_nL, similar_N, self.substitute, rng),
            insert(items_nL, similar_N, self.insert, self.length, rng),
            crop(items_nL, self.crop, rng),
            mask(items_nL, self.mask, rng),
            reorder(items_nL, self.reorder, rng),
        )
        long_n1 = (items_nL > 0).sum(dim=1, keepdim=True) > self.short
        return two_of(made, rng, long_n1 | (torch.arange(len(made)) < 2))


def by_users(train: Sequences, size: int, block_bytes: int = BLOCK_BYTES) -> tuple[torch.Tensor, torch.Tensor]:
    """The item most correlated with each by the users they share, and how much.

    cor(i, j) = Σ_u 1 / log(1 + |I_u|) / √(|U_i| |U_j|) over the users u that had both.

    Args:
        train: histories.
        size: N, of the catalog with padding.
        block_bytes: of what is correlated at once, or of one item with all where that is more.

    Returns:
        (N,) int64 item codes, 0 where there is none, and (N,) float32 correlations from 0, the least of any two items that
        share a user, to 1, the greatest.
    """
    users = interaction_matrix(train, size)
    had = np.diff(users.indptr)
    scale = 1 / np.sqrt(np.maximum(np.asarray(users.sum(axis=0)).ravel(), 1e-12))
    items = sparse.csr_matrix(users.T)
    weighted = sparse.diags(1 / np.log1p(np.maximum(had, 1))) @ users @ sparse.diags(scale)
    best, found = np.zeros(size), np.zeros(size, dtype=np.int64)
    least, most = np.inf, 0.0
    pairs = np.cumsum(np.minimum(items @ had, size) * _BYTES_PER_PAIR)
    for rows in np.split(np.arange(size), np.flatnonzero(np.diff(pairs // block_bytes)) + 1):
        start = rows[0]
        both = (items[rows] @ weighted).tocoo()
        values = both.data * scale[both.row + start]
        other = (both.row + start != both.col) & (values > 0)
        if other.any():
            least, most = min(least, values[other].min()), max(most, values[other].max())
        block = sparse.csr_matrix((values[other], (both.row[other], both.col[other])), shape=both.shape)
        best[rows] = block.max(axis=1).toarray().ravel()
        found[rows] = np.asarray(block.argmax(axis=1)).ravel()
    strength = np.where(best > 0, (best - min(least, most)) / max(most - least, 1e-12), 0.0)
    return torch.from_numpy(found), torch.from_numpy(strength.astype(np.float32))


@torch.no_grad()
def by_vectors(
    items_ND: torch.Tensor, known_N: torch.Tensor, block_bytes: int = BLOCK_BYTES
) -> tuple[torch.Tensor, torch.Tensor]:
    """The item most correlated with each by the inner product of their vectors, and how much; as of `by_users`.

    Args:
        items_ND: item vectors.
        known_N: items that can be found.
        block_bytes: as of `by_users`.
    """
    known = known_N.nonzero().squeeze(1)
    found, best = torch.zeros(len(items_ND), dtype=torch.int64), torch.zeros(len(items_ND))
    if len(known) < 2:
        return found, best
    least, most, vectors = torch.inf, -torch.inf, items_ND[known]
    for block in torch.arange(len(known)).split(block_rows(len(known), block_bytes)):
        similar = vectors[block] @ vectors.T
        least = min(least, float(similar.min()))
        similar[torch.arange(len(block)), block] = -torch.inf
        values, columns = similar.max(dim=1)
        most = max(most, float(values.max()))
        found[known[block]], best[known[block]] = known[columns], values
    best[known] = (best[known] - least) / max(most - least, 1e-12)
    return found, best
