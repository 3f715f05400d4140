"""Text vectors without a download: TF-IDF of words and letter groups, reduced by a truncated SVD."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from siftrec import seeds
from siftrec.data.catalog import Modality
from siftrec.errors import DataError, missing_extra


def encode(texts: Sequence[str | None], ids: pl.Series, dim: int = 64, seed: int = 7) -> Modality:
    """Latent semantic vectors of short texts (Deerwester et al., 1990), of unit length.

    Args:
        texts: (n,) one text per item; None or blank means the item has none.
        ids: (n,) raw item ids.
        dim: F, at most; a small or uniform collection gives fewer dimensions.
        seed: of the randomised SVD.

    Raises:
        DataError: no text holds a single letter or digit.
        EnvironmentProblem: scikit-learn is not installed (extra `demo`).
    """
    try:
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.pipeline import make_union
    except ImportError:
        raise missing_extra("demo", "scikit-learn") from None
    clean = [(text or "").strip() for text in texts]
    words = TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")  # noqa: S106
    letters = TfidfVectorizer(sublinear_tf=True, analyzer="char_wb", ngram_range=(3, 4), max_features=50_000)
    try:
        raw = make_union(words, letters).fit_transform([text for text in clean if text])
    except ValueError:
        raise DataError("no text to encode: every text is empty") from None
    rank = min(dim, min(raw.shape) - 1)
    if rank >= 1:
        with np.errstate(invalid="ignore"):  # scikit-learn divides by the variance, which equal texts do not have
            dense = TruncatedSVD(rank, random_state=seeds.derive(seed, "text svd") % 2**32).fit_transform(raw)
    else:
        dense = raw.toarray()
    features = np.zeros((len(clean), dense.shape[1]), np.float32)
    features[[bool(text) for text in clean]] = dense
    length = np.linalg.norm(features, axis=1)
    present = length > 1e-6
    features[present] /= length[present, None]
    return Modality(features, present, ids, source=f"siftrec.modality.text, {dense.shape[1]} dimensions")
