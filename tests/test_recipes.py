"""Recipes are found by file name, by path and by entry point; what is wrong with one is said in one sentence."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from gansmith import recipes
from gansmith.core import Recipe
from gansmith.errors import GansmithError

HEADER = '"""A game for tests (Nobody 2000)."""\n\n'
IMPORTS = (
    "from dataclasses import dataclass\nfrom gansmith.abilities import Generates\nfrom gansmith.core import Recipe\n\n"
)
RECIPE = """
@dataclass(frozen=True, kw_only=True)
class {name}(Generates, Recipe):
    '''Says nothing.'''
    width: int = 8
    def build(self, data): return None
    def round(self, nets, data, clock): yield
"""
GOOD = HEADER + IMPORTS + RECIPE.format(name="Mine")


def write(folder: Path, text: str, name: str = "mygan.py") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def refused(source: str) -> str:
    with pytest.raises(GansmithError) as caught:
        recipes.find(source)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_of_the_zoo_is_found_and_called_by_its_file_name(name: str) -> None:
    recipe = recipes.find(name)
    assert issubclass(recipe, Recipe)
    assert recipes.name_of(recipe) == name
    assert len(recipes.summary(name)) > 10


def test_zoo_is_a_folder_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, GOOD, "bgan.py"), write(tmp_path, IMPORTS, "agan.py"), write(tmp_path, "", "_shared.py")
    monkeypatch.setattr(recipes, "ZOO", tmp_path)
    assert list(recipes.names()) == ["agan", "bgan"]
    assert recipes.summary("bgan") == "A game for tests (Nobody 2000)."
    assert recipes.summary("agan") == ""


def test_summary_falls_back_to_the_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, IMPORTS + RECIPE.format(name="Mine"), "mine.py")
    monkeypatch.setattr(recipes, "ZOO", tmp_path)
    assert recipes.summary("mine") == "Says nothing."


def test_file_is_found_by_path_and_leads_back_to_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, GOOD)
    recipe = recipes.find(path)
    assert recipe.__name__ == "Mine" and recipe(width=3).width == 3
    assert recipes.name_of(recipe) == path
    assert recipes.find(recipes.name_of(recipe)).__name__ == "Mine"
    monkeypatch.chdir(tmp_path)
    assert recipes.name_of(recipes.find("./mygan.py")) == path
    assert recipes.name_of(recipes.find("mygan.py")) == path


def test_a_file_is_read_afresh(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    assert recipes.find(path)().width == 8
    write(tmp_path, GOOD.replace("width: int = 8", "width: int = 16  # changed"))
    assert recipes.find(path)().width == 16


def test_postponed_annotations_work_in_a_file(tmp_path: Path) -> None:
    from typing import get_type_hints

    recipe = recipes.find(write(tmp_path, "from __future__ import annotations\n" + GOOD))
    assert get_type_hints(recipe)["width"] is int


def test_imported_recipes_do_not_count(tmp_path: Path) -> None:
    assert recipes.find(write(tmp_path, "from gansmith.core import Recipe\n" + GOOD)).__name__ == "Mine"


def test_recipe_chooses_among_several(tmp_path: Path) -> None:
    two = GOOD + RECIPE.format(name="Other")
    path = write(tmp_path, two)
    assert "several recipes (Mine, Other)" in refused(path)
    assert "recipe = Mine" in refused(path)
    assert recipes.find(write(tmp_path, two + "\nrecipe = Other\n")).__name__ == "Other"
    assert "not a class" in refused(write(tmp_path, two + "\nrecipe = 3\n"))


def test_what_is_wrong_with_a_file_is_one_sentence(tmp_path: Path) -> None:
    assert "mygan.py, line 2: " in refused(write(tmp_path, "x = 1\nif x\n"))
    assert '"no_such_module_here"' in refused(write(tmp_path, "import no_such_module_here\n"))
    assert "holds no recipe" in refused(write(tmp_path, IMPORTS))
    assert "does not define build" in refused(write(tmp_path, GOOD.replace("def build", "def built")))
    assert "put @dataclass" in refused(write(tmp_path, GOOD.replace("@dataclass(frozen=True, kw_only=True)", "")))
    assert "give the field width" in refused(write(tmp_path, GOOD.replace("int = 8", "int")))


def test_a_file_that_fails_leaves_no_module_behind(tmp_path: Path) -> None:
    before = set(sys.modules)
    refused(write(tmp_path, "import no_such_module_here\n"))
    assert set(sys.modules) == before


def test_a_missing_file_names_its_neighbour(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    assert f'Did you mean "{tmp_path / "mygan.py"}"?' in refused(str(tmp_path / "mygna.py"))
    assert "There is no recipe file" in refused(str(tmp_path / "nowhere" / "mygan.py"))
    assert "ends in .py" in refused(write(tmp_path, GOOD, "mygan.txt"))


def test_errors_inside_a_file_keep_their_traceback(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        recipes.find(write(tmp_path, "1 / 0"))


def test_an_unknown_name_gets_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "zoo").mkdir()
    write(tmp_path / "zoo", GOOD, "r3gan.py")
    monkeypatch.setattr(recipes, "ZOO", tmp_path / "zoo")
    assert 'Did you mean "r3gan"?' in refused("r3gna") and "gansmith list" in refused("r3gna")
    assert "Did you mean" not in refused("zzzzzz")
    monkeypatch.chdir(tmp_path)
    write(tmp_path, GOOD, "own.py")
    assert "write ./own.py" in refused("own")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package with three entry points: a class, a module and one that does not exist."""
    write(tmp_path, GOOD, "gansmith_test_plugin.py")
    monkeypatch.syspath_prepend(tmp_path)
    targets = {"asclass": ":Mine", "asmodule": "", "broken": ":Missing"}
    found = {n: EntryPoint(n, "gansmith_test_plugin" + attr, recipes.GROUP) for n, attr in targets.items()}
    monkeypatch.setattr(recipes, "plugins", lambda: found)
    yield
    sys.modules.pop("gansmith_test_plugin", None)


def test_entry_points_are_found(package: None) -> None:
    assert recipes.find("asclass").__name__ == recipes.find("asmodule").__name__ == "Mine"
    assert recipes.find(recipes.name_of(recipes.find("asclass"))) is recipes.find("asclass")
    assert "package gansmith_test_plugin" in recipes.summary("asclass")
    assert "cannot be loaded" in refused("broken")
    assert 'Did you mean "asclass"?' in refused("asclas")


def test_installed_entry_points_never_replace_the_zoo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write(tmp_path, GOOD, "gan.py")
    monkeypatch.setattr(recipes, "ZOO", tmp_path)
    offered = [EntryPoint(name, "somewhere", recipes.GROUP) for name in ("gan", "newgan")]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: offered if group == recipes.GROUP else [])
    recipes.plugins.cache_clear()
    try:
        assert list(recipes.plugins()) == ["newgan"]
    finally:
        recipes.plugins.cache_clear()


def test_names_and_summaries_do_not_load_torch() -> None:
    code = "import sys; from gansmith import recipes; [recipes.summary(n) for n in recipes.names()]; recipes.plugins()"
    run = subprocess.run(
        [sys.executable, "-c", code + "; print('torch' in sys.modules)"], capture_output=True, text=True
    )
    assert (run.stdout.strip(), run.stderr) == ("False", "")
