"""From a dataclass and its docstring to flags, help and one-sentence errors.

tyro splits the command line into words and prints the help; the words become values here, so that the
message about a wrong one is ours.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import re
import sys
import types
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, make_dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from gansmith.errors import GansmithError, did_you_mean

T = TypeVar("T")
SIZES = {"k": 1e3, "m": 1e6, "g": 1e9}


@dataclass(frozen=True)
class Flag:
    """A dataclass field as the command line sees it; without a default it is a positional argument."""

    name: str
    type: Any
    default: Any
    help: str

    @property
    def positional(self) -> bool:
        return self.default is MISSING

    @property
    def shown(self) -> str:
        """How it is written on the command line: `--z-dim`, `-n`, or `RUN`."""
        if self.positional:
            return self.name.upper()
        return f"-{self.name}" if len(self.name) == 1 else "--" + self.name.replace("_", "-")

    @property
    def metavar(self) -> str:
        """What its value looks like: `INT`, `{crop,pad}`; text and positional arguments are called by their name."""
        if bool in _members(self.type):
            return f"[{self.name.upper()}]"
        return self.name.upper() if self.positional or self.type in (str, str | None) else metavar(self.type)


def flags(cls: type) -> list[Flag]:
    """The fields of a dataclass that a command line can set, with the explanations of its docstring."""
    hints, docs = get_type_hints(cls), explain(cls)
    found = [Flag(f.name, hints[f.name], _default(f), docs.get(f.name, "")) for f in fields(cls) if f.init]
    return [flag for flag in found if _settable(flag.type)]


def _default(f: Any) -> Any:
    return f.default_factory() if f.default_factory is not MISSING else f.default


def explain(cls: type) -> dict[str, str]:
    """What the `Args:` sections of a class and its bases say about each field, nearest class first."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        _, _, section = inspect.cleandoc(base.__dict__.get("__doc__") or "").partition("Args:\n")
        body = re.split(r"\n(?=\S)", section, maxsplit=1)[0]
        for entry in re.split(r"\n(?= {4}\S)", "\n" + body):
            if match := re.match(r"\s*(\w+): *(.+)", entry, re.DOTALL):
                found[match[1]] = " ".join(match[2].split())
    return found


def parse(cls: type[T], argv: Sequence[str]) -> T:
    """Read a verb's flags into its `Args`.

    Raises:
        GansmithError: an unknown flag, a missing or a malformed value, in one sentence.
    """
    return cls(**parse_groups({"": flags(cls)}, argv, cls.__module__))


def parse_groups(groups: dict[str, list[Flag]], argv: Sequence[str], module: str, usage: str = "") -> dict[str, Any]:
    """The values that `argv` gives, converted; a flag that is not given is not in the answer.

    Args:
        groups: flags by the title that help shows over them; the title "" is for the verb's own.
        argv: the words after the verb.
        module: of the verb; its docstring is the head of the help.
        usage: what follows "gansmith" in the usage line, when it is more than the verb.
    """
    import tyro

    verb = usage or module.rpartition(".")[2]
    known = {flag.name: flag for group in groups.values() for flag in group}
    said = io.StringIO()
    read: Any
    try:
        with contextlib.redirect_stderr(said):
            read, extra = tyro.cli(
                _tyro_class(groups),
                args=argv,
                prog=f"gansmith {verb}",
                description=inspect.cleandoc(sys.modules[module].__doc__ or ""),
                return_unknown_args=True,
                config=(tyro.conf.OmitArgPrefixes,),
            )
    except SystemExit as stop:
        if stop.code:
            raise GansmithError(_sentence(said.getvalue(), verb, known.values())) from None
        raise
    if extra:
        raise GansmithError(_unexpected(extra[0], verb, known.values()))
    values = {
        name: value
        for group in [read, *vars(read).values()]
        if is_dataclass(group)
        for name, value in vars(group).items()
    }
    return {flag.name: _read(flag, values[flag.name]) for flag in known.values() if _given(flag, argv)}


