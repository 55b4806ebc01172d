"""The shape of the package, read from its syntax trees: who may import whom, headers, docstrings, sizes, pickles.

Each rule is a function from source text to a list of violations, and each is first shown a violation.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "gansmith"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

ANY = {
    *("core", "objectives", "penalties", "nn", "nets", "data", "engine", "evaluation", "doctor", "explore", "export"),
    *("auto", "places", "recipes", "judging", "doctoring", "session", "api", "scoring", "cli", "__init__"),
    *("abilities", "augmenting", "diagnosis", "growing", "helpers", "model", "perceptual", "reading", "rehearsal"),
    *("steering", "weights"),
}
"""Every room, except the zoo: nobody imports that by a statement."""

ROOMS: dict[str, set[str]] = {
    "core": set(),
    "abilities": {"core"},
    "auto": {"core"},
    "steering": {"abilities"},
    "places": set(),
    "weights": {"places"},
    "perceptual": {"nets", "weights"},
    "recipes": {"core"},
    "objectives": set(),
    "penalties": set(),
    "nn": set(),
    "nets": {"nn"},
    "data": {"core", "places"},
    "growing": {"abilities", "auto", "core", "nets"},
    "zoo": {"abilities", "auto", "core", "growing", "objectives", "penalties", "perceptual", "nn", "nets", "data"},
    "augmenting": {"abilities", "core", "nn"},
    "helpers": {"abilities", "augmenting", "core", "nn"},
    "engine": {"abilities", "augmenting", "core", "helpers"},
    "evaluation": {"engine", "objectives", "places", "weights"},
    "doctor": {"abilities", "core", "evaluation", "engine", "helpers"},
    "explore": {"abilities", "core", "engine", "evaluation", "steering"},
    "export": {"abilities", "core", "engine"},
    "judging": {"data", "engine", "evaluation", "places"},
    "doctoring": {"recipes", "data", "doctor", "evaluation"},
    "session": ANY - {"model", "reading", "rehearsal", "api", "scoring", "diagnosis", "cli"},
    "rehearsal": {"core", "engine", "session"},
    "model": ANY - {"api", "reading", "scoring", "diagnosis", "cli"},
    "api": ANY - {"reading", "scoring", "diagnosis", "cli"},
    "scoring": ANY - {"diagnosis", "reading", "cli"},
    "diagnosis": ANY - {"reading", "cli"},
    "reading": ANY - {"diagnosis", "cli"},
    "cli": ANY,
    "__init__": {"api", "scoring", "diagnosis", "evaluation", "model", "reading"},
    "__main__": {"cli"},
}
"""Which rooms of gansmith a room may import, besides itself. All may import `errors`, which imports none."""

ONLY_TORCH = {"abilities", "augmenting", "core", "growing", "helpers", "objectives", "penalties", "nn", "nets", "zoo"}
"""Rooms whose only library, besides the standard one, is torch."""

DISTRIBUTIONS = {"PIL": "pillow", "yaml": "pyyaml", "lightning": "lightning-fabric", "sklearn": "scikit-learn"}
"""Import names that differ from the name of the package to install."""

LONGEST_FILE, LONGEST_FUNCTION = 400, 60

FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
FORBIDDEN_CALLS = {"torch.load", "torch.save", "yaml.load", "yaml.unsafe_load", "yaml.full_load"}


# --- the rules ---------------------------------------------------------------------------------------------------


def room_of(module: str) -> str:
    """The room of a dotted module: `gansmith.engine.loop` -> `engine`, `gansmith` -> `__init__`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imported(tree: ast.AST, module: str, is_package: bool = False) -> Iterator[tuple[str, int]]:
    """Every imported dotted name and its line, relative imports resolved, `from a import b` given as `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.split(".") if is_package else module.split(".")[:-1]
                base = ".".join(package[: len(package) - node.level + 1] + ([base] if base else []))
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)


def wrong_directions(source: str, module: str, is_package: bool = False) -> list[str]:
    """Imports inside gansmith that the table of rooms does not allow."""
    room = room_of(module)
    if room not in {*ROOMS, "errors"}:
        return [f"{module}: the room {room!r} is not in the table of test_architecture.py"]
    allowed = ROOMS.get(room, set()) | ({"errors", room} - {"zoo"} if room != "errors" else set())
    found = []
    for name, line in imported(ast.parse(source), module, is_package):
        if top(name) == "gansmith" and room_of(name.removesuffix(".__version__")) not in allowed:
            found.append(f"{module}:{line} imports {name}; {room} may import {', '.join(sorted(allowed)) or 'nothing'}")
    return found


def foreign_libraries(source: str, module: str) -> list[str]:
    """Libraries other than torch in the rooms that live on torch alone."""
    if room_of(module) not in ONLY_TORCH:
        return []
    allowed = {*sys.stdlib_module_names, "torch", "gansmith"}
    names = imported(ast.parse(source), module)
    return [
        f"{module}:{line} imports {name}, only torch is allowed" for name, line in names if top(name) not in allowed
    ]


def undeclared_libraries(source: str, module: str, core: set[str], extras: set[str]) -> list[str]:
    """Imports of libraries that pyproject.toml does not declare, and extras imported before they are needed."""
    tree = ast.parse(source)
    at_import_time = {id(node) for node in outside_functions(tree)}
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Import | ast.ImportFrom) or getattr(node, "level", 0):
            continue
        for name, line in imported(ast.Module([node], []), module):
            library = distribution(name)
            if top(name) in {*sys.stdlib_module_names, "gansmith"} or library in core:
                continue
            if library not in extras:
                found.append(f"{module}:{line} imports {name}, which pyproject.toml does not declare")
            elif id(node) in at_import_time:
                found.append(
                    f"{module}:{line} imports {name} at the top, but it is an extra: import it where it is used"
                )
    return found


def top(name: str) -> str:
    return name.split(".")[0]


def distribution(name: str) -> str:
    """The package to install for an import: `lightning.fabric` and `lightning_fabric` are both lightning-fabric."""
    return DISTRIBUTIONS.get(top(name), top(name).lower().replace("_", "-"))


def outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when the module is imported: not in a function, not under `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            continue
        yield child
        yield from outside_functions(child)


def unsafe_files(source: str, module: str) -> list[str]:
    """Ways to read or write files that can run code: pickles in any dress, and YAML that is not `safe_load`."""
    tree = ast.parse(source)
    found = [f"{module}:{line} imports {n}" for n, line in imported(tree, module) if top(n) in FORBIDDEN_MODULES]
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) in FORBIDDEN_CALLS
            and not checked_weights(node, module)
        ):
            found.append(f"{module}:{node.lineno} calls {ast.unparse(node.func)}")
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
            found.append(f"{module}:{node.value.lineno} allows pickles")
    return found


def checked_weights(call: ast.Call, module: str) -> bool:
    """The one place that may read other people's .pth files: it checks their SHA-256 before, and no code runs."""
    safe = any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in call.keywords)
    return module == "gansmith.weights" and ast.unparse(call.func) == "torch.load" and safe


