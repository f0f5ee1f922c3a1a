"""Small models and batches that tests of captured passes share."""

import torch
from hosts import described, make_host

from powerbert_cli.encoder.shortened import ShortenedModel

ORDER = (0, 9, 4, 2, 14, 7, 1, 12, 5, 3, 15, 8, 6, 11, 10, 13)
HOW = {
    "all": described(None, 16),
    "absolute": described((9, 5, 2), 16),
    "relative": described(None, 16, kind="relative", fractions=(0.7, 0.5, 0.2)),
    "threshold": described(None, 16, "threshold", (0.6, 0.8, 0.9)),
    "head": described((9, 5, 2), 16, "head"),
    "random": described((9, 5, 2), 16, "random", random_order=ORDER),
    "separators": described((9, 5, 2), 16, protected_tokens=(7, 8, 20)),
    "no-diagonal": described((9, 5, 2), 16, diagonal=False),
    "unprotected": described((9, 5, 2), 16, protected=0),
}


def batch_of(lengths, seed=0, types=False):
    generator = torch.Generator().manual_seed(seed)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    ids = torch.where(mask.bool(), torch.randint(5, 90, mask.shape, generator=generator), 1)
    more = {"token_type_ids": torch.randint(0, 2, ids.shape, generator=generator) * mask} if types else {}
    return {"input_ids": ids, "attention_mask": mask, **more}


def ours(host=None, how="absolute"):
    return ShortenedModel(host or make_host(), HOW[how]).eval()


@torch.no_grad()
def expected(model, batch):
    return model(**batch).logits
