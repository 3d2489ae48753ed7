"""Who may import whom, and what the light verbs must not load.

Each guard was seen red once:
- ``from .report import lines`` at the top of run.py, and ``from . import report`` inside a function of it:
  test_a_module_imports_only_its_row_and_those_below, "unplateau.run (row 1) imports unplateau.report (row 4)";
- a module fresh.py that the table lacks: test_every_module_has_a_row;
- ``import numpy`` in errors.py: test_help_loads_no_numpy;
- ``import torch`` (an empty torch.py on the path) in diagnosis.py: test_the_light_verbs_load_nothing_heavy for
  diagnose and diagnose --json;
- ``1/0`` at the top of cli/__init__.py, so that nothing heavy is loaded since nothing runs: all of the last two.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import unplateau

ROOT = Path(unplateau.__file__).parent
LOG = ROOT / "examples" / "reference-run" / "train.log"
HEAVY = {"torch", "pandas", "pyarrow", "matplotlib", "sklearn"}

FORECAST = ("outlook", "asked", "counterfactual", "futures", "premises", "reach", "unpriced")
#: a module, or a folder with all that is in it, and its row; a folder's name stands for its __init__ too
ROWS = {
    5: ("cli", "__main__", "", "api"),  # the package itself is the Python API: nothing below imports it
    4: ("report", "watch", "integrations"),
    3: (
        "diagnosis",
        "heard",
        "reading",
        "logs",
        "captures",
        "budget",
        "exposure",
        "reference",
        *FORECAST,
        "probe",
        "probes",
        *("fix", "fixed", "launch"),
        "verify",
        "predicted",
        "measured",
        "settings",
        "comparison",
        "simulate",
        "demo",
    ),
    2: ("hypotheses", "laws", "readers", "train", "prepare"),
    1: (
        "run",
        "state",
        "student",
        "config",
        "derive",
        "implausible",
        "planned",
        "timing",
        "cost",
        "contradictions",
        "manifest",
        "checkpoint",
        "tensors",
        "weights",
        "_pickle",
        "tokens",
        "evidence",
        "record",
        "evaluated",
    ),
    0: (
        "schedules",
        "curve",
        "shape",
        "estimate",
        "calibration",
        "units",
        "plugins",
        "errors",
        "source",
        "unpack",
        "places",
        "facts",
        "stored",
        "durable",
        "spare",
        "devices",
        "secrets",
        "runlog",
        "eventfile",
        "given",
        "__version__",  # stands in the package itself
    ),
}
ROW = {name: row for row, names in ROWS.items() for name in names}
#: rooms of row 2 that know only the facts of a run, not each other
APART = {
    "train": {"hypotheses", "laws", "readers", "prepare"},
    "prepare": {"hypotheses", "laws", "readers", "train"},
}


def modules():
    # the examples hold the config of a run, which is data and never imported
    return {
        module_of(p): p for p in sorted(ROOT.rglob("*.py")) if "examples" not in p.relative_to(ROOT).parts
    }


def module_of(path):
    """``readers/nanogpt.py`` -> ``readers.nanogpt``; the package itself is the empty name."""
    return ".".join(p for p in path.relative_to(ROOT).with_suffix("").parts if p != "__init__")


def top(module):
    return module.partition(".")[0]


def imports(source, module, is_package):
    """The package's modules that ``source`` imports, also inside functions, as names below ``unplateau``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = absolute(node, module, is_package)
            # `from . import report` names a module, `from .report import x` holds one
            names = [f"{base}.{alias.name}" if base == "unplateau" else base for alias in node.names]
        else:
            continue
        for name in names:
            if name == "unplateau" or name.startswith("unplateau."):
                yield name.removeprefix("unplateau").removeprefix(".")


def absolute(node, module, is_package):
    if not node.level:
        return node.module or ""
    parts = ["unplateau", *(module.split(".") if module else [])]
    parts = parts[: len(parts) - node.level + is_package]
    return ".".join([*parts, *([node.module] if node.module else [])])


def breaches(source, module, is_package=False):
    """Imports of a higher row, or of a room that is to stay apart."""
    mine = ROW.get(top(module), 0)
    for name in imports(source, module, is_package):
        # a name of the package's own __init__, or a module without row
        other = top(name) if top(name) in ROW else ""
        if ROW[other] > mine or other in APART.get(top(module), ()):
            yield f"unplateau.{module} (row {mine}) imports unplateau.{name} (row {ROW[other]})"


def test_every_module_has_a_row():
    assert {top(name) for name in modules()} - set(ROW) == set()


def test_a_module_imports_only_its_row_and_those_below():
    found = modules()
    wrong = [b for m, p in found.items() for b in breaches(p.read_text("utf-8"), m, p.name == "__init__.py")]

    assert len(found) > 20  # else nothing was looked at
    assert wrong == []


@pytest.mark.parametrize(
    "source",
    [
        "from .report import text",
        "from .report.text import text",
        "from . import report",
        "import unplateau.report.text",
        "from unplateau import report",
        "import unplateau",
        "from . import api",
        "def f():\n    from .cli import main",
    ],
)
def test_the_layer_test_sees_every_way_to_import(source):
    assert list(breaches(source, "run"))


def test_the_layer_test_sees_imports_from_inside_a_folder():
    assert list(breaches("from ..report import text", "readers.nanogpt"))
    assert list(breaches("from ..report import text", "readers", is_package=True))
    assert list(breaches("from .report import text", "readers", is_package=True)) == []  # readers/report.py
    assert list(breaches("from ..readers import choose", "train.loop"))


def loaded(*args):
    """The modules that a verb has loaded when it ends."""
    code = (
        "import sys\n"
        "from unplateau.cli import main\n"
        f"code = main({list(args)!r})\n"
        "print('EXIT', code, *sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=False)
    words = done.stderr.rpartition("EXIT ")[2].split()
    assert words[0] == "0", done.stderr  # else this would pass on a crash
    assert "unplateau.cli" in words
    return {word.partition(".")[0] for word in words}


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        ["read", str(LOG)],
        ["diagnose", str(LOG)],
        ["diagnose", "--json", str(LOG)],
        ["forecast", str(LOG)],
        ["causes"],
        ["demo", "--help"],
        ["train", "--help"],
        ["train", "--print-config"],
    ],
    ids=" ".join,
)
def test_the_light_verbs_load_nothing_heavy(args):
    assert HEAVY.isdisjoint(loaded(*args))


def test_help_loads_no_numpy():
    assert {"numpy", "scipy", "rich", "msgspec", "yaml"}.isdisjoint(loaded("--help"))
    assert {"numpy", "scipy", "rich", "msgspec", "yaml"}.isdisjoint(loaded("train", "--help"))
