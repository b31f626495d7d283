"""The rules of the house that no linter knows. Each check is a function from a folder to offences, and each is tried
on a planted offender, so that a check that can't fail doesn't pass for one that does."""

import ast
import functools
import re
import shutil
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from everloop.settings import Settings

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "everloop"

LONGEST_FILE, MEDIAN_FILE, LONGEST_FUNCTION, MOST_METHODS, DEEPEST, MOST_SETTINGS = 600, 200, 80, 15, 2, 25
EMPTY_NAMES = {"util", "utils", "common", "helper", "helpers", "manager", "managers", "base", "core", "misc", "stuff"}
EMPTY_ENDINGS = ("Manager", "Helper", "Helpers", "Util", "Utils", "Misc")
EXECUTING_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "skops", "torch"}
EXECUTING_CALLS = {"eval", "exec", "compile", "__import__"}
SQL = re.compile(
    r"\b(SELECT\s.+\sFROM\s|INSERT\s+(OR\s+\w+\s+)?INTO\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s|"
    r"(CREATE|DROP|ALTER)\s+(UNIQUE\s+)?(TABLE|INDEX|VIEW|TRIGGER)\b|PRAGMA\s+\w+|BEGIN\s+IMMEDIATE)",
    re.DOTALL,
)


def sources(package: Path) -> Iterator[tuple[str, ast.Module, int]]:
    """Name from the package's parent, tree and number of lines of every module."""
    for path in sorted(package.rglob("*.py")):
        yield path.relative_to(package.parent).as_posix(), *parsed(path.read_text(encoding="utf-8"))


@functools.cache
def parsed(text: str) -> tuple[ast.Module, int]:
    return ast.parse(text), len(text.splitlines())


@functools.cache
def nodes(tree: ast.Module) -> list[ast.AST]:
    return list(ast.walk(tree))


def large_rooms(package: Path) -> list[str]:
    sizes = {name: lines for name, _, lines in sources(package)}
    found = [f"{name}: {n} lines" for name, n in sizes.items() if n > LONGEST_FILE]
    median = statistics.median(sizes.values())
    return found + ([f"median file: {median:.0f} lines"] if median >= MEDIAN_FILE else [])