def split_word(argv: list[str], common: list[Flag]) -> tuple[str | None, list[str]]:
    """Take the one positional word out: the first that is neither a flag nor the value of one; and the words left."""
    switches = {flag.shown for flag in common if flag.type is bool} | {"-h", "--help"}
    value = False
    for i, word in enumerate(argv):
        if word.startswith("-"):
            value = "=" not in word and word.replace("_", "-") not in switches
        elif value:
            value = False
        else:
            return word, argv[:i] + argv[i + 1 :]
    return None, argv


def _given(flag: Flag, argv: Sequence[str]) -> bool:
    words = {word.partition("=")[0].replace("_", "-") for word in argv if word.startswith("-")}
    long = flag.name.replace("_", "-")
    return flag.positional or bool(words & {flag.shown, f"--{long}", f"--no-{long}"}) or _glued(flag, argv)


def _glued(flag: Flag, argv: Sequence[str]) -> bool:
    """Whether a short flag carries its value: -n16."""
    return len(flag.name) == 1 and any(re.match(rf"-{flag.name}\d", word) for word in argv)


def _tyro_class(groups: dict[str, list[Flag]]) -> type:
    """A dataclass whose values stay words, for tyro to split the command line by; titled groups are nested in it."""
    import tyro

    nested: list[tuple[str, Any]] = []
    for title, group in groups.items():
        if title:
            inner = make_dataclass("Fields", [_tyro_field(flag, paired=True) for flag in group])
            inner.__doc__ = "What is not set is chosen from the data, or has the default of the recipe."
            nested.append((f"group{len(nested)}", Annotated[inner, tyro.conf.arg(name=title)]))
    own = sorted(groups.get("", []), key=lambda flag: not flag.positional)
    return make_dataclass("Command", [*nested, *(_tyro_field(flag) for flag in own)])


def _tyro_field(flag: Flag, paired: bool = False) -> tuple[str, Any, Any]:
    """`paired`: a switch can also be said off, as --no-switch."""
    import tyro

    about = tyro.conf.arg(
        help=flag.help,
        help_behavior_hint=_hint(flag.default),
        aliases=(flag.shown,) if len(flag.name) == 1 else None,
    )
    if flag.type is bool:
        pairs = () if paired else (tyro.conf.FlagCreatePairsOff,)
        return flag.name, Annotated[(bool, about, *pairs)], field(default=flag.default)
    words = tyro.constructors.PrimitiveConstructorSpec[Any](
        nargs="*" if get_origin(flag.type) is tuple or bool in _members(flag.type) else 1,
        metavar=flag.metavar,
        instance_from_str=lambda words: words,
        is_instance=lambda _: True,
        str_from_instance=lambda value: [str(value)],
    )
    if flag.positional:
        return flag.name, Annotated[Any, words, about, tyro.conf.Positional], field()
    return flag.name, Annotated[Any, words, about], field(default=flag.default)


def _hint(default: Any) -> str:
    return (
        ""
        if default is MISSING or default is None or default is False or default == ""
        else f"(default: {show(default)})"
    )


def show(value: Any) -> str:
    """A value as it is typed on the command line.

    >>> show((0.0, 0.99))
    '0.0 0.99'
    """
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def metavar(kind: Any) -> str:
    """What a flag's value looks like, for help.

    >>> metavar(int | None), metavar(tuple[int, ...]), metavar(Literal["a", "b"])
    ('INT', 'INT ...', '{a,b}')
    """
    if get_origin(kind) is Literal:
        return "{" + ",".join(map(str, get_args(kind))) + "}"
    if get_origin(kind) is tuple:
        args = get_args(kind)
        return f"{metavar(args[0])} ..." if Ellipsis in args else " ".join(map(metavar, args))
    if members := _members(kind):
        return "|".join(metavar(member) for member in members if member is not type(None))
    return str(kind.__name__).upper()


