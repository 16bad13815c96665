from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from families import FAMILIES, write_family
from understudy.models.attention import (
    PER_TEXT,
    FastDropout,
    attend,
    fast_dropout,
    supports_per_text,
)
from understudy.models.loading import load_classifier

TEXTS, HEADS, TOKENS, WIDTH = 3, 4, 9, 8
LENGTHS = [9, 5, 1]
MODULE = nn.Module()


def heads(dtype: torch.dtype = torch.float32, width: int = WIDTH) -> list[Tensor]:
    """Query, key and value, as views of what a linear layer would give."""
    generator = torch.Generator().manual_seed(0)
    shape = (TEXTS, TOKENS, HEADS, width)
    return [
        torch.randn(shape, generator=generator).to(dtype).transpose(1, 2).detach().requires_grad_() for _ in range(3)
    ]


def padding(lengths: list[int] = LENGTHS) -> Tensor:
    return (torch.arange(TOKENS) < torch.tensor(lengths)[:, None]).long()


def gradients(output: Tensor, inputs: list[Tensor], weight: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(output, inputs, weight))


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.bfloat16, 0.03)])
def test_it_is_scaled_dot_product_attention(dtype: torch.dtype, close: float, padded: bool) -> None:
    q, k, v = inputs = heads(dtype)
    mask = padding() if padded else None
    expected = F.scaled_dot_product_attention(q, k, v, None if mask is None else mask.bool()[:, None, None])
    expected = expected.transpose(1, 2)
    output, weights = attend(MODULE, q, k, v, mask)
    assert weights is None
    weight = torch.randn(output.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    if mask is not None:
        assert not output[mask == 0].any()
        output, expected = output[mask == 1], expected[mask == 1]
        weight = weight[mask == 1]
    torch.testing.assert_close(output, expected, atol=close, rtol=close)
    for mine, theirs in zip(gradients(output, inputs, weight), gradients(expected, inputs, weight), strict=True):
        torch.testing.assert_close(mine, theirs, atol=close, rtol=close)


def test_a_scale_of_the_models_own() -> None:
    q, k, v = heads()
    expected = F.scaled_dot_product_attention(q, k, v, scale=0.7).transpose(1, 2)
    torch.testing.assert_close(attend(MODULE, q, k, v, None, scaling=0.7)[0], expected)


def test_padding_gets_no_gradient() -> None:
    q, k, v = inputs = heads()
    output, _ = attend(MODULE, q, k, v, padding())
    for gradient in gradients(output, inputs, torch.ones_like(output)):
        assert not gradient.transpose(1, 2)[padding() == 0].any()


def dropped_weights(q: Tensor, k: Tensor, dropout: float, seed: int) -> Tensor:
    """The attention weights behind dropout: the identity as values shows them, shape (texts, tokens, heads, tokens)."""
    identity = torch.eye(TOKENS).expand(TEXTS, HEADS, TOKENS, TOKENS)
    torch.manual_seed(seed)
    return attend(MODULE, q, k, identity, None, scaling=1.0, dropout=dropout)[0]


def test_dropout_drops_that_share_and_scales_the_rest() -> None:
    q, k, _ = heads(width=TOKENS)
    plain, dropped = dropped_weights(q, k, 0.0, 1), dropped_weights(q, k, 0.25, 1)
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], plain[kept] / 0.75)
    assert kept.float().mean() == pytest.approx(0.75, abs=0.05)
    assert not torch.equal(kept, dropped_weights(q, k, 0.25, 2) != 0)


def test_dropout_follows_pytorchs_seed() -> None:
    q, k, _ = heads(width=TOKENS)
    assert torch.equal(dropped_weights(q, k, 0.25, 7), dropped_weights(q, k, 0.25, 7))


def test_the_gradient_goes_through_the_same_mask() -> None:
    q, k, v = inputs = heads(width=TOKENS)
    mask = (dropped_weights(q, k, 0.25, 3) != 0).transpose(1, 2) / 0.75
    torch.manual_seed(3)
    output, _ = attend(MODULE, q, k, v, None, scaling=1.0, dropout=0.25)
    expected = ((torch.softmax(q @ k.transpose(2, 3), dim=-1) * mask) @ v).transpose(1, 2)
    torch.testing.assert_close(output, expected)
    weight = torch.randn(output.shape, generator=torch.Generator().manual_seed(1))
    for mine, theirs in zip(gradients(output, inputs, weight), gradients(expected, inputs, weight), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fast_dropout(dtype: torch.dtype) -> None:
    hidden = torch.full((50, 30), 2.0, dtype=dtype, requires_grad=True)
    layer = FastDropout(0.25)
    output = layer(hidden)
    assert output.dtype == dtype
    assert set(output.unique().tolist()) == {0.0, torch.tensor(2 / 0.75, dtype=dtype).item()}
    assert (output == 0).float().mean() == pytest.approx(0.25, abs=0.04)
    (gradient,) = torch.autograd.grad(output, hidden, torch.ones_like(output))
    torch.testing.assert_close(gradient * 2, output)


@pytest.mark.parametrize("odd", [1, 2, 3, 5])
def test_any_number_of_values(odd: int) -> None:
    assert FastDropout(0.5)(torch.ones(odd)).shape == (odd,)


def test_fast_dropout_lets_pass_what_is_not_to_be_dropped() -> None:
    hidden = torch.randn(4, 5)
    assert FastDropout(0.5).eval()(hidden) is hidden
    assert FastDropout(0.0)(hidden) is hidden


def test_a_model_gets_its_dropout_back() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.3))
    with pytest.raises(ZeroDivisionError), fast_dropout(model):
        assert type(model[1]) is FastDropout and model[1].p == 0.3
        _ = 1 / 0
    assert type(model[1]) is nn.Dropout and model[1].p == 0.3


@pytest.mark.parametrize("family", FAMILIES)
def test_the_families_that_take_it_answer_as_before(family: str, tmp_path: Path) -> None:
    model: Any = load_classifier(write_family(tmp_path / "model", family, ["a", "b", "c"], layers=2))
    assert supports_per_text(model) == (family not in ("mpnet", "deberta-v2"))
    if not supports_per_text(model):
        return
    ids = torch.tensor([[5, 6, 7, 8, 9, 10], [11, 12, 13, 14, 2, 2]])
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
    with torch.no_grad():
        model.set_attn_implementation("sdpa")
        expected = model(input_ids=ids, attention_mask=mask).logits
        model.set_attn_implementation(PER_TEXT)
        torch.testing.assert_close(model(input_ids=ids, attention_mask=mask).logits, expected, atol=1e-5, rtol=1e-4)
    assert PER_TEXT not in model.config.to_json_string()
