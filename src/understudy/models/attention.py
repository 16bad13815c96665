"""Fast self-attention and dropout for CPUs.

On CPUs PyTorch's fused kernel has a slow backward pass. Its plain one writes the scores of a whole batch to memory
several times, in fp32, and its dropout masks come from a slow generator. Here attention is computed one text at a time,
within the text's own length, so that the scores stay in the processor's cache. Masks come from NumPy's SFC64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, bidirectional_mask_function

PER_TEXT = "per_text"

_LEVELS = 2**16
_FAMILIES = {"bert", "roberta", "xlm-roberta", "electra", "distilbert"}
_SAME_SIZE = {
    torch.bfloat16: torch.int16,
    torch.float16: torch.int16,
    torch.float32: torch.int32,
    torch.float64: torch.int64,
}


# transformers' attention interface, not ours, gives the seven arguments and their names.
def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, None]:
    """Bidirectional self-attention, as a function for transformers' `AttentionInterface`.

    Args:
        module: Not used.
        query: Shape (texts, heads, tokens, width).
        key: As `query`.
        value: As `query`.
        attention_mask: Nonzero for tokens, zero for padding at the end, shape (texts, tokens); None without padding.
        scaling: Factor of the scores; 1 / sqrt(width) by default.
        dropout: Probability of dropping an attention weight.

    Returns:
        The output, shape (texts, tokens, heads, width), zero at padding, and None in place of the weights.

    Raises:
        ValueError: The mask is not a padding mask.
    """
    if attention_mask is not None and attention_mask.dim() != 2:
        raise ValueError(f"{PER_TEXT} attention takes a mask of shape (texts, tokens), got {attention_mask.shape}")
    texts, _heads, tokens, width = query.shape
    lengths = [tokens] * texts if attention_mask is None else attention_mask.sum(dim=-1).int().tolist()
    scale = width**-0.5 if scaling is None else scaling
    compute: Callable[[Tensor, Tensor, Tensor, _Settings], Tensor] = _Attention.apply
    return compute(query, key, value, _Settings(lengths, scale, dropout)), None


@dataclass(frozen=True)
class _Settings:
    """What attention needs besides its tensors.

    Attributes:
        lengths: Tokens of each text, without padding.
        scale: Factor of the scores.
        dropout: Probability of dropping an attention weight.
    """

    lengths: list[int]
    scale: float
    dropout: float


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, settings: _Settings) -> Tensor:
        texts, heads, tokens, width = query.shape
        draw = _Masks(settings.dropout) if settings.dropout else None
        output = query.new_zeros(texts, tokens, heads, width)
        training = any(ctx.needs_input_grad[:3])
        weights, masks = [], []
        for text, length in enumerate(settings.lengths):
            q, k, v = (each[text, :, :length] for each in (query, key, value))
            scores = torch.baddbmm(q.new_empty(()), q, k.transpose(1, 2), beta=0, alpha=settings.scale)
            dropped = weight = torch.softmax(scores, dim=-1)
            if training:
                weights.append(weight)
            if draw is not None:
                masks.append(draw(scores.shape))
                dropped, v = _masked(weight, masks[-1]), v * draw.scale
            output[text, :length] = torch.bmm(dropped, v).transpose(0, 1)
        ctx.save_for_backward(query, key, value, *weights, *masks)
        ctx.settings, ctx.dropout_scale = settings, draw.scale if draw is not None else None
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, *saved = ctx.saved_tensors
        lengths: list[int] = ctx.settings.lengths
        weights, masks = saved[: len(lengths)], saved[len(lengths) :]
        to_query, to_key, to_value = (_zeros_like(each) for each in (query, key, value))
        for text, (length, weight) in enumerate(zip(lengths, weights, strict=True)):
            q, k, v = (each[text, :, :length] for each in (query, key, value))
            outer = gradient[text, :length].transpose(0, 1)
            dropped = weight
            if masks:
                dropped, outer = _masked(weight, masks[text]), outer * ctx.dropout_scale
            to_weight = torch.bmm(outer, v.transpose(1, 2))
            if masks:
                to_weight = _masked(to_weight, masks[text])
            to_value[text, :, :length] = torch.bmm(dropped.transpose(1, 2), outer)
            to_scores = torch.ops.aten._softmax_backward_data(to_weight, weight, -1, weight.dtype)
            to_scores.mul_(ctx.settings.scale)
            to_query[text, :, :length] = torch.bmm(to_scores, k)
            to_key[text, :, :length] = torch.bmm(to_scores.transpose(1, 2), q)
        return to_query, to_key, to_value, None


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, probability: float) -> Tensor:
        draw = _Masks(probability)
        mask = draw(hidden.shape)
        ctx.save_for_backward(mask)
        ctx.scale = draw.scale
        return _masked(hidden, mask).mul_(draw.scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        return _masked(gradient, mask).mul_(ctx.scale), None


class FastDropout(nn.Dropout):
    """`torch.nn.Dropout` with masks from a faster generator; probabilities are multiples of 1/65536."""

    def forward(self, input: Tensor) -> Tensor:
        compute: Callable[[Tensor, float], Tensor] = _Dropout.apply
        return compute(input, self.p) if self.training and self.p else input


class _Masks:
    """Draws dropout masks; the seed comes from PyTorch's generator, whose state is in the checkpoints."""

    def __init__(self, probability: float) -> None:
        self._generator = np.random.SFC64(int(torch.randint(2**62, ())))
        self._threshold = round(probability * _LEVELS)
        self.scale = _LEVELS / max(1, _LEVELS - self._threshold)

    def __call__(self, shape: torch.Size) -> Tensor:
        """A mask of this shape, int8; 1 for values to keep."""
        count = math.prod(shape)
        bits = self._generator.random_raw(-(-count // 4)).view(np.uint16)[:count]
        return torch.from_numpy((bits >= self._threshold).view(np.int8)).view(shape)


def _masked(values: Tensor, mask: Tensor) -> Tensor:
    """`values * mask`, bitwise, because PyTorch takes twenty times as long to multiply by a mask of another type."""
    integers = _SAME_SIZE[values.dtype]
    return (values.view(integers) & mask.to(integers).neg_()).view(values.dtype)


def _zeros_like(heads: Tensor) -> Tensor:
    """Zeros like `heads`, shape (texts, heads, tokens, width), in the memory layout of the linear layer's output."""
    texts, count, tokens, width = heads.shape
    return heads.new_zeros(texts, tokens, count, width).transpose(1, 2)


def supports_per_text(config: Any) -> bool:
    """Whether the model's family is one that the tests cover; other families may have windows or causal masks."""
    return config.model_type in _FAMILIES and not getattr(config, "is_decoder", False)


@contextmanager
def fast_dropout(model: nn.Module) -> Iterator[None]:
    """Makes all of a model's dropout layers `FastDropout` within the block."""
    layers = [module for module in model.modules() if type(module) is nn.Dropout]
    for layer in layers:
        layer.__class__ = FastDropout
    try:
        yield
    finally:
        for layer in layers:
            layer.__class__ = nn.Dropout


def _whole_mask(*, mask_function: Any, attention_mask: Tensor | None = None, **_: Any) -> Tensor | None:
    """Keeps the mask as it is; transformers would expand it to shape (texts, 1, tokens, tokens)."""
    if mask_function is not bidirectional_mask_function:
        raise ValueError(f"{PER_TEXT} attention is bidirectional and has no windows; choose sdpa or eager.")
    return attention_mask


AttentionInterface.register(PER_TEXT, attend)
AttentionMaskInterface.register(PER_TEXT, _whole_mask)
