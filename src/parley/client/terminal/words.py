"""Slash words: what the REPL understands besides messages."""

import re

from msgspec import Struct

WORDS = {
    "new": "begin another conversation",
    "list": "the conversations last spoken in",
    "open": "ID: go on with one of them, also by its number in /list",
    "model": "NAME: who answers from now on; alone: who there is",
    "system": "TEXT: instructions for the conversation",
    "set": "NAME VALUE: temperature, max_tokens, ...; alone: what is set",
    "retry": "ask the last message again",
    "back": "leave the last exchange out; your next message takes its place",
    "edit": "write the message in $EDITOR (also: Ctrl-O)",
    "copy": "the last answer into the clipboard",
    "save": "FILE: the conversation as Markdown, or as JSON to a FILE.json",
    "share": "a link by which anyone can read this (/share off: none any more)",
    "info": "where you are",
    "help": "this",
    "bye": "leave (also: exit, quit, Ctrl-D)",
}
KEYS = {
    "Enter": "sends",
    'Alt-Enter, a \\ at the end, """': "go on with the message on another line",
    "Ctrl-O": "opens the message in $EDITOR",
    "Ctrl-C": "stops the reply and keeps its text; twice at an empty prompt leaves",
    "Ctrl-D": "leaves; the reply goes on, and `parley attach` brings it back",
    "Ctrl-Z": "suspends; `fg` brings you back, and the reply has gone on",
    "Up, Ctrl-R, Tab": "what was typed before, a search in it, the slash words",
}
OTHER_NAMES = {"exit": "bye", "quit": "bye", "?": "help", "clear": "new"}
QUOTES = '"""'
FORM = re.compile(r"/([a-z?]+)(?:\s+(.*))?", re.DOTALL)


class Word(Struct, frozen=True):
    """A slash word; `name` is "" when there is no such word."""

    name: str
    rest: str = ""
    said: str = ""


def parse(line: str) -> Word | None:
    """Read a line; None: it is a message. A message may begin with a slash behind a space."""
    if line.strip() in ("exit", "quit"):
        return Word("bye")
    match = FORM.fullmatch(line.rstrip())
    if match is None:
        return None
    name = OTHER_NAMES.get(match[1], match[1])
    return Word(name if name in WORDS else "", (match[2] or "").strip(), match[1])


def unfinished(text: str) -> bool:
    """Whether Enter goes on with the message: three quotes were opened and are not closed yet."""
    return text.startswith(QUOTES) and (len(text) < 2 * len(QUOTES) or not text.rstrip().endswith(QUOTES))


def message(text: str) -> str:
    """The message that was typed, without the quotes that kept it open."""
    if text.startswith(QUOTES):
        return text.strip().removeprefix(QUOTES).removesuffix(QUOTES).strip("\n")
    return text


def help_text() -> str:
    """What there is to know."""
    width = max(map(len, WORDS)) + 1
    words = "\n".join(f"  {'/' + word:{width}}  {text}" for word, text in WORDS.items())
    keys = "\n".join(f"  {key}: {text}" for key, text in KEYS.items())
    return f"{words}\n{keys}"
