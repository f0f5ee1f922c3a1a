"""The code in the README of an exported folder."""

import numpy as np
import pytest
import torch
from hosts import make_host, make_signal_host, ours
from transformers import Wav2Vec2FeatureExtractor

from powerbert_cli.report.card import code_of_inputs
from powerbert_cli.tasks.tokenizing import build_tokenizer


@pytest.mark.parametrize(("norm", "ends"), [("layer", [100, 60]), ("group", [100, 100])])
def test_a_model_that_was_trained_without_a_mask_is_given_none_of_padding(norm, ends):
    config = make_signal_host("wav2vec2", feat_extract_norm=norm).config
    clips = [np.ones(100, np.float32), np.ones(60, np.float32)]
    given = {"extractor": Wav2Vec2FeatureExtractor(return_attention_mask=norm == "layer"), "clips": clips}
    exec(code_of_inputs(config, "np", 9)["batch"], given)
    assert given["batch"]["attention_mask"].sum(axis=1).tolist() == ends


def test_the_choices_of_a_question_are_one_input():
    host = make_host(choice=True)
    host.config.architectures = [type(host).__name__]
    texts = ["a b", "c d e"]
    given = {"tokenizer": build_tokenizer(texts, 100), "texts": texts}
    exec(code_of_inputs(host.config, "pt", 9)["batch"], given)
    with torch.no_grad():
        assert ours(host)(**given["batch"]).logits.shape == (1, 2)
