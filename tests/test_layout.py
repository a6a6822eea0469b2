"""The layout holds: layers, circles, sizes, words, who imports what is large, where tests are."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator

import pytest

from tests.house import ROOT, SOURCE, House, Module

MOST_LINES = 450
FEWEST_LINES = 60
FEWEST_LINES_TESTED = 100
WHOLE = {
    "capture.budget": "one count",
    "web.routes": "which page is where, and nothing else",
    "backoff": "one value, of use to every layer",
    "cli.apply_journals": "asks quickly whether there are journals; what applies them is heavy",
    "cli.completion": "a command",
    "cli.script_path": "a command",
    "errors": "the tree of all errors",
    "ingest.wake_pace": "one decision, by a clock that tests set",
    "ingester": "where the process is put together",
    "links": "one check, of use to the journal and to the database",
    "sql_functions": "a plugin of other tools",
    "resources": "where the files are that are no modules",
}
"""Modules that are shorter, each with the reason why it is whole."""

BANNED = frozenset(
    """
    Bounded Bringer ChatChunks Counts Deletions Fault Faults Found FrameSplitter Gone Heads Lane
    Made Outcome Passed PassingStoreError Place Reach Reading Recorders Refused ResponseEvents
    Seeker Shelf Stored Sweep Tables Tally Tee Told WELL Wanted Writing accused adapt behind
    beyond breathe bring catch_up errors_told everywhere fold found give_back gone hide humps
    in_force judge lacking legible lent longest lowered made made_stream mask_echoes meant mend
    mended most replayed said standing suspect tell tidy told told_when_interrupted translated
    undecodable unsafe wanted whose
    """.split()
)
"""Names of our own language, for which the glossary has the field's word."""

BANNED_VALUES = frozenset(
    """
    asked begun behind beside brought found further given gone lacking longest made meant passes
    said settled shortest there told wanted where whose
    """.split()
)
"""Names of values that say what became of one, not what it is: a row, a response, a label."""

TESTED_ELSEWHERE = {
    "addon": "acceptance/test_start",
    "backends.postgres.batch": "contract/test_batches",
    "backends.postgres.follow": "unit/queries/test_exchanges_follow",
    "backends.postgres.prune": "unit/pruning/test_prune",
    "backends.postgres.reader": "unit/queries/test_reader_opening_postgres",
    "backends.postgres.resolver": "unit/config/test_postgres_target_resolving",
    "backends.postgres.search_index": "unit/search/test_index",
    "backends.sqlite.bulk_writer": "unit/transfer/test_bulk_writer_rules",
    "backends.sqlite.check": "unit/cli/test_config_connect_sqlite",
    "backends.sqlite.connection": "unit/backends/sqlite/test_files",
    "backends.sqlite.errors": "contract/test_faults",
    "backends.sqlite.follow": "unit/queries/test_exchanges_follow",
    "backends.sqlite.prune": "unit/pruning/test_prune",
    "backends.sqlite.reader": "unit/queries/test_reader_opening",
    "backends.sqlite.search_index": "unit/search/test_index",
    "capture.draft": "unit/ingest/test_interpreter",
    "cli.copy_": "unit/transfer/test_load_commands",
    "cli.export": "unit/transfer/test_load_commands",
    "cli.import_": "unit/transfer/test_load_commands",
    "cli.journal_status": "unit/cli/test_status",
    "cli.progress": "unit/transfer/test_load_progress",
    "cli.search": "unit/search/test_query_command",
    "config.describe": "unit/cli/test_config",
    "format.exchange": "unit/format/test_transcript",
    "format.html_style": "unit/format/test_html",
    "format.terminal": "unit/cli/test_show_screens",
    "ingest.loop": "acceptance/test_ingester",
    "limits": "acceptance/test_limits",
    "mitmweb.render": "unit/mitmweb/test_contentview",
    "model.records": "contract/test_bodies",
    "model.selection": "unit/cli/test_list",
    "model.tables": "unit/transfer/test_jsonl",
    "openai_api.chat_tool_calls": "unit/openai_api/test_chat_stream",
    "openai_api.item_kinds": "unit/cli/test_show_item_kinds",
    "openai_api.response_bodies": "unit/openai_api/test_responses_stream_beside_sdk",
    "pruning.batch": "unit/pruning/test_prune",
    "pruning.redact": "unit/cli/test_redact",
    "queries.captured": "unit/cli/test_run",
    "queries.lookup": "unit/serving/test_answers_stored",
    "queries.statements": "contract/test_monotonic",
    "queries.statistics": "unit/cli/test_stats",
    "redaction.known": "unit/redaction/test_redactor",
    "run.proxy_process": "acceptance/test_run",
    "run.run": "unit/cli/test_run",
    "serving.http_response": "unit/serving/test_answers",
    "transfer.files": "unit/transfer/test_load_commands",
    "transfer.pages": "unit/transfer/test_load_round_trip",
    "web.blocks": "unit/web/test_session_pages",
    "web.bodies": "unit/web/test_exchange_pages",
    "web.page": "unit/web/test_server",
    "web.running": "acceptance/test_web_running",
    "web.time_charts": "unit/web/test_charts",
}
"""Modules of more than 100 lines without a file of their own, and where their tests are."""

MITMPROXY = ("addon", "hooks", "exposure", "capture.flow_facts", "capture.websockets", "mitmweb",
             "run.companion")  # fmt: skip
BACKENDS = ("sqlite", "postgres")
PSYCOPG = ("backends.postgres", "config.postgres_url", "config.postgres_target", "config.tls")


@pytest.fixture(scope="module")
def house() -> House:
    """All modules of the source."""
    return House()


