"""Formats of data files by their names; imports nothing heavy, so that settings are checked at once."""

from pathlib import Path

FORMATS = ("tsv", "csv", "jsonl", "json", "parquet", "conll")
PACKED = (".gz", ".bz2", ".xz")
_ALIASES = {"ndjson": "jsonl", "pq": "parquet", "tab": "tsv", "bio": "conll", "iob": "conll", "iob2": "conll"}
UNREAD = ("zip", "7z", "rar", "zst", "tar", "tgz", "xls", "xlsx", "ods", "arrow", "feather", "pkl")


def parts_of(name: str) -> tuple[str, str, str]:
    """Train.CSV.gz → train, csv, .gz"""
    name = name.lower()
    packed = next((ending for ending in PACKED if name.endswith(ending)), "")
    path = Path(name.removesuffix(packed))
    ending = path.suffix.lstrip(".")
    return path.stem, _ALIASES.get(ending, ending), packed


def format_of(name: str) -> str | None:
    """One of FORMATS, by a file's ending whatever its case; None of all others."""
    _, ending, _ = parts_of(name)
    return ending if ending in FORMATS else None
