"""The rules of the house, checked: who imports whom, how large things are, where the environment is read, what names mean."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROOMS = ("api", "blocks", "core", "deployments", "flows", "tasks")
LINES = 300
LINES_OF_TESTS = 400
LINES_OF_A_FUNCTION = 60
LARGER: dict[str, int] = {}
"""Files allowed to be larger, with the size they may have. It starts empty, and a size in it only ever goes down."""
VAGUE = ("utils", "util", "helpers", "helper", "manager", "managers", "common", "misc")


def files(*folders: str) -> list[Path]:
    return sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py"))


def name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def functions(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree(file)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def python(code: str, **environ: str) -> str:
    """What a fresh interpreter prints; it must end well and say nothing else. Nothing of the caller's environment is in it."""
    done = subprocess.run(
        [sys.executable, "-W", "error::SyntaxWarning", "-c", code],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false", **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_rooms_import_downward_only() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True, no_logo=True))",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_files_keep_their_size() -> None:
    sizes = {name(file): len(file.read_text(encoding="utf-8").splitlines()) for file in files(*ROOMS, "tests")}
    limits = {file: LARGER.get(file, LINES_OF_TESTS if file.startswith("tests/") else LINES) for file in sizes}
    assert {file: size for file, size in sizes.items() if size > limits[file]} == {}
    assert set(LARGER) <= set(sizes), "an exception for a file that is gone"


def test_functions_keep_their_length() -> None:
    long = {
        f"{name(file)}:{function.lineno} {function.name}": length
        for file in files(*ROOMS, "tests")
        for function in functions(file)
        if (length := (function.end_lineno or 0) - function.lineno + 1) > LINES_OF_A_FUNCTION
    }
    assert long == {}


def test_every_module_says_what_it_is() -> None:
    assert [name(file) for file in files(*ROOMS, "tests") if not ast.get_docstring(tree(file))] == []


def test_the_environment_is_read_in_one_file() -> None:
    readers = {
        name(file)
        for file in files(*ROOMS)
        for node in ast.walk(tree(file))
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv", "putenv"} and _is_os(node.value))
        or (
            isinstance(node, ast.ImportFrom)
            and node.module == "os"
            and {"environ", "getenv"} & {item.name for item in node.names}
        )
    }
    assert readers == {"core/config.py"}


def _is_os(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "os"


def test_names_say_something() -> None:
    stems = {name(file) for file in files(*ROOMS) if file.stem in VAGUE or file.stem.startswith("base_")}
    classes = {
        f"{name(file)}: {node.name}"
        for file in files(*ROOMS)
        for node in ast.walk(tree(file))
        if isinstance(node, ast.ClassDef) and node.name.endswith(("Manager", "Helper", "Utils"))
    }
    assert stems | classes == set()


def test_a_protocol_is_small() -> None:
    large = {
        f"{name(file)}: {node.name}"
        for file in files(*ROOMS)
        for node in ast.walk(tree(file))
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases)
        and sum(isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) for item in node.body) > 5
    }
    assert large == set()


def test_no_public_function_takes_or_returns_a_bare_any() -> None:
    """JSON objects are ``dict[str, Any]``; anything else that crosses a room's wall has a type of its own."""
    loose = {
        f"{name(file)}:{function.lineno} {function.name}"
        for file in files(*ROOMS)
        for function in _public(tree(file))
        for annotation in _annotations(function)
        if "Any" in ast.unparse(annotation).replace(" ", "").split("|")
    }
    assert loose == set()


def _public(scope: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in scope.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _public(node)


def _annotations(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.expr]:
    given = function.args
    for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg):
        if argument is not None and argument.annotation is not None:
            yield argument.annotation
    if function.returns is not None:
        yield function.returns


def test_tests_wait_for_conditions_and_do_not_sleep() -> None:
    """Only the waiting itself sleeps, what starts a server for tests, and stand-in servers whose slowness is the point."""
    sleepers = {
        f"{name(file)}:{node.lineno}"
        for file in files("tests")
        if file.name.startswith("test_") or file.name == "conftest.py"
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"time.sleep", "asyncio.sleep", "sleep"}
        and not _yields_only(node)
    }
    assert sleepers == set()


def _yields_only(call: ast.Call) -> bool:
    """``asyncio.sleep(0)`` lets other tasks run and waits for nothing."""
    return bool(call.args) and isinstance(call.args[0], ast.Constant) and call.args[0].value == 0


def test_the_command_line_starts_without_the_heavy_libraries() -> None:
    heavy = {"prefect", "fastapi", "sqlalchemy", "openai", "alembic"}
    loaded = python("import sys, deployments.cli\nprint(*sorted({module.partition('.')[0] for module in sys.modules}))")
    assert heavy & set(loaded.split()) == set()


def test_modules_import_without_a_server_a_profile_or_a_word(tmp_path: Path) -> None:
    rooms = ("core", "blocks", "tasks", "flows")
    modules = [name(file).removesuffix(".py").replace("/", ".").removesuffix(".__init__") for file in files(*rooms)]
    modules = [module for module in modules if ".migrations" not in module]
    imports = "\n".join(f"import {module}" for module in modules)
    said = python(f"{imports}\nprint('imported')", HOME=str(tmp_path), PREFECT_API_URL="http://127.0.0.1:9/api")
    assert said == "imported"
    assert [path.name for path in tmp_path.iterdir() if path.name != ".prefect"] == []


def test_the_ground_floor_loads_neither_prefect_nor_fastapi() -> None:
    modules = [name(file).removesuffix(".py").replace("/", ".") for file in files("core") if "migrations" not in file.parts]
    imports = "\n".join(f"import {module}" for module in modules if not module.endswith("__init__"))
    loaded = python(f"{imports}\nimport sys\nprint(*sorted({{module.partition('.')[0] for module in sys.modules}}))")
    assert {"prefect", "fastapi", "starlette"} & set(loaded.split()) == set()