@pytest.fixture(scope="module")
def imported(house: House) -> dict[str, set[str]]:
    """What each module imports from anywhere, wherever in it."""
    return {
        short(module): {
            name.split(".")[0] for node in ast.walk(module.tree) for name in names_of(node)
        }
        for module in house.all.values()
    }


def test_layers(house: House) -> None:
    """What is lower imports nothing that is higher, not even for its types."""
    assert house.unplaced == []
    assert house.against_layers == []


def test_circles(house: House) -> None:
    """No file imports, by whatever way, a file that imports it."""
    assert house.circles == []


def test_sizes(house: House) -> None:
    """A module is one behaviour: neither a section of one, nor several."""
    names = {short(module): module.lines for module in house.modules}
    assert {name for name, lines in names.items() if lines > MOST_LINES} == set()
    assert {name for name, lines in names.items() if lines < FEWEST_LINES} == set(WHOLE)


def test_class_names(house: House) -> None:
    """The name of a public class is that of one class."""
    assert house.shared_classes == {}


def test_words(house: House) -> None:
    """What is defined has a name of the field."""
    places: dict[str, list[str]] = {}
    for module in house.all.values():
        for name in defined(module.tree):
            if name in BANNED:
                places.setdefault(name, []).append(short(module))
    assert places == {}


def test_words_for_values(house: House) -> None:
    """A local, a parameter, an attribute or a field is named after what it is."""
    places: dict[str, list[str]] = {}
    for module in house.all.values():
        for name in named_values(module.tree):
            if name.strip("_") in BANNED | BANNED_VALUES:
                places.setdefault(name, []).append(short(module))
    assert places == {}


@pytest.mark.parametrize(
    ("library", "places"),
    [
        ("mitmproxy", MITMPROXY),
        ("psycopg", PSYCOPG),
        ("tornado", ("web", "run.companion")),
        ("jinja2", ("web",)),
    ],
    ids=["mitmproxy", "psycopg", "tornado", "jinja2"],
)
def test_who_imports(imported: dict[str, set[str]], library: str, places: tuple[str, ...]) -> None:
    """What is large is imported in few places, which are known."""
    importers = {name for name, libraries in imported.items() if library in libraries}
    assert importers
    assert {name for name in importers if not name.startswith(places)} == set()


def test_tests_mirror_the_source(house: House) -> None:
    """A file in `tests/unit` stands where its module does, and begins with its name."""
    modules = {short(module) for module in house.modules}
    strangers = [file for file, module in mirrored(modules).items() if module is None]
    assert strangers == []


def test_the_source_mirrors_the_tests(house: House) -> None:
    """A module of more than 100 lines has a file of tests, or one is named that tests it."""
    lines = {short(module): module.lines for module in house.modules}
    tested = set(mirrored(lines).values())
    large = {name for name, number in lines.items() if number > FEWEST_LINES_TESTED}
    assert large - tested == set(TESTED_ELSEWHERE)
    files = {ROOT / "tests" / f"{name}.py" for name in TESTED_ELSEWHERE.values()}
    assert [str(file) for file in files if not file.is_file()] == []


def test_ways_of_the_data(house: House) -> None:
    """The files on each way are there, and that of a JSON body is short."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    ways = page.partition("## Ways of the data")[2].partition("\n## ")[0].split("\n- **")[1:]
    files = [re.findall(r"`([a-z_0-9]+(?:/[a-z_0-9*]+)*)`", way) for way in ways]
    known = {short(module).replace(".", "/") for module in house.modules}
    named = {name for way in files for name in way}
    assert len(files) == 13
    assert {name.replace("/*/", f"/{kind}/") for name in named for kind in BACKENDS} <= known
    assert len(files[0]) <= 25


def test_where_is_what() -> None:
    """The files that CONTRIBUTING.md names to newcomers are there."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = page.partition("## Where is what")[2].partition("\n## ")[0].partition("| --- |")[2]
    names = re.findall(r"`([a-z_/.]+/[a-z_.]*|[a-z_]+\.py)`", table)
    missing = [one for one in names if not any((top / one).exists() for top in (SOURCE, ROOT))]
    assert (missing, len(table.splitlines()) > 14) == ([], True)


def mirrored(modules: Collection[str]) -> dict[str, str | None]:
    """Return the files in `tests/unit` with the module that each is named after, the longest."""
    places: dict[str, str | None] = {}
    for path in sorted((ROOT / "tests" / "unit").rglob("test_*.py")):
        *folders, name = path.relative_to(ROOT / "tests" / "unit").with_suffix("").parts
        words = name.removeprefix("test_").split("_")
        begins = ("_".join(words[:number]) for number in range(len(words), 0, -1))
        named = (".".join([*folders, begin]) for begin in (*begins, f"{words[0]}_"))
        module = next((one for one in named if one in modules), None)
        places[str(path.relative_to(ROOT))] = module
    return places


def short(module: Module) -> str:
    """Return a module's name within the package."""
    return module.name.partition(".")[2]


def defined(tree: ast.Module) -> Iterator[str]:
    """Yield the names of the functions, classes and constants that a module defines."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
    for node in tree.body:
        if isinstance(node, ast.Assign):
            yield from (one.id for one in node.targets if isinstance(one, ast.Name))


def named_values(tree: ast.Module) -> Iterator[str]:
    """Yield the names that a module gives to values: of functions, parameters, locals, fields."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name
            case ast.arg(arg=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                yield name


def names_of(node: ast.AST) -> list[str]:
    """Return the modules that a statement imports."""
    if isinstance(node, ast.Import):
        return [one.name for one in node.names]
    if isinstance(node, ast.ImportFrom) and not node.level:
        return [node.module or ""]
    return []
