"""FMLP-Rec against the contract, and on order that is there or not."""

from __future__ import annotations

from chains import found

from siftrec.methods.fmlprec import FMLPRec
from siftrec.testing import check_method


def test_contract():
    check_method(FMLPRec(dim=16, length=8, negatives=64))


def test_it_is_never_asked_but_after_a_whole_row():
    """Its filters read later columns: rows with a target after every position would leak them."""
    assert FMLPRec().rows == "prefix"


def test_an_order_that_is_there_is_found_and_none_where_there_is_none():
    assert found(FMLPRec(dim=16, length=8, blocks=1), True, epochs=8) > 0.8
    assert found(FMLPRec(dim=16, length=8, blocks=1), False, epochs=8) < 0.1
