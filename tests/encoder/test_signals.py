"""Models of pictures and of sound: what they are called with, and that the rest holds of them as of texts."""

import pytest
import torch
from hosts import SIGNALS, described, make_host, make_signal_host

from powerbert_cli.captured.model import CapturedModel, NotCaptured
from powerbert_cli.encoder.families import known_purpose, purpose_of, sizes_in, usable_positions
from powerbert_cli.encoder.family import HEARS, SEES, SPELLS, UnsupportedModelError
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.encoder.sound_hosts import convolutions_of, frames_of, samples_for
from powerbert_cli.native.library import NoLibrary
from powerbert_cli.native.model import NativeModel

SAMPLES = (400, 300, 333, 90)
N = 24


def batch_for(host, order=(0, 1, 2, 3)):
    generator = torch.Generator().manual_seed(3)
    if host.config.model_type in ("vit", "deit"):
        return {"pixel_values": torch.randn(4, 3, 16, 16, generator=generator)[list(order)]}
    mask = (torch.arange(400) < torch.tensor(SAMPLES)[:, None]).long()
    sound = torch.randn(4, 400, generator=generator) * mask
    return {"input_values": sound[list(order)], "attention_mask": mask[list(order)]}


def alone(given, i):
    mask = given.get("attention_mask")
    name = next(iter(given))
    return {name: given[name][i : i + 1] if mask is None else given[name][i : i + 1, : int(mask[i].sum())]}


def real(logits, host, given):
    """Of letters the frames that are no padding."""
    if logits.dim() < 3:
        return logits
    sizes = sizes_in(host.config, given)
    return logits[torch.arange(logits.shape[1]) < sizes[:, None]]


@pytest.mark.parametrize("name", SIGNALS)
@torch.no_grad()
def test_with_nothing_dropped_it_is_transformers_own(name):
    host = make_signal_host(name)
    model = ShortenedModel(host, described(None, N)).eval()
    for order in ((0, 1, 2, 3), (3, 1, 0, 2)):
        given = batch_for(host, order)
        found, expected = model(**given).logits, host(**given).logits
        assert found.shape == expected.shape
        assert torch.allclose(real(found, host, given), real(expected, host, given), atol=1e-5)
    one = host(**alone(given, 0)).logits
    assert torch.allclose(model(**alone(given, 0)).logits, one, atol=1e-5)


@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize("strategy", ["attention", "head", "merge", "threshold"])
@torch.no_grad()
def test_an_answer_is_the_same_alone_and_among_others(name, strategy):
    host = make_signal_host(name)
    keys = {"thresholds": (0.5, 0.8, 0.9)} if strategy == "threshold" else {"lengths": (12, 8, 3)}
    if strategy == "merge" and name.endswith("letters"):
        return
    lengths = keys.pop("lengths", None)
    model = ShortenedModel(host, described(lengths, N, strategy, **keys)).eval()
    given = batch_for(host)
    together, sizes = model(**given).logits, sizes_in(host.config, given)
    for i in range(4):
        found = model(**alone(given, i)).logits[0]
        own = together[i, : sizes[i]] if together.dim() == 3 else together[i]
        assert torch.allclose(found, own, atol=1e-5)


@pytest.mark.parametrize("name", ["vit", "wav2vec2, norms lead"])
@torch.no_grad()
def test_elimination_is_masking(name):
    """What was dropped is no key any more: as if attention were forbidden from there on."""
    host = make_signal_host(name)
    model = ShortenedModel(host, described((9, 5, 2), N)).eval()
    given = alone(batch_for(host), 0)
    kept = model.kept_positions(**given)
    table, _ = model.signalled(next(iter(given.values())), None)
    gone = torch.ones(table.shape[1], dtype=torch.bool)
    x, states = table, table.clone()
    for block, left in zip(model.blocks(), kept, strict=True):
        q, k, v = (block.project(x[0], None)[:, i].transpose(0, 1) for i in range(3))
        scores = (q @ k.mT * block.head_size**-0.5).masked_fill(~gone, float("-inf"))
        context = (scores.softmax(dim=-1) @ v).transpose(0, 1).flatten(1)
        x = block.feed_forward(block.join(context, x[0], False), False).unsqueeze(0)
        gone = torch.zeros_like(gone)
        gone[left[0]] = True
        states[:, gone] = x[:, gone]
    expected = model.logits_of(x[:, :1] if model.reads_first else states, None)
    assert torch.allclose(model(**given).logits, expected, atol=1e-5)


