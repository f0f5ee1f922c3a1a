"""Help: the keys that most people set on one screen, all others on request."""

import pytest

from powerbert_cli import usage
from powerbert_cli.cli import conf_dir, dispatch
from powerbert_cli.settings.keys import RESEARCH, keys_in
from powerbert_cli.verbs import VERBS, settings_of


def shown(text):
    rows = text.partition("keys (")[2].partition("\n\n")[0].splitlines()[1:]
    return [row.split()[0] for row in rows if row.startswith("  ") and row[2:3].strip()]


@pytest.mark.parametrize("verb", VERBS)
def test_the_short_help_fits_a_screen(verb):
    lines = usage.verb_help(verb, conf_dir()).splitlines()
    assert len(lines) <= 60 and max(map(len, lines)) <= 120
    assert len(shown("\n".join(lines))) >= 3
    assert any("--help all" in line for line in lines) and any("--help research" in line for line in lines)


@pytest.mark.parametrize("verb", VERBS)
def test_every_key_is_in_one_of_the_two_long_helps(verb):
    every = [key.name for key in keys_in(settings_of(verb))]
    texts = {scope: usage.verb_help(verb, conf_dir(), scope) for scope in usage.SCOPES}
    assert all(len(line) <= 120 for text in texts.values() for line in text.splitlines())
    of_research = [] if "  none" in texts["research"].splitlines() else shown(texts["research"])
    assert sorted(shown(texts["all"]) + of_research) == sorted(every) and len(set(every)) == len(every)
    assert all(name.startswith(f"{RESEARCH}.") for name in of_research)
    assert set(shown(usage.verb_help(verb, conf_dir()))) <= set(shown(texts["all"]))


@pytest.mark.parametrize(
    ("args", "has", "has_not"),
    [
        (["--help"], "  lambda ", "evolutionary"),
        (["-h", "task=rte"], "  lambda ", "lr_soft"),
        (["--help", "all"], "  lr_soft ", "research.evolutionary.population"),
        (["--help=research"], "  research.evolutionary.population ", "  lambda "),
        (["seed=1", "--help", "research"], "  research.retention.bins ", "  lambda "),
    ],
)
def test_what_is_asked_for_is_shown(args, has, has_not, capfd):
    assert dispatch(["search", *args]) == 0
    out = capfd.readouterr().out
    assert has in out and has_not not in out


def test_export_has_no_keys_of_a_search_or_a_training():
    names = {key.name for key in keys_in(settings_of("export"))}
    assert "lambda" not in names and not any(name.startswith(("retrain", "compress", "research")) for name in names)
    assert not {"lr", "epochs", "searcher", "strategy"} & names and "model_dir" in names
