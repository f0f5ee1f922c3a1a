"""The answers on dev of each way to run a model, beside those of the same model in float32."""

from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import torch
from hosts import make_signal_host, ours
from transformers import Wav2Vec2FeatureExtractor

from powerbert_cli.encoder.sound_hosts import convolutions_of
from powerbert_cli.kinds.audio_classification import AudioClassification
from powerbert_cli.kinds.sounds import wav_of
from powerbert_cli.models.sound_processors import Sounds
from powerbert_cli.recipes.answered import Answered


@pytest.mark.parametrize("norm", ["layer", "group"])
@torch.no_grad()
def test_an_engine_that_compiles_is_compared_on_clips_of_the_same_padding(norm):
    """A model without a mask takes padding for silence: by other padding it answers otherwise in any engine."""
    host = make_signal_host("wav2vec2", feat_extract_norm=norm)
    made = Sounds(Wav2Vec2FeatureExtractor(return_attention_mask=norm == "layer"), None, convolutions_of(host.config))
    noise, rows = np.random.default_rng(0), []
    for label, samples in enumerate((300, 220)):
        clip = wav_of(0.3 * noise.standard_normal(samples), made.rate)
        rows.append({"audio": clip, "samples": samples, "length": made.frames(samples), "labels": label})
    model, kind = ours(host), AudioClassification(["low", "high"], "accuracy")
    material = SimpleNamespace(
        dev=datasets.Dataset.from_list(rows),
        kind=kind,
        collator=lambda padding: kind.collator(made, padding="max_length", max_length=16),
    )
    settings = SimpleNamespace(batch_size=1, bench=SimpleNamespace(accuracy=True))
    job = SimpleNamespace(context=SimpleNamespace(device="cpu", material=material), settings=settings)
    itself = {"model": "shortened", "engine": "compile", "precision": "fp32", "answer": None}
    contender = SimpleNamespace(**itself, run=lambda **batch: model(**batch).logits)
    (found,) = Answered(job, {"shortened": model}).all([contender], 16, lambda *told: None)
    assert found["logits_differ"] < 1e-5 and found["answers_differ"] == 0
