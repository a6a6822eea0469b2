"""Measure the layout of the source: `python -m tests.house [FOLDER]` prints a table; tests hold it.

Everything is read by `ast`; nothing of the package is imported. All imports count, those in
functions and those for types alone as well: whoever reads a module has to follow them.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "response_store"
SOURCE = ROOT / "addon" / PACKAGE

LAYERS = (
    "errors diagnostics jsontext limits links resources backoff sites requirements",
    "model",
    "openai_api",
    "config redaction",
    "capture journal",
    "pricing",
    "queries",
    "search pruning transfer format",
    "backends",
    "ingest",
    "serving session runtime",
    "run ingester mitmweb cli web hooks addon exposure sql_functions",
)
"""Packages and modules at the top, the lowest first: what is lower never imports what is higher."""

_ARTICLES = ("The ", "A ", "An ", "What ", "Whether ")
_VERBS = frozenset(
    """
    accept accumulate belongs classify distrust fits identify increment lacks ping quieten reads
    replaces roll says shows stamp unwrap
    acquire add adapt admit advance allow announce answer append apply are arrange
    as ask assemble begin bind borrow bound break bring broadcast build bytes can cancel capture
    catch change check choose clean clear clip close collect combine compare compile complete
    compress compute configure connect contains continue convert copy count create cut decide decode
    decompress defer define delay delete describe detect determine digest discard dispatch do
    download drain drop dump encode end ends enforce ensure enter escape estimate evict examine
    exchange exclude execute exists exit expand expect expire explain export extend extract fail
    feed fetch fill filter find finish fit fix flush fold follow forget format forward free freeze
    gather generate get give go goes greet group guard guess handle has hash have hide hold holds
    ignore import in index infer inherit init insert inspect install interpret interrupt invalidate
    is iterate join judge keep keeps kill knows label launch lay leave leaves let limit list load
    locate lock log look lookup lower make manage map mark mask match matches may means measure
    merge migrate minimize move must name narrow needs normalize note notify number object observe
    offer omit open order outline pack pad parse pass paste patch pause pick plan play poll pop post
    prefer prefix prepare present prevent print probe process promise prune publish pull push put
    quote raise rank reach read rebuild receive recognise recognize reconnect record redact redirect
    reduce refuse register reject relate release reload remember remove rename render repair repeat
    replace reply report request require reset resolve respond restart restore resume retire retry
    return reveal revert rewind rotate round run save say scan schedule search see select send
    separate serialize serve set shorten should show shrink shut signal size skip sleep slice sort
    speaks spell split spread start stat stop store stream strip sum summarize supply suppress
    sweep switch sync synthesize take tell terminate test throttle tokenize touch trace track
    transfer translate trim truncate try turn unescape unpack unquote update upgrade upsert use
    validate verify visit void wait wake walk warn was watch weigh will wipe with without wrap write
    yield
    """.split()
)


class Module(NamedTuple):
    """One file of the source, parsed."""

    name: str
    path: Path
    text: str
    tree: ast.Module

    @property
    def lines(self) -> int:
        """Return the number of its lines."""
        return len(self.text.splitlines())

    @property
    def is_package(self) -> bool:
        """Return whether it is the `__init__` of a package."""
        return self.path.name == "__init__.py"

    @property
    def top(self) -> str:
        """Return the first part of its name within the package."""
        return self.name.split(".")[1] if "." in self.name else ""


class House:
    """All modules of the source, and what they import of each other."""

    def __init__(self, source: Path = SOURCE) -> None:
        self.all = {module.name: module for module in _modules(source)}
        self.modules = [module for module in self.all.values() if not module.is_package]

    @cached_property
    def imports(self) -> dict[str, set[str]]:
        """Return the modules of ours that each module imports, wherever in it."""
        return {name: set(self._imported(module)) for name, module in self.all.items()}

    def _imported(self, module: Module) -> Iterator[str]:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Import):
                yield from (one.name for one in node.names if one.name in self.all)
            elif isinstance(node, ast.ImportFrom):
                origin = _origin(module, node)
                for one in node.names:
                    full = f"{origin}.{one.name}"
                    if full in self.all or origin in self.all:
                        yield full if full in self.all else origin

    @cached_property
    def circles(self) -> list[list[str]]:
        """Return each group of files that import each other, directly or by way of others."""
        return _circles(self.imports)

    @cached_property
    def against_layers(self) -> list[str]:
        """Return each import of something higher, as `importer -> imported`."""
        rank = {name: number for number, names in enumerate(LAYERS) for name in names.split()}
        return [
            f"{name} -> {other}"
            for name, others in self.imports.items()
            for other in sorted(others)
            if (low := self.all[name].top) and (high := self.all[other].top)
            if rank.get(high, -1) > rank.get(low, len(LAYERS))
        ]

    @cached_property
    def unplaced(self) -> list[str]:
        """Return the names at the top that have no layer."""
        known = {name for names in LAYERS for name in names.split()}
        return sorted({module.top for module in self.all.values()} - known - {""})

    @cached_property
    def sections(self) -> list[str]:
        """Return the modules that one module imports, which stands in the same folder."""
        importers = defaultdict(set)
        for name, others in self.imports.items():
            for other in others - {name}:
                importers[other].add(name)
        return [
            module.name
            for module in self.modules
            if len(importers[module.name]) == 1
            if {one.rpartition(".")[0] for one in importers[module.name]}
            == {module.name.rpartition(".")[0]}
        ]

    @cached_property
    def functions(self) -> list[str]:
        """Return the names of all functions at the top of a module."""
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        return [node.name for one in self.all.values() for node in one.tree.body
                if isinstance(node, kinds)]  # fmt: skip

    @cached_property
    def shared_classes(self) -> dict[str, list[str]]:
        """Return the names of public classes that several modules define, with the modules."""
        places = defaultdict(list)
        for module in self.all.values():
            for node in module.tree.body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places[node.name].append(module.name)
        return {name: found for name, found in places.items() if len(found) > 1}

    def measures(self) -> dict[str, str]:
        """Return what is measured, by name."""
        lines = [module.lines for module in self.modules]
        docstrings = [text for module in self.all.values() for text in _docstrings(module.tree)]
        verbs = sum(starts_with_verb(name) for name in self.functions)
        articles = sum(text.startswith(_ARTICLES) for text in docstrings)
        imports = sum(import_lines(module.tree) for module in self.all.values())
        total = sum(module.lines for module in self.all.values())
        return {
            "modules, mean lines": f"{len(lines)}, {sum(lines) / len(lines):.0f}",
            "modules under 60 lines": str(sum(number < 60 for number in lines)),
            "modules with one importer, in their own folder": str(len(self.sections)),
            "import lines, % of all": f"{100 * imports / total:.2f}",
            "module-level functions that start with a verb, %": _share(verbs, self.functions),
            "docstrings that start The/A/An/What/Whether, %": _share(articles, docstrings),
            "public class names with 2 or more meanings": str(len(self.shared_classes)),
            "circles of files": str(len(self.circles)),
            "imports against the layers": "-" if self.unplaced else str(len(self.against_layers)),
        }


def starts_with_verb(name: str) -> bool:
    """Return whether a function's name begins with a verb."""
    return name.lstrip("_").split("_")[0] in _VERBS