def too_long(source: str, module: str) -> list[str]:
    """Files and functions over the size at which something is probably two things. Docstrings do not count."""
    found = []
    lines = len(source.splitlines())
    if lines > LONGEST_FILE:
        found.append(f"{module} has {lines} lines, over {LONGEST_FILE}")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            doc = node.body[0] if ast.get_docstring(node) is not None else None
            size = node.end_lineno - node.lineno + 1 - (doc.end_lineno - doc.lineno + 1 if doc else 0)
            if size > LONGEST_FUNCTION:
                found.append(f"{module}:{node.lineno} {node.name} has {size} lines, over {LONGEST_FUNCTION}")
    return found


def undocumented(source: str, module: str) -> list[str]:
    """Public functions, classes and methods without a docstring, and a module without one."""
    tree = ast.parse(source)
    found = [] if ast.get_docstring(tree) else [f"{module} has no docstring"]
    scopes = [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))]
    for scope in scopes:
        if isinstance(scope, ast.ClassDef) and scope.name.startswith("_"):
            continue
        for node in scope.body:
            public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
            if public and not ast.get_docstring(node):
                found.append(f"{module}:{node.lineno} {node.name} has no docstring")
    return found


def poor_header(source: str, name: str) -> list[str]:
    """A recipe's header names its paper by arXiv number and shows its command."""
    header = ast.get_docstring(ast.parse(source)) or ""
    found = []
    if not re.search(r"arXiv:\s?\d{4}\.\d{4,5}", header):
        found.append(f"zoo/{name}.py: the header names no paper as arXiv:NNNN.NNNNN")
    if not re.search(rf"gansmith train {re.escape(name)}\b(?!_)", header):
        found.append(f"zoo/{name}.py: the header does not show `gansmith train {name}`")
    return found


