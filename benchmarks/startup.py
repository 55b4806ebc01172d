"""How long the command line takes to answer, in fresh processes, and whether it stays clear of torch.

Targets: `gansmith --help` and `import gansmith` within 0.3 s, and no torch in them nor in `gansmith list`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _common import arguments, interleave, parse, report, summary, table, verdict

VERB = "import sys; from gansmith.cli import main; main(sys.argv[1:])"
LOOK = "; print('torch' in sys.modules, file=sys.stderr)"


def gansmith(*words: str) -> list[str]:
    """The installed command beside this Python; without one, `python -m gansmith`."""
    script = Path(sys.executable).parent / "gansmith"
    return [str(script), *words] if script.is_file() else [sys.executable, "-m", "gansmith", *words]


COMMANDS = {
    "python alone": [sys.executable, "-c", "pass"],
    "import gansmith": [sys.executable, "-c", "import gansmith"],
    "gansmith --help": gansmith("--help"),
    "gansmith list": gansmith("list"),
    "gansmith train r3gan --help": gansmith("train", "r3gan", "--help"),
}
WITHIN = {"import gansmith": 0.3, "gansmith --help": 0.3}
WITHOUT_TORCH = {
    "import gansmith": "import sys, gansmith",
    "gansmith --help": VERB,
    "gansmith list": VERB,
}


def call(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=True, capture_output=True, text=True)


def imports_torch(name: str) -> bool:
    """Whether torch was imported once the command had answered."""
    words = name.split()[1:] if name.startswith("gansmith ") else []
    return call([sys.executable, "-c", WITHOUT_TORCH[name] + LOOK, *words]).stderr.split()[-1] == "True"


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    args = parse(arguments("startup", __doc__ or "", repeats=15), argv)
    variants = {name: lambda c=command: call(c) for name, command in COMMANDS.items()}
    seconds = interleave(variants, args.repeats, warmup=1)
    torch = {name: imports_torch(name) for name in WITHOUT_TORCH}
    rows = []
    for name, values in seconds.items():
        s = summary(values)
        rows.append([name, s["min"], s["p10"], s["median"], {True: "yes", False: "no"}.get(torch.get(name), "")])
    table(["command", "min s", "p10 s", "median s", "imports torch"], rows)
    verdicts = [verdict(f"{k}, median seconds", summary(seconds[k])["median"], at_most=s) for k, s in WITHIN.items()]
    verdicts += [verdict(f"{name}, imports torch", torch[name], at_most=0) for name in torch]
    commands = {name: [Path(c[0]).name, *c[1:]] for name, c in COMMANDS.items()}
    return report(args, {"commands": commands}, seconds, {"imports_torch": torch}, verdicts)


if __name__ == "__main__":
    main()
