"""What a start imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LISTING = """
import sys
from response_store.cli import main
try:
    main(["list", "--database", sys.argv[1]])
except SystemExit:
    pass
"""


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        (LISTING, "mitmproxy psycopg rich re2 response_store.backends.postgres"),
        (
            "import response_store.addon",
            "psycopg rich re2 jsonschema sqlite3 response_store.cli response_store.ingest.loop",
        ),
    ],
    ids=["list", "addon"],
)
def test_what_a_start_imports(code: str, heavy: str, tmp_path: Path) -> None:
    """What is heavy is imported where it is used."""
    code = f"{code}\nprint('imported:', *[name for name in {heavy.split()} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}", str(tmp_path / "none.db")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "imported:"
