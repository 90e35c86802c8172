"""Writes docs/reference/cli.md from the parsers of the verbs and the slash words of `parley chat`.

python tools/cli_page.py
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from parley.cli.main import VERBS, prepare
from parley.client.terminal.words import KEYS, WORDS

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "cli.md"

HEAD = """# The command line

`parley VERB …`; without a verb, `parley up`. Exit statuses: 0 done, 1 failed or refused, 2 the command line or a
setting cannot be used, 3 no server answers, 130 interrupted.

A flag that names a setting may also be given as `PARLEY_<NAME>` in the environment or a `.env` file, or in
`parley.toml`; `parley config` shows what counts and where it came from. Verbs that ask a server find it by `--url`,
`PARLEY_URL`, else `http://127.0.0.1:8000`. An ID is a conversation's, or the beginning of it, as `parley ls` shows it.

This page is made by `tools/cli_page.py`.
"""


def page() -> str:
    """The whole page."""
    parts = [
        HEAD,
        "| verb | |\n|---|---|",
        *(f"| [`{name}`](#parley-{name}) | {_cell(text)} |" for name, text in VERBS.items()),
    ]
    for name in VERBS:
        parser, _ = prepare(name)
        parts += ["", f"## parley {name}", "", *verb(name, parser)]
        if name == "chat":
            parts += ["", *words()]
    return "\n".join(parts).rstrip() + "\n"


def verb(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    """What a verb takes."""
    yield f"{VERBS[name][0].upper()}{VERBS[name][1:]}.\n"
    yield f"```text\n{usage(name, parser)}\n```"
    shown = [action for action in parser._actions if action.help != argparse.SUPPRESS and action.dest != "help"]
    if shown:
        yield "\n| | |\n|---|---|"
    for action in shown:
        yield f"| {', '.join(f'`{word}`' for word in spelled(action))} | {_cell(action.help or '')} |"
    if parser.epilog:
        yield f"\n```text\n{parser.epilog.strip()}\n```" if "\n" in parser.epilog else f"\n{parser.epilog}"


def usage(name: str, parser: argparse.ArgumentParser) -> str:
    """One line: the verb, what it must be given, that there are flags."""
    places = [action for action in parser._actions if not action.option_strings]
    marks = {"?": "[{}]", "*": "[{}…]", "+": "{}…"}
    given = [marks.get(str(action.nargs), "{}").format(spelled(action)[0]) for action in places]
    return " ".join(["parley", name, *(["[flags]"] if len(parser._actions) > len(places) + 1 else []), *given])


def spelled(action: argparse.Action) -> list[str]:
    """How an argument is written."""
    if action.choices:
        value = "|".join(map(str, action.choices))
    else:
        value = str(action.metavar or action.dest.upper())
    if not action.option_strings:
        return [value]
    if action.nargs == 0:
        return list(action.option_strings)
    return [*action.option_strings[:-1], f"{action.option_strings[-1]} {value}"]


def words() -> Iterator[str]:
    """What may be typed in a conversation."""
    yield "At the prompt:\n\n| word | |\n|---|---|"
    for word, text in WORDS.items():
        takes, _, does = text.partition(": ") if text.split(":")[0].isupper() else ("", "", text)
        yield f"| `/{word}{' ' + takes if takes else ''}` | {_cell(does)} |"
    yield "\n| key | |\n|---|---|"
    for key, text in KEYS.items():
        yield f"| {key} | {_cell(text)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("%%", "%")


if __name__ == "__main__":
    PAGE.write_text(page())
