"""Small classifiers with random weights that many tests share."""

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