@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize("lengths", [None, (12, 8, 3)])
@torch.no_grad()
def test_the_native_engine_answers_alike(name, lengths):
    host = make_signal_host(name)
    model = ShortenedModel(host, described(lengths, N)).eval()
    try:
        native = NativeModel(model)
    except NoLibrary as error:
        pytest.skip(str(error))
    given = batch_for(host, (3, 0, 2, 1))
    assert torch.allclose(native(**given).logits, model(**given).logits, atol=1e-4)


def test_the_loss_of_letters_is_transformers_own_whatever_is_padded():
    host = make_signal_host("wav2vec2, letters")
    given, labels = batch_for(host), torch.tensor([[3, 4, 5], [6, -100, -100], [2, 2, -100], [7, 1, -100]])
    found = ShortenedModel(host, described(None, N)).eval()(**given, labels=labels).loss
    assert torch.isfinite(found)
    assert float(found.detach()) == pytest.approx(float(host(**given, labels=labels).loss.detach()), rel=1e-5)
    blank = ShortenedModel(host, described(None, N)).eval()(**given).logits[3].argmax(dim=-1)
    assert (blank[sizes_in(host.config, given)[3] :] == host.config.pad_token_id).all()


@pytest.mark.parametrize("name", ["vit", "wav2vec2, letters"])
def test_gradients_reach_what_makes_word_vectors(name):
    host = make_signal_host(name).train()
    model = ShortenedModel(host, described((12, 8, 3), N)).train()
    labels = torch.tensor([[3, 4]] * 4) if "letters" in name else torch.tensor([0, 1, 1, 0])
    model(**batch_for(host), labels=labels).loss.backward()
    without = [name for name, one in host.named_parameters() if one.grad is None and "masked_spec" not in name]
    assert without == []


def test_what_they_are_for_and_how_long_inputs_are():
    named = {"vit": SEES, "deit": SEES, "wav2vec2": HEARS, "wav2vec2, letters": SPELLS, "hubert, letters": SPELLS}
    for name, purpose in named.items():
        host = make_signal_host(name)
        host.config.architectures = [type(host).__name__]  # as a saved model has it
        assert purpose_of(host.config) == purpose
    assert purpose_of(make_host().config) == "ForSequenceClassification" and known_purpose(make_host().config) is None
    assert usable_positions(make_signal_host("vit").config) == 17
    assert usable_positions(make_signal_host("deit").config) == 18
    host = make_signal_host("wav2vec2")
    given = batch_for(host)
    frames = host.wav2vec2.feature_extractor(given["input_values"][:1, :333]).shape[-1]
    assert frames_of(host.config, given["input_values"][:, :333], None)[0] == frames
    assert frames_of(host.config, torch.zeros(1, samples_for(convolutions_of(host.config), 7)), None)[0] == 7
    assert frames_of(host.config, torch.zeros(1, samples_for(convolutions_of(host.config), 7) - 1), None)[0] == 6


def test_what_is_wrong_is_said():
    host = make_signal_host("vit")
    model = ShortenedModel(host, described(None, N)).eval()
    with pytest.raises(ValueError, match="called with pixel_values, and was given input_values"):
        model(input_values=torch.zeros(1, 400))
    with pytest.raises(ValueError, match="called with pixel_values, and was given nothing"):
        model()
    with pytest.raises(ValueError, match="called with input_ids, and was given pixel_values"):
        ShortenedModel(make_host(), described(None, 16)).eval()(pixel_values=torch.zeros(1, 3, 16, 16))
    sound = make_signal_host("wav2vec2")
    with pytest.raises(ValueError, match="input_values: 18 frames exceed ℓ=8 of this model"):
        ShortenedModel(sound, described(None, 8)).eval()(**batch_for(sound))
    left = batch_for(sound)
    with pytest.raises(ValueError, match="begins with padding"):
        ShortenedModel(sound, described(None, N)).eval()(left["input_values"], left["attention_mask"].flip(1))
    with pytest.raises(NotCaptured, match="its passes take word-pieces, the model pixel_values"):
        CapturedModel(model)
    weighs = make_signal_host("wav2vec2", use_weighted_layer_sum=True)
    with pytest.raises(UnsupportedModelError, match="use_weighted_layer_sum=True"):
        ShortenedModel(weighs, described(None, N))