def large_pieces(package: Path) -> list[str]:
    found = []
    for name, tree, _ in sources(package):
        for node in nodes(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    found.append(f"{name}: {node.name} has {lines} lines")
            elif isinstance(node, ast.ClassDef):
                methods = [m for m in node.body if isinstance(m, ast.FunctionDef | ast.AsyncFunctionDef)]
                public = sum(not m.name.startswith("_") for m in methods)
                if public > MOST_METHODS:
                    found.append(f"{name}: {node.name} has {public} public methods")
    return found


def deep_rooms(package: Path) -> list[str]:
    return [name for name, _, _ in sources(package) if name.count("/") > DEEPEST]


def empty_names(package: Path) -> list[str]:
    found = []
    for name, tree, _ in sources(package):
        found += [f"{name}: {part}" for part in Path(name).with_suffix("").parts if part.strip("_") in EMPTY_NAMES]
        classes = (node for node in nodes(tree) if isinstance(node, ast.ClassDef))
        found += [f"{name}: {c.name}" for c in classes if c.name.endswith(EMPTY_ENDINGS)]
    return found


def hidden_imports(package: Path) -> list[str]:
    """First-party imports inside a function, except under ``try … except ImportError`` (an optional extra) and in
    the package's own ``__getattr__``; imports by name anywhere but where the command line loads its command."""
    found = []
    for name, tree, _ in sources(package):
        optional = {
            id(inner)
            for node in nodes(tree)
            if isinstance(node, ast.Try) and any("ImportError" in ast.unparse(h.type or node) for h in node.handlers)
            for statement in node.body
            for inner in ast.walk(statement)
        }
        deep = any(_first_party(node, package.name) for node in nodes(tree) if node not in tree.body)
        for function in nodes(tree) if deep else ():
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if (name, function.name) == (f"{package.name}/__init__.py", "__getattr__"):
                continue
            for node in ast.walk(function):
                if id(node) not in optional and _first_party(node, package.name):
                    found.append(f"{name}:{getattr(node, 'lineno', 0)}: {ast.unparse(node)}")
        if name != f"{package.name}/cli/__init__.py":
            calls = (node for node in nodes(tree) if isinstance(node, ast.Call))
            found += [f"{name}:{c.lineno}: import by name" for c in calls if _called(c).endswith("import_module")]
    return sorted(set(found))


def _first_party(node: ast.AST, package: str) -> bool:
    if isinstance(node, ast.Import):
        return any(alias.name.split(".")[0] == package for alias in node.names)
    return isinstance(node, ast.ImportFrom) and (node.level > 0 or (node.module or "").split(".")[0] == package)


def _called(node: ast.AST) -> str:
    """The dotted name of what is called, as far as it has one."""
    if isinstance(node, ast.Call):
        return _called(node.func)
    if isinstance(node, ast.Attribute):
        return f"{_called(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def executing_loads(package: Path) -> list[str]:
    """What runs code that a file brings."""
    found = []
    for name, tree, _ in sources(package):
        for node in nodes(tree):
            modules: list[str] = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
            found += [f"{name}:{node.lineno}: {m}" for m in modules if EXECUTING_MODULES & set(m.split("."))]
            if isinstance(node, ast.Call):
                call = _called(node)
                loose = any(k.arg == "allow_pickle" and ast.unparse(k.value) != "False" for k in node.keywords)
                if call in EXECUTING_CALLS or call in {"yaml.load", "yaml.unsafe_load"} or loose:
                    found.append(f"{name}:{node.lineno}: {call}")
    return found


def strange_sql(package: Path) -> list[str]:
    """SQL, or a database driver, anywhere but in the store."""
    found = [
        p.relative_to(package).as_posix() for p in package.rglob("*.sql") if p.relative_to(package).parts[0] != "store"
    ]
    for name, tree, _ in sources(package):
        if name.split("/")[1] == "store":
            continue
        for node in nodes(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.search(node.value):
                found.append(f"{name}:{node.lineno}: {' '.join(node.value.split())[:60]}")
            if isinstance(node, ast.Import) and any(a.name.split(".")[0] in {"sqlite3", "psycopg"} for a in node.names):
                found.append(f"{name}:{node.lineno}: {ast.unparse(node)}")
    return found


def undocumented(fields: list[str], pages: list[str]) -> list[str]:
    """Settings that no page names by their environment variable, and too many of them."""
    text = "\n".join(pages)
    found = [name for name in fields if not re.search(rf"\bEVERLOOP_{name.upper()}\b", text)]
    return found + ([f"{len(fields)} settings"] if len(fields) > MOST_SETTINGS else [])


def loose_pins(constraints: str, wanted: list[str]) -> list[str]:
    """Lines that are not name==version, and what `wanted` asks for without a pin."""
    lines = [line for line in constraints.splitlines() if line.strip() and not line.startswith("#")]
    pin = re.compile(r"([A-Za-z0-9._-]+)==[A-Za-z0-9.!+]+")
    found = [line for line in lines if not pin.fullmatch(line)]
    pinned = {_canonical(line.split("==")[0]) for line in lines}
    names = [_canonical(re.match(r"[A-Za-z0-9._-]+", want).group()) for want in wanted]  # type: ignore[union-attr]
    return found + [f"{name} has no pin" for name in names if name not in pinned]


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


CHECKS = [large_rooms, large_pieces, deep_rooms, empty_names, hidden_imports, executing_loads, strange_sql]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_house_keeps_its_rules(check):
    assert check(PACKAGE) == []


def test_every_setting_is_documented_and_they_are_few():
    pages = [p.read_text(encoding="utf-8") for p in (ROOT / "README.md", *ROOT.glob("docs/**/*.md")) if p.is_file()]
    assert undocumented([info.name for info in msgspec.structs.fields(Settings)], pages) == []


def test_every_dependency_is_pinned_without_an_address():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = project["dependencies"] + [w for group in project["optional-dependencies"].values() for w in group]
    assert loose_pins((ROOT / "constraints.txt").read_text(encoding="utf-8"), wanted) == []


OFFENDERS = [
    (large_rooms, "stats/long.py", "x = 1\n" * 601, "601 lines"),
    (large_rooms, "stats/long.py", "x = 1\n" * 500, "median"),
    (large_pieces, "stats/a.py", "def f():\n" + "    x = 1\n" * 80, "f has 81 lines"),
    (large_pieces, "stats/a.py", "class A:\n" + "".join(f"    def m{i}(self): ...\n" for i in range(16)), "16 public"),
    (deep_rooms, "stats/deep/down.py", "", "stats/deep/down.py"),
    (empty_names, "stats/utils.py", "", "utils"),
    (empty_names, "core/bounds.py", "", "core"),
    (empty_names, "stats/a.py", "class LoopManager: ...", "LoopManager"),
    (hidden_imports, "stats/a.py", "def f():\n    from house.store import x", "from house.store import x"),
    (hidden_imports, "stats/a.py", "async def f():\n    from . import x", "from . import x"),
    (hidden_imports, "stats/a.py", "class A:\n    def f(self):\n        import house.store", "import house.store"),
    (hidden_imports, "stats/a.py", "def __getattr__(name):\n    from house import store", "from house import store"),
    (hidden_imports, "stats/a.py", "import importlib\nx = importlib.import_module('house.y')", "by name"),
    (executing_loads, "stats/a.py", "import pickle", "pickle"),
    (executing_loads, "stats/a.py", "from sklearn.externals import joblib", "joblib"),
    (executing_loads, "stats/a.py", "x = eval('1')", "eval"),
    (executing_loads, "stats/a.py", "def f(text):\n    exec(text)", "exec"),
    (executing_loads, "stats/a.py", "x = yaml.load(file)", "yaml.load"),
    (executing_loads, "stats/a.py", "x = np.load(file, allow_pickle=True)", "np.load"),
    (strange_sql, "stats/a.py", 'q = "SELECT id FROM interactions WHERE 1"', "SELECT"),
    (strange_sql, "stats/a.py", 'q = f"DELETE FROM {table} "', "DELETE"),
    (strange_sql, "stats/a.py", "import sqlite3", "sqlite3"),
    (strange_sql, "stats/queries.sql", "", "queries.sql"),
]


@pytest.mark.parametrize(("check", "name", "text", "says"), OFFENDERS)
def test_each_check_finds_a_planted_offender(check, name, text, says, tmp_path):
    planted = tmp_path / "house" / name
    planted.parent.mkdir(parents=True)
    planted.write_text(text, encoding="utf-8")
    assert says in " ".join(check(tmp_path / "house"))


INNOCENTS = [
    (
        hidden_imports,
        "stats/a.py",
        "def f():\n    try:\n        from house.x import y\n    except ImportError:\n        y = 1",
    ),
    (hidden_imports, "__init__.py", "def __getattr__(name):\n    from house import store\n    return store"),
    (hidden_imports, "cli/__init__.py", "import importlib\nx = importlib.import_module('house.y')"),
    (hidden_imports, "stats/a.py", "from house.store import x\ndef f():\n    import math"),
    (executing_loads, "stats/a.py", "import re\nx = re.compile('a')\nmodel.eval()\ny = np.load(f, allow_pickle=False)"),
    (strange_sql, "store/a.py", 'import sqlite3\nq = "SELECT id FROM interactions WHERE 1"'),
    (strange_sql, "stats/a.py", '"""Select from the rows what an update sets; delete from it nothing."""'),
    (empty_names, "stats/based.py", "class Common: ..."),
]


@pytest.mark.parametrize(("check", "name", "text"), INNOCENTS)
def test_no_check_blames_the_innocent(check, name, text, tmp_path):
    planted = tmp_path / "house" / name
    planted.parent.mkdir(parents=True, exist_ok=True)
    planted.write_text(text, encoding="utf-8")
    assert check(tmp_path / "house") == []


def test_the_checks_of_documents_find_offenders():
    assert undocumented(["port"], ["the port", "EVERLOOP_PORTS"]) == ["port"]
    assert undocumented(["port"], ["| `EVERLOOP_PORT` | 8700 |"]) == []
    many = [f"dial_{i}" for i in range(26)]
    assert undocumented(many, [f"EVERLOOP_{name.upper()}" for name in many]) == ["26 settings"]
    assert loose_pins("a==1.0\nb>=2\nc @ https://x.example/c.whl\n", ["A>=1", "d; python_version > '3'"]) == [
        "b>=2", "c @ https://x.example/c.whl", "d has no pin",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        (None, "", "kept"),
        (
            "stats/upward.py",
            "from everloop.store import protocols",
            "everloop.stats is not allowed to import everloop.store",
        ),
        ("train/sideways.py", "import everloop.evaluate", "everloop.train is not allowed to import everloop.evaluate"),
        ("newroom/__init__.py", "", "newroom"),
    ],
)
def test_the_layers_are_checked(name, text, says, tmp_path):
    linter = shutil.which("lint-imports", path=Path(sys.executable).parent)
    if linter is None:
        pytest.skip("import-linter is not installed")
    shutil.copytree(PACKAGE, tmp_path / "everloop", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    if name is not None:
        planted = tmp_path / "everloop" / name
        planted.parent.mkdir(exist_ok=True)
        planted.write_text(text, encoding="utf-8")
    done = subprocess.run([linter, "--no-cache"], cwd=tmp_path, capture_output=True, text=True, check=False)
    shown = " ".join((done.stdout + done.stderr).split())
    assert (done.returncode == 0) == (name is None), shown
    assert says.lower() in shown.lower()
