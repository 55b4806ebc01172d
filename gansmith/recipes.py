"""Finding recipes: by the name of a file in the zoo, by the path of a user's own file, by entry point.

The file name is the recipe's name: there is no registry. Names and one-line summaries are read without
importing a recipe, so that listing them does not load torch.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import importlib
import importlib.util
import inspect
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from gansmith.errors import GansmithError, did_you_mean

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from gansmith.core import Recipe

ZOO = Path(__file__).parent / "zoo"
GROUP = "gansmith.zoo"


def names() -> dict[str, Path]:
    """The recipes that come with the package, by name, without importing any of them."""
    return {path.stem: path for path in sorted(ZOO.glob("*.py")) if not path.stem.startswith("_")}


@cache
def plugins() -> dict[str, EntryPoint]:
    """Recipes that installed packages offer through the entry point group `gansmith.zoo`, not yet imported.

    A name that the zoo has already is left out: a package cannot replace a recipe silently.
    """
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in names()}


def summary(name: str) -> str:
    """One line about a recipe, read without importing it: the first line of its file's docstring."""
    path = names().get(name)
    if path:
        return _first_docstring(path.read_text(encoding="utf-8")).partition("\n")[0]
    entry = plugins()[name]
    return f"from the package {entry.dist.name if entry.dist else entry.module}"


def _first_docstring(source: str) -> str:
    tree = ast.parse(source)
    nodes: list[ast.Module | ast.ClassDef] = [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))]
    return next((text for node in nodes if (text := ast.get_docstring(node))), "")


def find(name_or_path: str | Path) -> type[Recipe]:
    """The recipe class called by a zoo name ("r3gan"), a file ("./mygan.py") or an entry point's name.

    Raises:
        GansmithError: nothing is called that, or the file does not hold exactly one complete recipe.
    """
    name = str(name_or_path)
    if name.endswith(".py") or "/" in name or "\\" in name:
        return _recipe_in(_load_file(Path(name).expanduser()), name)
    if name in names():
        return _recipe_in(importlib.import_module(f"{GROUP}.{name}"), name)
    if name in plugins():
        return _load_plugin(plugins()[name])
    if Path(f"{name}.py").is_file():
        raise GansmithError(f'There is no recipe "{name}". For your own file write ./{name}.py.')
    raise GansmithError(
        f'There is no recipe "{name}".{did_you_mean(name, [*names(), *plugins()])} See them all with: gansmith list'
    )


def name_of(recipe: type[Recipe]) -> str:
    """What `find` takes to come back to this class: a zoo name, an entry point's name or a file's absolute path.

    A class that was typed into an interpreter has no file: it is called by its own name, and cannot be found again.
    """
    module = sys.modules[recipe.__module__]
    zoo, _, stem = module.__name__.rpartition(".")
    if zoo == GROUP:
        return stem
    for name, entry in plugins().items():
        if entry.module == module.__name__ and entry.attr in ("", recipe.__qualname__):
            return name
    file = getattr(module, "__file__", None)
    return str(Path(file).resolve()) if file else recipe.__qualname__


def _load_file(path: Path) -> ModuleType:
    """Run a user's file under a private module name, afresh each time, so that edits are seen."""
    if not path.is_file():
        here = [str(p) for p in path.parent.glob("*.py")] if path.parent.is_dir() else []
        raise GansmithError(f"There is no recipe file {path}.{did_you_mean(str(path), here)}")
    private = f"_gansmith_{path.stem}_{hashlib.sha256(bytes(path.resolve())).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(private, path.resolve())
    if spec is None or spec.loader is None:
        raise GansmithError(f"{path} is not a Python file: a recipe's file name ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[private] = module  # dataclasses and type hints look the module up by name
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[private]
        _explain(error, path)
        raise
    return module


def _explain(error: BaseException, path: Path) -> None:
    """Turn what is wrong with the file as a whole into one sentence; other errors keep their traceback."""
    if isinstance(error, SyntaxError):
        raise GansmithError(f"{error.filename}, line {error.lineno}: {error.msg}.") from None
    if isinstance(error, ModuleNotFoundError):
        raise GansmithError(f'{path} imports "{error.name}", which is not installed.') from None


def _load_plugin(entry: EntryPoint) -> type[Recipe]:
    try:
        found = entry.load()
    except (ImportError, AttributeError) as error:
        raise GansmithError(f'The recipe "{entry.name}" of {entry.value} cannot be loaded: {error}.') from error
    if isinstance(found, ModuleType):
        return _recipe_in(found, entry.name)
    return _complete(found, entry.name)


def _recipe_in(module: ModuleType, source: str) -> type[Recipe]:
    """The one recipe class that a module defines, or the one that it names with `recipe = ...`."""
    from gansmith.core import Recipe

    if chosen := vars(module).get("recipe"):
        return _complete(chosen, source)
    defined = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Recipe) and value.__module__ == module.__name__
    ]
    if not defined:
        raise GansmithError(f"{source} holds no recipe: define a dataclass that derives from gansmith.core.Recipe.")
    if len(defined) > 1:
        listed = ", ".join(cls.__name__ for cls in defined)
        raise GansmithError(
            f"{source} holds several recipes ({listed}): choose one with recipe = {defined[0].__name__}."
        )
    return _complete(defined[0], source)


def _complete(value: Any, source: str) -> type[Recipe]:
    """Refuse what only looks like a recipe, before anything is built from it."""
    from gansmith.core import Recipe

    if not (isinstance(value, type) and issubclass(value, Recipe)):
        raise GansmithError(f"{source}: {value!r} is not a class that derives from gansmith.core.Recipe.")
    if inspect.isabstract(value):
        missing = " and ".join(sorted(value.__abstractmethods__))
        raise GansmithError(f"{source}: {value.__name__} does not define {missing}.")
    if "__dataclass_fields__" not in vars(value):
        raise GansmithError(f"{source}: put @dataclass(frozen=True, kw_only=True) above class {value.__name__}.")
    for f in dataclasses.fields(value):
        if f.init and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            raise GansmithError(f"{source}: give the field {f.name} of {value.__name__} a default.")
    return value
