"""powerbert push: a finished model directory to the hub, with its card. Needs no config."""

from collections.abc import Sequence
from pathlib import Path

from ..errors import PowerbertError
from ..store.task_file import LOCAL

SUMMARY = "a finished model directory to the hub, with its card: push RUN/model OWNER/NAME"
HELP = """powerbert push MODEL_DIR OWNER/NAME [private=true] [revision=BRANCH]

Uploads a finished model directory (RUN/model of finetune, compress, retrain, sweep or export) to the Hugging Face
hub, with its card. It makes the repository if there is none. Read MODEL_DIR/README.md first: readers will see it.
Only what a model is made of goes: safetensors, json, txt, tokenizer models, ONNX and OpenVINO files, README.md.

  private=true     only you and your organisation see a repository that is made (default: true)
  revision=BRANCH  default: main

The token is that of `hf auth login`, or of the environment variable HF_TOKEN.

examples:
  powerbert push outputs/retrain/DAY/TIME/model me/rte-shortened
  powerbert push outputs/retrain/DAY/TIME/model me/rte-shortened private=false
"""
FILES = ["*.safetensors", "*.json", "*.txt", "*.model", "*.onnx", "*.onnx.data", "*.xml", "*.bin", "README.md"]
WEIGHTS = ("*.safetensors", "*.onnx", "*.xml")


def run(args: Sequence[str]) -> str:
    """Uploads; returns the address of the commit.

    Raises:
        PowerbertError: a wrong argument, a folder that holds no model, or what the hub refused.
    """
    options = dict(arg.partition("=")[::2] for arg in args if "=" in arg)
    places = [arg for arg in args if "=" not in arg]
    folder, repo = _places(places)
    for name in options:
        if name not in ("private", "revision"):
            raise PowerbertError(f"unknown key '{name}'; push takes private= and revision=")
    private = options.get("private", "true")
    if private not in ("true", "false"):
        raise PowerbertError(f"private={private} must be true or false")
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    hub = HfApi()
    try:
        hub.create_repo(repo, private=private == "true", exist_ok=True)
        done = hub.upload_folder(
            repo_id=repo,
            folder_path=folder,
            allow_patterns=FILES,
            ignore_patterns=[LOCAL],
            revision=options.get("revision"),
            commit_message=f"powerbert push {folder.name}",
        )
    except LocalTokenNotFoundError as error:
        raise PowerbertError("the hub wants a token: hf auth login, or HF_TOKEN in the environment") from error
    except HFValidationError as error:
        raise PowerbertError(f"{repo}: {str(error).splitlines()[0]}") from error
    except HfHubHTTPError as error:
        raise PowerbertError(f"{repo}: the hub refused: {str(error).splitlines()[0]}") from error
    except ConnectionError as error:
        raise PowerbertError(f"{repo}: the hub cannot be reached: {str(error).splitlines()[0]}") from error
    return str(done.commit_url)


def _places(places: Sequence[str]) -> tuple[Path, str]:
    if len(places) != 2:
        raise PowerbertError("push needs a model directory and a repository: powerbert push RUN/model OWNER/NAME")
    folder, repo = Path(places[0]), places[1]
    if not (folder / "config.json").is_file() or not any(any(folder.glob(kind)) for kind in WEIGHTS):
        raise PowerbertError(f"{folder}: holds no model; give the folder with config.json and weights, as RUN/model")
    if not (folder / "README.md").is_file():
        raise PowerbertError(f"{folder}: has no README.md, its card; the verbs write one beside the weights")
    if repo.count("/") != 1:
        raise PowerbertError(f"{repo}: a repository is OWNER/NAME")
    return folder, repo
