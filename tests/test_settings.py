"""Settings of parts: which model a folder is, what reaches a target, what a verb answers."""

import json
from dataclasses import replace

import pytest
from hydra import compose, initialize_config_dir

from powerbert_cli.cli import conf_dir
from powerbert_cli.settings import SettingsError
from powerbert_cli.settings.common import Common
from powerbert_cli.settings.rules import Part
from powerbert_cli.settings.typed import from_config
from powerbert_cli.verbs import VERBS, settings_of

TAKE = ("bench", "export", "predict")
START = ("search", "retrain", "compress", "sweep", "study", "check")


def made(verb, *overrides):
    own = ["compress.ffn=0.5"] if verb == "compress" else []
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return from_config(compose(verb, overrides=[*own, *overrides]), settings_of(verb))


def model_dir(folder, retention=None, export=False, weights=True):
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    if weights:
        (folder / "model.safetensors").write_bytes(b"")
    if retention is not None:
        (folder / "retention.json").write_text(json.dumps({"seq_len": 16, "lengths": retention}))
    if export:
        (folder / "export.json").write_text("{}")
    return folder


@pytest.mark.parametrize("verb", [*TAKE, *START])
def test_a_plain_classifier_is_what_stages_start_from(verb, tmp_path):
    settings = made(verb, f"model_dir={model_dir(tmp_path / 'model')}")
    if verb == "predict":
        assert settings.folder == tmp_path / "model"
        return
    assert settings.checkpoint_dir == tmp_path / "model" and settings.shortened_dir is None
    assert settings.start_model.name_or_path == str(tmp_path / "model")


@pytest.mark.parametrize("verb", [*TAKE, *START])
def test_a_shortened_model_is_taken_as_it_is_or_refused(verb, tmp_path):
    given = f"model_dir={model_dir(tmp_path / 'model', [9, 5])}"
    if verb in START:
        with pytest.raises(SettingsError, match="is a shortened model; .* bench"):
            made(verb, given)
    elif verb != "predict":
        settings = made(verb, given)
        assert settings.shortened_dir == tmp_path / "model" and settings.checkpoint_dir is None


def test_a_model_that_keeps_all_word_vectors_is_a_classifier(tmp_path):
    folder = model_dir(tmp_path / "model", [16, 16])
    assert made("retrain", f"model_dir={folder}").checkpoint_dir == folder
    assert made("bench", f"model_dir={folder}").shortened_dir == folder


def test_one_model_for_many_budgets_is_searched_without_training(tmp_path):
    folder = model_dir(tmp_path / "model", [9, 5])
    settings = made("search", f"model_dir={folder}", "searcher=evolutionary", "target.flops=0.5")
    assert settings.checkpoint_dir == folder


@pytest.mark.parametrize("verb", [*TAKE, *START])
@pytest.mark.parametrize("what", ["exported", "nothing", "no folder"])
def test_what_is_no_model_is_refused(verb, what, tmp_path):
    folder = tmp_path / "model"
    if what == "exported":
        model_dir(folder, [9, 5], export=True, weights=False)
    elif what == "nothing":
        folder.mkdir()
    said = "is no model directory"
    if what == "exported":
        takes = verb in ("bench", "predict")
        said = "is not as powerbert export writes it" if takes else "is an exported folder, which its engine loads"
    with pytest.raises(SettingsError, match=said):
        made(verb, f"model_dir={folder}")


def test_bench_removes_nothing_of_a_finished_model(tmp_path):
    with pytest.raises(SettingsError, match="is a finished model, compress"):
        made("bench", f"model_dir={model_dir(tmp_path / 'model', [9, 5])}", "compress.ffn=0.5")


@pytest.mark.parametrize(
    ("verb", "given", "flops"),
    [
        ("compress", ["compress.ffn=null", "target.flops=0.6"], 0.6),
        ("retrain", ["retention=full", "target.flops=0.6"], 0.6),
        ("retrain", ["target.flops=0.6"], None),
        ("search", ["target.flops=0.6"], None),
        ("retrain", ["method=kcm"], 0.6),
        ("retrain", ["method=first", "target.flops=0.5"], 0.5),
    ],
)
def test_what_reaches_a_share_of_the_flops(verb, given, flops):
    settings = made(verb, *given)
    assert settings.compress.flops == flops and (flops is None or settings.removes)
    other = replace(settings, target=replace(settings.target, flops=0.7))
    assert other.compress.flops == (0.7 if flops else None)
    assert settings.compress.flops == flops  # as it was


def test_a_target_that_two_could_reach_is_refused():
    """Word-vectors would reach it, and what the method removes would stay."""
    stack = ["method=kcm", "retention=searched"]
    with pytest.raises(
        SettingsError, match="is reached by word-vectors here, and compress.by=ffn has nothing to reach"
    ):
        made("retrain", *stack)
    settings = made("retrain", *stack, "compress.ffn=0.4")
    assert settings.compress.narrows and settings.compress.flops is None and settings.target.flops == 0.6
    assert made("retrain", "method=first", "retention=searched", "target.flops=0.3").compress.layers == 6
    with pytest.raises(SettingsError, match="compress.by=heads has nothing to reach"):
        made("search", "compress.by=heads", "target.flops=0.5")


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_composed_of_parts_and_builds_on_no_other_verb(verb):
    below = set(settings_of(verb).__mro__[1:])
    assert not below & set(map(settings_of, VERBS))
    if verb != "predict":
        assert Part in below and issubclass(settings_of(verb), Common)
