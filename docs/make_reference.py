"""Writes docs/reference/keys.md, every key of every verb, from the typed settings: python docs/make_reference.py"""

from pathlib import Path

from powerbert_cli.settings import VERBS
from powerbert_cli.usage import SUMMARY, groups, keys_of, shipped_defaults

ROOT = Path(__file__).parent.parent
CONF = ROOT / "conf"
HEAD = """# All keys

Made by `python docs/make_reference.py` from the settings that `powerbert VERB --help` prints. `KEY=VALUE` on the
command line sets one; `${…}` as a default means the value of that key. A verb has its own keys and those of the verbs
that it builds on: `search` those of `finetune`, `retrain` those of `search`, `bench` and `export` those of `retrain`,
`sweep` those of `bench`. Where a default differs from the verb before, the key stands again.
"""


def reference() -> str:
    """The page."""
    parts, seen = [HEAD], dict[str, str]()
    for verb, settings in VERBS.items():
        rows = list(keys_of(settings, "", shipped_defaults(verb, CONF)))
        new = [row for row in rows if seen.get(row[0]) != row[2]]
        seen |= {name: default for name, _, default in rows}
        parts.append(f"## {verb}\n\n{SUMMARY[verb][0].upper()}{SUMMARY[verb][1:]}.\n")
        parts.append("| key | default | meaning |\n| --- | --- | --- |")
        parts.extend(f"| `{name}` | `{default}` | {_cell(doc)} |" for name, doc, default in new)
        parts.append("")
    parts.append("## Groups\n\n| group | options |\n| --- | --- |")
    options = {group: found for verb in VERBS for group, found in groups(verb, CONF).items()}
    options["experiment"] = sorted({one for verb in VERBS for one in groups(verb, CONF).get("experiment", ())})
    parts.extend(f"| `{group}=` | {', '.join(f'`{one}`' for one in found)} |" for group, found in options.items())
    return "\n".join(parts) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    (ROOT / "docs" / "reference" / "keys.md").write_text(reference(), encoding="utf-8")
