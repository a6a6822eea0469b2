"""Charts that are drawn on the server."""

from __future__ import annotations

from response_store.web.charts import WIDTH, build_scale
from response_store.web.time_charts import MAX_STEPS, list_steps


def test_a_pause_is_short() -> None:
    """What ran takes the room, whatever time passed between."""
    scale = build_scale([(0, 10), (1000, 1010), (1005, 1020)])
    places = [scale.place(at) for at in (0, 10, 1000, 1020)]
    assert places[0] == 0
    assert places[3] == WIDTH
    assert places[1] - places[0] < places[3] - places[2]
    assert places[2] - places[1] < 0.1 * WIDTH
    assert places == sorted(places)


def test_what_took_no_time() -> None:
    """Spans without a length have a place."""
    scale = build_scale([(5, 5), (7, 7)])
    assert 0 <= scale.place(5) <= scale.place(7) <= WIDTH


def test_steps_leave_nothing_out() -> None:
    """Days and hours without an exchange have a place as well; of very many the last have one."""
    assert list_steps(["2026-01-30", None, "2026-02-02"], hourly=False).names == (
        "2026-01-30", "2026-01-31", "2026-02-01", "2026-02-02",
    )  # fmt: skip
    hours = list_steps(["2026-01-01 23:00", "2026-01-02 01:00"], hourly=True).names
    assert hours == ("2026-01-01 23:00", "2026-01-02 00:00", "2026-01-02 01:00")
    assert len(list_steps(["1990-01-01", "2026-01-01"], hourly=False).names) == MAX_STEPS
    assert list_steps(["1234567"], hourly=False).names == ()
