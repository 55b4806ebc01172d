"""Print a script that completes gansmith's words in a shell.

Recipes that are installed later are known after the script is made anew.

Examples:
  source <(gansmith completion bash)                                        this shell only
  gansmith completion bash > ~/.local/share/bash-completion/completions/gansmith
  gansmith completion zsh > ~/.zfunc/_gansmith                              with ~/.zfunc in $fpath
  gansmith completion fish > ~/.config/fish/completions/gansmith.fish
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gansmith import cli, recipes
from gansmith.cli.parse import flags, parse

TAKES_RECIPE = ("describe", "train")


@dataclass
class Args:
    """Flags of completion.

    Args:
        shell: bash, zsh or fish.
    """

    shell: Literal["bash", "zsh", "fish"]


def run(argv: list[str]) -> int:
    shell = argv[0] if len(argv) == 1 and argv[0] in SCRIPTS else parse(Args, argv).shell
    print(SCRIPTS[shell](), end="")
    return 0


def _flags(verb: str) -> list[str]:
    return [flag.shown for flag in flags(cli.module(verb).Args) if not flag.positional] + ["--help"]


def _words(verb: str) -> str:
    """All that can follow a verb, except files."""
    names = [*recipes.names(), *recipes.plugins()] if verb in TAKES_RECIPE else []
    choices = {"completion": list(SCRIPTS), "data": ["list", "get"]}.get(verb, [])
    return " ".join(names + choices + _flags(verb))


def _bash() -> str:
    cases = "\n".join(f'        {verb}) words="{_words(verb)}" ;;' for verb in cli.VERBS)
    return f"""\
_gansmith() {{
    local words word="${{COMP_WORDS[COMP_CWORD]}}"
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "{" ".join(cli.VERBS)} --help --version" -- "$word"))
        return
    fi
    case "${{COMP_WORDS[1]}}" in
{cases}
    esac
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _gansmith gansmith
"""


def _zsh() -> str:
    verbs = "\n".join(f"        {_quote(f'{verb}:{cli.about(verb)}')}" for verb in cli.VERBS)
    cases = "\n".join(f"        {verb}) compadd -- {_words(verb)} ;;" for verb in cli.VERBS)
    return f"""\
#compdef gansmith
_gansmith() {{
    local -a verbs=(
{verbs}
    )
    if (( CURRENT == 2 )); then
        _describe verb verbs
        return
    fi
    case "$words[2]" in
{cases}
    esac
    _files
}}
compdef _gansmith gansmith
"""


def _fish() -> str:
    lines = [
        f"complete -c gansmith -n __fish_use_subcommand -f -a {verb} -d {_quote(cli.about(verb))}" for verb in cli.VERBS
    ]
    for verb in cli.VERBS:
        lines.append(f"complete -c gansmith -n '__fish_seen_subcommand_from {verb}' -a {_quote(_words(verb))}")
    return "\n".join(lines) + "\n"


def _quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


SCRIPTS = {"bash": _bash, "zsh": _zsh, "fish": _fish}
