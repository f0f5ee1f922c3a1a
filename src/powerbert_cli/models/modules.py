"""Files of sentence-transformers that say of which modules a model is."""

import json
from pathlib import Path
from typing import Any

from .weights import ModelError

MODULES = "modules.json"


def modules_in(path: Path) -> list[dict[str, Any]]:
    """
    Raises:
        ModelError: it is no modules.json.
    """
    found = read_json(path)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ModelError(f"{path}: is no list of modules, as sentence-transformers writes it")
    return found


def read_json(path: Path) -> Any:
    """
    Raises:
        ModelError: it cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read: {error}; take the folder from where it was made again") from error


def module_of(number: int, path: str, of: str) -> dict[str, Any]:
    """An entry of modules.json."""
    return {"idx": number, "name": str(number), "path": path, "type": of}
