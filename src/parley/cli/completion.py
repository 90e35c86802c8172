"""`parley completion`: what a shell needs to complete verbs and flags.

bash   parley completion bash > ~/.local/share/bash-completion/completions/parley
zsh    parley completion zsh > ~/.zfunc/_parley          (a directory of $fpath)
fish   parley completion fish > ~/.config/fish/completions/parley.fish
"""

import argparse
from collections.abc import Iterator

from msgspec import Struct

SHELLS = ("bash", "zsh", "fish")


class Flag(Struct, frozen=True):
    """A flag of a verb; `takes` is what stands behind it: nothing, a file, or something else."""

    names: tuple[str, ...]
    text: str
    takes: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """For which shell."""
    parser.add_argument("shell", choices=SHELLS)
    parser.epilog = (__doc__ or "").partition("\n\n")[2]
    parser.formatter_class = argparse.RawDescriptionHelpFormatter


def run(args: argparse.Namespace) -> int:
    """Print it."""
    print({"bash": bash, "zsh": zsh, "fish": fish}[args.shell](dict(verbs())), end="")
    return 0


def verbs() -> Iterator[tuple[str, tuple[str, list[Flag]]]]:
    """Each verb with what it does and its flags, from its parser."""
    from parley.cli.main import VERBS, prepare

    for name, text in VERBS.items():
        parser, _ = prepare(name)
        yield name, (text, list(flags(parser)))


def flags(parser: argparse.ArgumentParser) -> Iterator[Flag]:
    """The flags of a parser that people are told of."""
    for action in parser._actions:
        if action.option_strings and action.help != argparse.SUPPRESS:
            takes = "" if action.nargs == 0 else "file" if action.metavar in ("FILE", "DIR") else "value"
            yield Flag(tuple(action.option_strings), action.help or "", takes)


Table = dict[str, tuple[str, list[Flag]]]


def bash(table: Table) -> str:
    """A completion function for bash."""
    cases = "\n".join(
        f'        {name}) words="{" ".join(word for flag in found for word in flag.names)}" ;;'
        for name, (_, found) in table.items()
    )
    files = "|".join(
        sorted({word for _, found in table.values() for flag in found if flag.takes == "file" for word in flag.names})
    )
    return f"""# parley: completion for bash
_parley() {{
    local words word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}"
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "{" ".join(table)} --help --version" -- "$word"))
        return
    fi
    case "$before" in
        {files}) COMPREPLY=($(compgen -f -- "$word")); return ;;
    esac
    case "${{COMP_WORDS[1]}}" in
{cases}
    esac
    case "$word" in
        -*) COMPREPLY=($(compgen -W "$words" -- "$word")) ;;
        *) COMPREPLY=($(compgen -f -- "$word")) ;;
    esac
}}
complete -o filenames -F _parley parley
"""


def zsh(table: Table) -> str:
    """A completion function for zsh."""
    listed = "\n".join(f"        {_quoted(f'{name}:{text}')}" for name, (text, _) in table.items())
    cases = "\n".join(
        f"        {name}) _arguments {' '.join(_zsh_flag(flag) for flag in found)} '*:file:_files' ;;"
        for name, (_, found) in table.items()
    )
    return f"""#compdef parley
# parley: completion for zsh
_parley() {{
    local -a verbs
    verbs=(
{listed}
    )
    if (( CURRENT == 2 )); then
        _describe verb verbs
        return
    fi
    local verb=$words[2]
    shift words
    (( CURRENT-- ))
    case $verb in
{cases}
    esac
}}
if [ "$funcstack[1]" = _parley ]; then _parley "$@"; else compdef _parley parley; fi
"""


def fish(table: Table) -> str:
    """Completions for fish."""
    lines = ["# parley: completion for fish"]
    for name, (text, found) in table.items():
        lines.append(f"complete -c parley -n __fish_use_subcommand -f -a {name} -d {_quoted(text)}")
        for flag in found:
            words = " ".join(f"-l {word[2:]}" if word.startswith("--") else f"-s {word[1:]}" for word in flag.names)
            takes = {"": "", "file": " -r -F", "value": " -x"}[flag.takes]
            condition = f"-n '__fish_seen_subcommand_from {name}'"
            lines.append(f"complete -c parley {condition} {words}{takes} -d {_quoted(flag.text)}")
    return "\n".join(lines) + "\n"


def _zsh_flag(flag: Flag) -> str:
    text = flag.text.replace("[", "(").replace("]", ")").replace(":", "\\:")
    takes = {"": "", "file": ":file:_files", "value": ":value:"}[flag.takes]
    names = "{" + ",".join(flag.names) + "}" if len(flag.names) > 1 else flag.names[0]
    return f"{names}{_quoted(f'[{text}]{takes}')}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
