from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import BertConfig, ModernBertConfig
from transformers.masking_utils import AttentionMaskInterface, causal_mask_function, sliding_window_overlay

from families import FAMILIES, write_family
from understudy.models.attention import PER_TEXT, FastDropout, attend, fast_dropout, supports_per_text
from understudy.models.loading import load_classifier

TEXTS, HEADS, TOKENS, WIDTH = 3, 4, 9, 8
LENGTHS = [9, 5, 1]
MODULE = nn.Module()
TAKERS = [family for family in FAMILIES if family not in ("mpnet", "deberta-v2")]
IDS = torch.tensor([[5, 6, 7, 8, 9, 10], [11, 12, 13, 14, 2, 2]])
MASK = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])


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


def test_a_text_without_tokens_gives_zeros() -> None:
    q, k, v = inputs = heads()
    mask = padding([9, 0, 1])
    output, _ = attend(MODULE, q, k, v, mask)
    assert not output[1].any() and torch.isfinite(output).all()
    assert all(torch.isfinite(gradient).all() for gradient in gradients(output, inputs, torch.ones_like(output)))


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_gradients_are_those_of_finite_differences(dropout: float) -> None:
    def seeded(*inputs: Tensor) -> Tensor:
        torch.manual_seed(5)
        return attend(MODULE, *inputs, padding(), dropout=dropout)[0]  # type: ignore[arg-type]

    assert torch.autograd.gradcheck(seeded, heads(torch.float64), fast_mode=True)


def test_a_mask_that_is_not_of_padding_is_refused() -> None:
    q, k, v = heads()
    with pytest.raises(ValueError, match="per_text attention takes a mask of shape"):
        attend(MODULE, q, k, v, torch.ones(TEXTS, 1, TOKENS, TOKENS))


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


def test_fast_dropout_of_what_does_not_lie_in_a_row() -> None:
    def seeded(hidden: Tensor) -> Tensor:
        torch.manual_seed(5)
        return FastDropout(0.5)(hidden.transpose(0, 1))

    hidden = torch.randn(7, 5, dtype=torch.float64, requires_grad=True)
    output = seeded(hidden)
    torch.testing.assert_close(output[output != 0], 2 * hidden.transpose(0, 1)[output != 0])
    assert torch.autograd.gradcheck(seeded, hidden)


def test_fast_dropout_of_everything() -> None:
    assert not FastDropout(1.0)(torch.ones(50)).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_and_padding_together(dtype: torch.dtype) -> None:
    """Behind the identity as values stand the weights: none at padding, in the others' sum about one a row."""
    q, k, _ = heads(dtype, width=TOKENS)
    identity = torch.eye(TOKENS, dtype=dtype).expand(TEXTS, HEADS, TOKENS, TOKENS)
    sums = []
    for seed in range(200):
        torch.manual_seed(seed)
        output, _ = attend(MODULE, q.detach(), k.detach(), identity, padding([9, 5, 2]), scaling=0.1, dropout=0.25)
        assert not output[1, :, :, 5:].any() and not output[1, 5:].any()
        sums.append(output.float().sum(dim=-1))
    mean = torch.stack(sums).mean(dim=0)
    real = padding([9, 5, 2]).bool()
    torch.testing.assert_close(mean[real], torch.ones_like(mean[real]), atol=0.2, rtol=0)


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


def family_model(family: str, folder: Path, **options: Any) -> Any:
    return load_classifier(write_family(folder / "model", family, ["a", "b", "c"], layers=2, **options))


@pytest.mark.parametrize("family", FAMILIES)
def test_which_families_take_it(family: str, tmp_path: Path) -> None:
    assert supports_per_text(family_model(family, tmp_path).config) == (family in TAKERS)


@pytest.mark.parametrize("family", TAKERS)
def test_they_answer_and_learn_as_before(family: str, tmp_path: Path) -> None:
    model = family_model(family, tmp_path)
    found: dict[str, list[Tensor]] = {}
    for kernel in ("sdpa", PER_TEXT):
        model.zero_grad()
        model.set_attn_implementation(kernel)
        logits = model(input_ids=IDS, attention_mask=MASK).logits
        F.cross_entropy(logits, torch.tensor([0, 2])).backward()
        found[kernel] = [logits.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)]
    assert len(found["sdpa"]) > 10
    for mine, theirs in zip(found[PER_TEXT], found["sdpa"], strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("family", TAKERS)
def test_they_learn_in_bf16_with_dropout(family: str, tmp_path: Path) -> None:
    model = family_model(family, tmp_path).train()
    model.set_attn_implementation(PER_TEXT)
    with fast_dropout(model), torch.autocast("cpu", torch.bfloat16):
        logits = model(input_ids=IDS, attention_mask=MASK).logits
        F.cross_entropy(logits.float(), torch.tensor([0, 2])).backward()
    trained = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert len(trained) > 10
    assert all(gradient.dtype == torch.float32 and torch.isfinite(gradient).all() for gradient in trained)


@pytest.mark.parametrize("config", [ModernBertConfig(), BertConfig(is_decoder=True)], ids=["windows", "causal"])
def test_models_with_windows_or_causal_masks_do_not_take_it(config: Any) -> None:
    assert not supports_per_text(config)


@pytest.mark.parametrize("mask", [sliding_window_overlay(2), causal_mask_function], ids=["windows", "causal"])
def test_windows_and_causal_masks_are_refused(mask: Any) -> None:
    with pytest.raises(ValueError, match="per_text attention is bidirectional and has no windows"):
        AttentionMaskInterface()[PER_TEXT](mask_function=mask, attention_mask=MASK)
