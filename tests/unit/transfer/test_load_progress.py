"""How far something long has come."""

from __future__ import annotations

import pytest

from response_store.cli.progress import ProgressDisplay, show_progress


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_what_is_quick_shows_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    """Within ten seconds a log gets no line."""
    with show_progress(10, "copying", clock=clock) as so_far:
        clock.now += 9.9
        so_far.advance(10)
    assert capsys.readouterr() == ("", "")


def test_a_log_gets_a_line_now_and_then(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    """Count, rate and time left, ten seconds apart; nothing on standard output."""
    with show_progress(100_000, "copying", clock=clock) as so_far:
        for _ in range(22):
            clock.now += 1
            so_far.advance(1000)
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "copying: 10,000 of 100,000, 1,000/s, 1 min 30 s left\n"
        "copying: 20,000 of 100,000, 1,000/s, 1 min 20 s left\n"
    )


def test_without_a_total_there_is_no_time_left(clock: Clock) -> None:
    """What is not known is not told."""
    with show_progress(None, "reading", clock=clock) as so_far:
        clock.now += 20
        so_far.advance(30)
        assert so_far.figures() == "30, 1.5/s"


@pytest.mark.parametrize("columns", [40, 100])
def test_a_terminal_gets_a_bar(
    clock: Clock,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    columns: int,
) -> None:
    """After two seconds; it fits, and is gone at the end."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    with show_progress(1000, "copying [bold]", clock=clock) as so_far:
        assert isinstance(so_far, ProgressDisplay)
        clock.now += 1
        so_far.advance(100)
        assert capsys.readouterr().err == ""
        clock.now += 2
        so_far.advance(100)
    shown = capsys.readouterr().err
    assert "copying [bold]" in shown.replace("\n", "") or columns == 40
    assert shown.endswith("\x1b[2K") or "\x1b[?25h" in shown
