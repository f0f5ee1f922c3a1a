"""Self-attention in a file that is written for other engines (ONNX).

Legend: T rows, T' those that go on, B inputs, b inputs of a group, n word-vectors, K kept, H heads, D hidden, A
numbers of all heads together.
"""

import torch
from torch import Tensor

from ..method.elimination import ByAttention
from .block import Block
from .rows import Pick, Rows, bias_of, go_on


def export_serves(block: Block, rows: Rows, ranking: ByAttention, merges: bool) -> bool:
    """Whether a file is being written whose padding repeats word-vectors, and significance is as usual."""
    repeats = torch.compiler.is_exporting() and rows.packing.source is not None
    usual = rows.log_survival is None and rows.weights is None and ranking.diagonal
    return repeats and block.heads > 0 and usual and not merges


def attend_exported(block: Block, rows: Rows, pick: Pick, training: bool) -> Rows:
    """`attend` in a file.

    Its engines know softmax between two products, with or without a mask, as one operator; where significance reads
    the weights too, they write them to memory, and each further operator on them costs about as much as the products.
    No mask is added there: padding repeats the last word-vector of its input, so that the share of real keys in a row
    of weights is never small, and what was weighed by all keys is divided by it.
    """
    packing, (group,) = rows.packing, rows.packing.groups
    assert group.mask is not None
    each = (packing.pad(one) for one in block.project_apart(rows.vectors, rows.positions))
    q, k, v = (group.table(one).transpose(1, 2) for one in each)  # (b, H, n, A/H)
    scores, bias = torch.matmul(q, k.mT) * q.shape[-1] ** -0.5, bias_of(block, rows, group)
    scores = scores if bias is None else scores + bias
    weights, real = scores.softmax(dim=-1), group.mask[:, None, :, None].to(v.dtype)
    of_real = torch.cat((v * real, real.expand(-1, v.shape[1], -1, -1)), dim=-1)
    context = torch.bmm(weights.flatten(0, 1), of_real.flatten(0, 1)).unflatten(0, (-1, v.shape[1]))

    def significance_by_share() -> Tensor:
        counts = (real / context[..., -1:]).flatten(1, 2).mT  # (b, 1, H·n)
        return torch.bmm(counts, weights.flatten(1, 2)).squeeze(1)

    kept = pick(group, significance_by_share)
    if kept is None:
        mask = (1 - real.mT) * torch.finfo(v.dtype).min
        context = torch.matmul((scores + mask).softmax(dim=-1), v).transpose(1, 2).flatten(2)
        with_all = block.join(packing.unpad(context.flatten(0, 1)), rows.vectors, training)
        return rows._replace(vectors=with_all)
    begins = torch.arange(group.count, device=v.device).unsqueeze(-1) * group.length
    taken = context.transpose(1, 2).flatten(0, 1).index_select(0, (begins + kept.places).flatten())
    return go_on(block, rows, [kept], (taken[..., :-1] / taken[..., -1:]).flatten(1), training)
