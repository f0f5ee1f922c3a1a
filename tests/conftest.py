"""Small models and folders that many tests share."""

import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, PreTrainedModel, RobertaConfig
from transformers import RobertaForSequenceClassification as RobertaClassifier

SMALL = {
    "num_hidden_layers": 3,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 100,
    "initializer_range": 0.3,  # far from uniform attention, so that selections are clear
    "problem_type": "single_label_classification",
}


def make_host(family: str = "bert", attention: str = "sdpa") -> PreTrainedModel:
    """A small classifier with random weights, in evaluation mode."""
    torch.manual_seed(0)
    if family == "bert":
        return BertForSequenceClassification(
            BertConfig(**SMALL, max_position_embeddings=32, attn_implementation=attention)
        ).eval()
    return RobertaClassifier(RobertaConfig(**SMALL, max_position_embeddings=34, attn_implementation=attention)).eval()


@pytest.fixture
def host() -> PreTrainedModel:
    return make_host()


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    """Four inputs of 16, 9, 3 and 12 word-pieces, padded to 16."""
    generator = torch.Generator().manual_seed(1)
    lengths = torch.tensor([16, 9, 3, 12])
    mask = (torch.arange(16) < lengths[:, None]).long()
    ids = torch.randint(5, 100, (4, 16), generator=generator)
    return {"input_ids": torch.where(mask.bool(), ids, 1), "attention_mask": mask}


@pytest.fixture
def real_data() -> Path:
    """The folder of real data named by POWERBERT_DATA; skips without it."""
    folder = os.environ.get("POWERBERT_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("set POWERBERT_DATA to a folder with glue/cola to run this")
    return Path(folder)
