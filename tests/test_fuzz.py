"""Bad input of all kinds: each is refused with an error of ours, and none is accepted.

The slow run takes 10,000 of them: python -m pytest -m slow tests/test_fuzz.py
"""

import json
import math

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from omegaconf.errors import OmegaConfBaseException

from powerbert_cli.cli import conf_dir
from powerbert_cli.errors import PowerbertError
from powerbert_cli.method.retention import RetentionError, check_fractions, check_lengths, check_thresholds
from powerbert_cli.settings.typed import from_config
from powerbert_cli.store.retention_file import RetentionFileError, read
from powerbert_cli.tasks.files import columns_in
from powerbert_cli.tasks.reading import rows_of
from powerbert_cli.tasks.rows import DataError
from powerbert_cli.usage import groups, keys_of
from powerbert_cli.verbs import settings_of

ANY = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.integers(), max_size=2)
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
GOOD = {
    "schema": "powerbert/retention", "version": 1, "lengths": [8, 5, 2], "seq_len": 16, "strategy": "attention",
    "thresholds": None, "protected": 1, "protected_tokens": [], "random_order": None, "diagonal": True,
    "pad_queries": False, "kind": "absolute", "fractions": None,
}  # fmt: skip
WRONG = ["[", "{a", "${nope}", "'", "a=b=c(", "{a:1}", "!!python/x", "[[1]]"]
# keys whose value may be any text or mapping
FREE = {"task.published", "model.config"}


QUIET = {
    "deadline": None,
    "derandomize": True,
    "suppress_health_check": list(HealthCheck),
}


def numbers(many):
    """A fiftieth for every day, all as a slow test."""
    return pytest.mark.parametrize("number", [many // 50, pytest.param(many, marks=pytest.mark.slow)])


def is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_lengths(values):
    whole = all(isinstance(value, int) and not isinstance(value, bool) for value in values)
    return whole and len(values) == 3 and 16 >= values[0] >= values[1] >= values[2] >= 1


def is_fractions(values):
    numbers = all(is_number(value) for value in values)
    return numbers and len(values) == 3 and 1 >= values[0] >= values[1] - 1e-4 >= values[2] - 2e-4 and values[2] > 0


def is_thresholds(values):
    return len(values) == 3 and all(is_number(value) and value >= 0 for value in values)


@numbers(4000)
@pytest.mark.parametrize(
    ("check", "fine"),
    [
        (lambda values: check_lengths(values, 16, 3), is_lengths),
        (lambda values: check_fractions(values, 3), is_fractions),
        (lambda values: check_thresholds(values, 3), is_thresholds),
    ],
    ids=["lengths", "fractions", "thresholds"],
)
def test_retention(check, fine, number):
    @settings(max_examples=number // 3, **QUIET)
    @given(st.lists(ANY, max_size=4) | st.lists(st.integers(-1, 20) | st.floats(-1, 2), min_size=3, max_size=3))
    def refused(values):
        assume(not fine(values))
        with pytest.raises(RetentionError):
            check(values)

    refused()


@numbers(3000)
def test_retention_json(number, tmp_path):
    path = tmp_path / "retention.json"

    @settings(max_examples=number, **QUIET)
    @given(st.data())
    def refused(data):
        name = data.draw(st.sampled_from(sorted(GOOD)))
        content = data.draw(JSON | st.builds(lambda value: {**GOOD, name: value}, JSON | ANY))
        text = json.dumps(content)
        text = data.draw(st.just(text) | st.just(text[: len(text) // 2]) | st.text(max_size=20))
        path.write_text(text, encoding="utf-8", errors="replace")
        try:
            found = read(path).elimination
        except RetentionFileError:
            return
        # what is accepted is a configuration that keeps every rule
        assert found.checked(3) == found and (
            found.strategy == "threshold" or found.relative or is_lengths(found.retention.values)
        )
        assert 0 <= found.protected <= found.seq_len

    refused()


@numbers(2500)
def test_data_files(number, tmp_path):
    """Bytes of all kinds as train.tsv, train.csv and train.jsonl: checked and read, or refused."""

    @settings(max_examples=number, **QUIET)
    @given(
        st.sampled_from(["tsv", "csv", "jsonl", "json"]),
        st.binary(max_size=60)
        | st.lists(st.text(alphabet='ab\t,"\n{}[]:\r\0é', max_size=20), max_size=4).map(
            lambda p: "\n".join(p).encode()
        ),
    )
    def refused(kind, content):
        path = tmp_path / f"train.{kind}"
        path.write_bytes(content)
        try:
            columns_in([path])
            list(rows_of(path, kind, ["a"]))
        except DataError:
            return
        content.decode("utf-8")  # what passes is text
        assert b"\0" not in content and content

    refused()


@numbers(500)
def test_overrides(number, capfd):
    """Values that no key takes, for keys drawn from all of them."""
    known = [name for name, _, _ in keys_of("sweep", conf_dir())]
    keys = [name for name in known if name not in groups("sweep", conf_dir())]  # Hydra's own errors

    @settings(max_examples=number, **QUIET)
    @given(st.sampled_from(keys), st.sampled_from(WRONG))
    def refused(name, value):
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            try:
                from_config(compose("sweep", overrides=[f"{name}={value}"]), settings_of("sweep"))
            except (PowerbertError, HydraException, OmegaConfBaseException):
                return
        assert name in FREE, f"{name}={value} is accepted"

    refused()