def import_lines(tree: ast.Module) -> int:
    """Return how many lines a module's imports take."""
    return sum(
        (node.end_lineno or node.lineno) - node.lineno + 1
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    )


def _modules(source: Path) -> Iterator[Module]:
    for path in sorted(source.rglob("*.py")):
        relative = path.relative_to(source.parent)
        if "script" in relative.parts:
            continue  # what mitmproxy loads by its path
        parts = relative.with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text(encoding="utf-8")
        yield Module(name, path, text, ast.parse(text))


def _origin(module: Module, node: ast.ImportFrom) -> str:
    """Return the module that a `from` names, also a relative one."""
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    kept = len(parts) - node.level + module.is_package
    return ".".join([*parts[:kept], *([node.module] if node.module else [])])


def _circles(imports: dict[str, set[str]]) -> list[list[str]]:
    """Return the strongly connected parts of a graph that have more than one node (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in imports[name]:
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            part = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(part) > 1:
                found.append(sorted(part))

    for name in imports:
        if name not in index:
            visit(name)
    return found


def _docstrings(tree: ast.Module) -> Iterator[str]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, kinds) and (text := ast.get_docstring(node)):
            yield text


def _share(part: int, whole: list[str]) -> str:
    return f"{100 * part / len(whole):.0f}"


def main() -> None:
    """Print the measures as a table, of the package in another folder if one is named."""
    sys.setrecursionlimit(10_000)
    source = Path(sys.argv[1]) if sys.argv[1:] else SOURCE
    for name, value in House(source).measures().items():
        sys.stdout.write(f"| {name} | {value} |\n")


if __name__ == "__main__":
    main()
