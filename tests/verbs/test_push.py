"""powerbert push, against a stub of the hub's client."""

from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalTokenNotFoundError

from powerbert_cli.cli import dispatch


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "README.md", "notes.log", "task.json", "task.local.json"):
        (folder / name).write_text("{}")
    return folder


@pytest.fixture
def calls(monkeypatch):
    made = []

    class Hub:
        def create_repo(self, repo, **options):
            made.append(("create", repo, options))

        def upload_folder(self, **options):
            made.append(("upload", options))
            return SimpleNamespace(commit_url="https://hub/me/name/commit/1")

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    return made


def test_a_model_goes_up_with_its_card_and_private(model, calls, capsys):
    assert dispatch(["push", str(model), "me/name"]) == 0
    assert "https://hub/me/name/commit/1" in capsys.readouterr().out
    (_, repo, options), (_, upload) = calls
    assert repo == "me/name" and options == {"private": True, "exist_ok": True}
    assert upload["repo_id"] == "me/name" and upload["folder_path"] == model
    found = {path.name for pattern in upload["allow_patterns"] for path in model.glob(pattern)}
    found -= {path.name for pattern in upload["ignore_patterns"] for path in model.glob(pattern)}
    assert found == {"config.json", "model.safetensors", "README.md", "task.json"}  # folders of this machine stay here


def test_it_is_public_only_when_told(model, calls):
    assert dispatch(["push", str(model), "me/name", "private=false", "revision=next"]) == 0
    assert calls[0][2]["private"] is False and calls[1][1]["revision"] == "next"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "needs a model directory and a repository"),
        (["{tmp}", "me/name"], "holds no model"),
        (["{model}", "name"], "a repository is OWNER/NAME"),
        (["{model}", "me/name", "privat=true"], "unknown key 'privat'"),
        (["{model}", "me/name", "private=maybe"], "private=maybe must be true or false"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_sent(args, said, model, calls, capsys):
    args = [arg.format(tmp=model.parent, model=model) for arg in args]
    assert dispatch(["push", *args]) == 2
    assert said in capsys.readouterr().err and not calls


def test_a_model_without_a_card_stays_here(model, calls, capsys):
    (model / "README.md").unlink()
    assert dispatch(["push", str(model), "me/name"]) == 2
    assert "has no README.md" in capsys.readouterr().err and not calls


def test_no_token(model, monkeypatch, capsys):
    class Hub:
        def create_repo(self, repo, **options):
            raise LocalTokenNotFoundError("no token")

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    assert dispatch(["push", str(model), "me/name"]) == 2
    assert "hf auth login" in capsys.readouterr().err
    assert dispatch(["push", "--help"]) == 0


def test_offline_is_no_traceback(model, monkeypatch, capsys):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    assert dispatch(["push", str(model), "me/name"]) == 2
    assert "cannot be reached" in capsys.readouterr().err
