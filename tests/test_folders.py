"""Model directories that keys name: on this machine, or on the hub."""

import huggingface_hub.constants
import pytest

from powerbert_cli.errors import PowerbertError
from powerbert_cli.settings.folders import folder_of, model_folder


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A cache with me/classifier, and no network."""
    snapshot = tmp_path / "models--me--classifier" / "snapshots" / "abc123"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("abc123")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return snapshot


def test_a_name_on_the_hub_is_its_copy_in_the_cache(hub):
    assert folder_of("me/classifier") == hub
    assert model_folder("me/classifier") == hub


def test_a_folder_goes_before_a_name(hub, tmp_path):
    (tmp_path / "me" / "classifier").mkdir(parents=True)
    assert folder_of("me/classifier").resolve() == tmp_path / "me" / "classifier"


def test_what_the_hub_does_not_give_is_said_in_a_line(hub):
    with pytest.raises(PowerbertError, match="me/other: is no folder here, and the hub does not give it") as caught:
        folder_of("me/other")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["nowhere", "./me/classifier", "/me/classifier", "~/me", "a/b/c", ""])
def test_what_can_be_no_name_on_the_hub(hub, name):
    assert folder_of(name) is None or name == ""
    with pytest.raises(PowerbertError, match="is no model directory"):
        model_folder(name or "none")