def _members(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else ()


def _settable(kind: Any) -> bool:
    if get_origin(kind) is tuple:
        return all(arg in (int, float, str, Ellipsis) for arg in get_args(kind))
    if members := _members(kind):
        return all(m is type(None) or _settable(m) for m in members)
    return get_origin(kind) is Literal or kind in (bool, int, float, str)


def _read(flag: Flag, words: Any) -> Any:
    if isinstance(words, bool):
        return words
    if flag.positional and not words:
        return ()
    try:
        return convert(flag.type, words)
    except ValueError as error:
        raise GansmithError(f"{flag.shown}: {error}") from None


def convert(kind: Any, words: list[str]) -> Any:
    """The value that the words of one flag stand for.

    >>> convert(int, ["1.5M"]), convert(tuple[float, ...], ["0,0.9"]), convert(int | None, ["none"])
    (1500000, (0.0, 0.9), None)
    >>> convert(bool | str, []), convert(bool | str, ["labels.csv"]), convert(bool | None, ["false"])
    (True, 'labels.csv', False)

    Raises:
        ValueError: they do not stand for a value of that type.
    """
    if get_origin(kind) is tuple:
        return _convert_tuple(get_args(kind), ",".join(words).split(",") if words else [])
    if bool in _members(kind):
        return _switch(_members(kind), words)
    (word,) = words
    if get_origin(kind) is Literal:
        return _choose(get_args(kind), word)
    if members := _members(kind):
        return _convert_union(members, word)
    if kind is int:
        return _whole(word)
    if kind is float:
        return _number(word)
    return word


def _switch(members: tuple[Any, ...], words: list[str]) -> Any:
    """A switch that may have a value: on, or that value; one that takes no text, true or false."""
    if len(words) > 1:
        raise ValueError(f"give at most one value, not {len(words)}.")
    if not words:
        return True
    if str not in members:
        return {"true": True, "false": False, "none": None}[_choose(("true", "false", "none"), words[0].lower())]
    return _convert_union(tuple(m for m in members if m is not bool), words[0])


def _convert_tuple(kinds: tuple[Any, ...], words: list[str]) -> tuple[Any, ...]:
    if Ellipsis in kinds:
        kinds = (kinds[0],) * len(words)
    if not words or len(words) != len(kinds):
        wanted = str(len(kinds)) if kinds else "at least one"
        raise ValueError(f"give {wanted} value{'s' if len(kinds) > 1 else ''}, not {len(words)}.")
    return tuple(convert(kind, [word]) for kind, word in zip(kinds, words, strict=True))


def _convert_union(members: tuple[Any, ...], word: str) -> Any:
    if type(None) in members and word.lower() == "none":
        return None
    failures = []
    for member in members:
        if member is not type(None):
            try:
                return convert(member, [word])
            except ValueError as error:
                failures.append(str(error))
    raise ValueError(failures[-1])


def _choose(choices: tuple[Any, ...], word: str) -> Any:
    by_name = {str(choice): choice for choice in choices}
    if word not in by_name:
        raise ValueError(f'"{word}" is not one of {", ".join(by_name)}.{did_you_mean(word, by_name)}')
    return by_name[word]


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise ValueError(f'"{word}" is not a number.') from None


def _whole(word: str) -> int:
    """A whole number, also as 1_000, 200k, 1.5M or 1e6."""
    with contextlib.suppress(ValueError):
        return int(word)
    scale = SIZES.get(word[-1:].lower(), 1)
    with contextlib.suppress(ValueError, OverflowError):
        number = float(word[:-1] if scale > 1 else word) * scale
        if number == round(number):
            return round(number)
    raise ValueError(f'"{word}" is not a whole number.')


def _sentence(box: str, verb: str, known: Any) -> str:
    """One sentence in place of tyro's box. Values stay words, so only what is missing is left for it to say."""
    text = " ".join(re.sub(r"[^\x20-\x7e]", " ", box).split())
    if match := re.search(r"Missing value for argument '(-[\w-]+)'", text):
        flag = next(flag for flag in known if flag.shown == match[1])
        return f"{flag.shown} needs a value: {flag.shown} {flag.metavar}."
    if missing := " ".join(flag.shown for flag in known if flag.positional):
        return f"gansmith {verb} needs {missing}. See: gansmith {verb} --help"
    return text


def _unexpected(word: str, verb: str, known: Any) -> str:
    name = word.partition("=")[0]
    if name.startswith("-"):
        hint = did_you_mean(name.replace("_", "-"), [flag.shown for flag in known if not flag.positional])
        return f"{verb} has no flag {name}.{hint} See: gansmith {verb} --help"
    return f'"{word}" is one word too many: a flag\'s name may be missing before it. See: gansmith {verb} --help'