def dependencies(project: dict) -> tuple[set[str], set[str]]:
    """The core's and the extras' package names, from the table `project` of pyproject.toml."""
    extras = project["optional-dependencies"].values()
    return package_names(project["dependencies"]), package_names([line for lines in extras for line in lines])


def package_names(requirements: list[str]) -> set[str]:
    return {re.match(r"[\w.-]+", line)[0].lower() for line in requirements}


def unexplained(packages: set[str], page: str) -> list[str]:
    """Packages without a row in the table of docs/dependencies.md."""
    rows = {match.lower() for match in re.findall(r"^\| `?([\w.-]+)`? *\|", page, re.M)}
    return sorted(packages - rows)


def unpinned(packages: set[str], constraints: str) -> list[str]:
    """Packages that constraints.txt does not pin to one version."""
    return sorted(packages - {match.lower() for match in re.findall(r"^([\w.-]+)==\S+$", constraints, re.M)})


# --- the rules, shown a violation --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("gansmith.objectives", "from gansmith.core import Player"),
        ("gansmith.engine.loop", "from gansmith.objectives import hinge_d"),
        ("gansmith.engine.loop", "from gansmith import objectives"),
        ("gansmith.engine.loop", "from ..nets import dcgan"),
        ("gansmith.engine.loop", "import gansmith"),
        ("gansmith.engine.loop", "def f():\n    import gansmith.penalties"),
        ("gansmith.zoo.wgan", "from gansmith.engine import loop"),
        ("gansmith.zoo.wgan", "from gansmith.zoo.gan import GAN"),
        ("gansmith.zoo.wgan", "from . import gan"),
        ("gansmith.cli.train", "from gansmith.zoo import gan"),
        ("gansmith.api", "import gansmith.zoo.gan"),
        ("gansmith.errors", "from gansmith.core import Player"),
        ("gansmith.core", "from gansmith.recipes import find"),
        ("gansmith.parlour", "import torch"),
    ],
)
def test_wrong_direction_is_seen(module: str, source: str) -> None:
    assert len(wrong_directions(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("gansmith.zoo.wgan", "from gansmith.core import Recipe\nfrom gansmith.nets.dcgan import Generator"),
        ("gansmith.engine.loop", "from .files import write\nfrom gansmith.errors import GansmithError"),
        ("gansmith.errors", "import difflib"),
        ("gansmith.cli", "from gansmith import __version__, api, recipes"),
    ],
)
def test_right_direction_passes(module: str, source: str) -> None:
    assert wrong_directions(source, module) == []


def test_relative_import_in_a_package_file_is_resolved() -> None:
    assert wrong_directions("from .loop import train", "gansmith.engine", is_package=True) == []
    assert len(wrong_directions("from ..nets import dcgan", "gansmith.engine", is_package=True)) == 1


def test_foreign_library_is_seen() -> None:
    assert len(foreign_libraries("import math\nimport numpy as np\nfrom torch import nn", "gansmith.nets.mlp")) == 1
    assert foreign_libraries("import numpy as np", "gansmith.data.images") == []


def test_undeclared_and_eager_libraries_are_seen() -> None:
    def check(source: str) -> int:
        return len(undeclared_libraries(source, "gansmith.data.images", {"pillow"}, {"webdataset"}))

    assert check("from PIL import Image\nimport os") == 0
    assert check("def f():\n    import webdataset") == 0
    assert check("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import webdataset") == 0
    assert check("import webdataset") == 1
    assert check("try:\n    import webdataset\nexcept ImportError:\n    pass") == 1
    assert check("def f():\n    import pandas") == 1


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "import torch\ntorch.load('x.pt', weights_only=True)",
        "import numpy as np\nnp.load('x.npy', allow_pickle=True)",
        "import yaml\nyaml.load(text, Loader)",
    ],
)
def test_unsafe_file_is_seen(source: str) -> None:
    assert len(unsafe_files(source, "gansmith.data.arrays")) == 1
    assert unsafe_files("import numpy as np\nnp.load('x.npy', allow_pickle=False)", "gansmith.data.arrays") == []


