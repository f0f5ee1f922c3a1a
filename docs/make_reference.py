"""Writes docs/reference/keys.md, every key of every verb, from the typed settings: python docs/make_reference.py"""

from pathlib import Path

from powerbert_cli.settings.former import FORMER, FORMER_VALUES
from powerbert_cli.usage import groups, keys_of
from powerbert_cli.verbs import VERBS, module_of

ROOT = Path(__file__).parent.parent
CONF = ROOT / "conf"
ORDER = ("finetune", "compress", "search", "retrain", "bench", "sweep", "export", "predict", "study", "check")
HEAD = """# All keys

Made by `python docs/make_reference.py` from the settings that `powerbert VERB --help` prints. `KEY=VALUE` on the
command line sets one; `${…}` as a default means the value of that key. Under each verb stand the keys that no verb
before it has, or that have another default there. `powerbert VERB --help` lists the keys that most people set,
`--help all` all but those of `research.*`, which only serve to check papers: these are in `--help research`.
"""


def reference() -> str:
    """The page."""
    assert set(ORDER) == set(VERBS)
    parts, seen = [HEAD], dict[str, str]()
    rows_of = {verb: list(keys_of(verb, CONF)) for verb in ORDER}
    having = {name: [verb for verb in ORDER if name in {row[0] for row in rows_of[verb]}] for name in _names(rows_of)}
    for verb in ORDER:
        new = [row for row in rows_of[verb] if seen.get(row[0]) != row[2]]
        seen |= {name: default for name, _, default in rows_of[verb]}
        what = module_of(verb).SUMMARY
        parts.append(f"## {verb}\n\n{what[0].upper()}{what[1:]}. It has {len(rows_of[verb])} keys.\n")
        parts.append("| key | default | meaning | also in |\n| --- | --- | --- | --- |")
        for name, doc, default in new:
            others = ", ".join(other for other in having[name] if other != verb)
            parts.append(f"| `{name}` | `{default}` | {_cell(doc)} | {others} |")
        parts.append("")
    parts.append("## Groups\n\n| group | options |\n| --- | --- |")
    options = {group: found for verb in VERBS for group, found in groups(verb, CONF).items()}
    options["experiment"] = sorted({one for verb in VERBS for one in groups(verb, CONF).get("experiment", ())})
    parts.extend(f"| `{group}=` | {', '.join(f'`{one}`' for one in found)} |" for group, found in options.items())
    parts.append("\n## Former keys\n\nEach is answered with its new name.\n\n| former | now |\n| --- | --- |")
    parts.extend(f"| `{former}=` | `{now}=` |" for former, now in FORMER.items())
    parts.extend(f"| `{key}={value}` | `{now}` |" for (key, value), now in FORMER_VALUES.items())
    return "\n".join(parts) + "\n"


def _names(rows_of: dict[str, list[tuple[str, str, str]]]) -> list[str]:
    return list(dict.fromkeys(name for rows in rows_of.values() for name, _, _ in rows))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    (ROOT / "docs" / "reference" / "keys.md").write_text(reference(), encoding="utf-8")
