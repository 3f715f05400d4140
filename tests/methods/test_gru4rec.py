"""GRU4Rec against the contract and its recurrence."""

from __future__ import annotations

import torch

from siftrec import seeds
from siftrec.methods.gru4rec import GRU4Rec
from siftrec.nn.encoders import Recurrent
from siftrec.testing import check_method


def test_contract():
    check_method(GRU4Rec(dim=16, length=8, negatives=64, full_up_to=0))


def test_states_are_the_recurrence_in_torch_s_form():
    """A loop over gates: r, z, candidate tanh(W x + r ∘ U h); h = (1 − z) candidate + z h, from zero, padding unread."""
    with seeds.initialised(1, "gru"):
        encoder = Recurrent(5, 0.0)
    gru = encoder.gru
    x = torch.randn(1, 6, 5, generator=torch.Generator().manual_seed(2))
    real = torch.arange(6)[None] >= 2
    state = torch.zeros(5)
    found = encoder.states(x, real, None)[0]
    for column in range(2, 6):
        given = gru.weight_ih_l0 @ x[0, column] + gru.bias_ih_l0
        kept = gru.weight_hh_l0 @ state + gru.bias_hh_l0
        reset, update = torch.sigmoid(given[:5] + kept[:5]), torch.sigmoid(given[5:10] + kept[5:10])
        state = (1 - update) * torch.tanh(given[10:] + reset * kept[10:]) + update * state
        torch.testing.assert_close(found[column], state, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(encoder(x, real, None)[0], state, rtol=1e-5, atol=1e-6)