def test_checked_weights_are_let_through_in_one_place() -> None:
    safe, home = "import torch\ntorch.load(path, weights_only=True)", "gansmith.weights"
    assert unsafe_files(safe, home) == []
    assert len(unsafe_files(safe, "gansmith.evaluation.features.judge")) == 1
    assert len(unsafe_files("import torch\ntorch.load(path)", home)) == 1


def test_long_file_and_long_function_are_seen() -> None:
    body = "    x = 1\n"
    assert len(too_long("x = 1\n" * 401, "m")) == 1 and too_long("x = 1\n" * 400, "m") == []
    assert len(too_long("def f():\n" + body * 60, "m")) == 1 and too_long("def f():\n" + body * 59, "m") == []
    assert too_long('def f():\n    """One.\n\n    Two.\n    """\n' + body * 59, "m") == []


def test_missing_docstring_is_seen() -> None:
    source = '"""A module."""\ndef f(): ...\ndef _g(): ...\nclass C:\n    """A class."""\n    def m(self): ...\n'
    assert [line.split()[1] for line in undocumented(source, "m")] == ["f", "m"]
    assert undocumented("x = 1", "m") == ["m has no docstring"]


def test_poor_header_is_seen() -> None:
    assert poor_header('"""WGAN, arXiv:1701.07875.\n\ngansmith train wgan --data digits\n"""', "wgan") == []
    assert len(poor_header('"""WGAN, arXiv:1701.07875.\n\ngansmith train wgan_gp\n"""', "wgan")) == 1
    assert len(poor_header("x = 1", "wgan")) == 2


def test_missing_row_and_missing_pin_are_seen() -> None:
    assert unexplained({"torch", "numpy"}, "| package | why |\n|---|---|\n| torch | tensors |\n") == ["numpy"]
    assert unpinned({"torch", "numpy"}, "torch==2.13.0\n# numpy==2\nnumpy>=2\n") == ["numpy"]


# --- the package -------------------------------------------------------------------------------------------------

FILES = sorted(PACKAGE.rglob("*.py"))
RECIPES = sorted(path.stem for path in (PACKAGE / "zoo").glob("*.py") if not path.stem.startswith("_"))


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def each_file(rule, *args) -> list[str]:
    """All violations of a rule in the package."""
    return [line for path in FILES for line in rule(path.read_text(), module_of(path), *args)]


def test_the_package_is_found() -> None:
    assert {"gansmith.core", "gansmith.errors", "gansmith"} <= {module_of(path) for path in FILES}
    assert RECIPES


def test_imports_follow_the_table() -> None:
    found = []
    for path in FILES:
        found += wrong_directions(path.read_text(), module_of(path), path.name == "__init__.py")
    assert found == []


def test_rooms_of_tensors_import_torch_alone() -> None:
    assert each_file(foreign_libraries) == []


def test_libraries_are_declared() -> None:
    assert each_file(undeclared_libraries, *dependencies(PROJECT)) == []


def test_no_file_can_run_code() -> None:
    assert each_file(unsafe_files) == []


def test_nothing_is_too_long() -> None:
    assert each_file(too_long) == []


@pytest.mark.parametrize("room", ["core", "errors", "objectives", "penalties"])
def test_public_names_are_documented(room: str) -> None:
    found = [path for path in FILES if room_of(module_of(path)) == room]
    assert found
    assert [line for path in found for line in undocumented(path.read_text(), module_of(path))] == []


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_names_its_paper_and_has_a_page(name: str) -> None:
    assert poor_header((PACKAGE / "zoo" / f"{name}.py").read_text(), name) == []
    assert (ROOT / "docs" / "recipes" / f"{name}.md").is_file(), f"write docs/recipes/{name}.md"


def test_every_dependency_is_explained_and_pinned() -> None:
    packages = set.union(*dependencies(PROJECT))
    assert unexplained(packages, (ROOT / "docs" / "dependencies.md").read_text()) == []
    assert unpinned(packages, (ROOT / "constraints.txt").read_text()) == []


def test_links_of_the_front_pages_lead_somewhere() -> None:
    pages = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    links = [link for page in pages for link in re.findall(r"\]\(([^)#]+)", page.read_text())]
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


@pytest.mark.parametrize("module", ["gansmith", "gansmith.cli"])
def test_import_is_light(module: str) -> None:
    """Help and completion answer at once: torch is imported when something trains or samples."""
    heavy = "{'torch', 'lightning', 'lightning_fabric', 'scipy', 'matplotlib'}"
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (run.stdout.strip(), run.stderr) == ("[]", "")
