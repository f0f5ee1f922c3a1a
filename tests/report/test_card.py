"""The code in the README of an exported folder."""

import numpy as np
import pytest
from hosts import make_signal_host
from transformers import Wav2Vec2FeatureExtractor

from powerbert_cli.report.card import code_of_inputs


@pytest.mark.parametrize(("norm", "ends"), [("layer", [100, 60]), ("group", [100, 100])])
def test_a_model_that_was_trained_without_a_mask_is_given_none_of_padding(norm, ends):
    config = make_signal_host("wav2vec2", feat_extract_norm=norm).config
    clips = [np.ones(100, np.float32), np.ones(60, np.float32)]
    given = {"extractor": Wav2Vec2FeatureExtractor(return_attention_mask=norm == "layer"), "clips": clips}
    exec(code_of_inputs(config, "np", 9)["batch"], given)
    assert given["batch"]["attention_mask"].sum(axis=1).tolist() == ends
