"""What a study would cost."""

import pytest

from harkd import costs


def test_what_comes_between_phases_is_no_part_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of 2 and 4 s in two phases with 60 s between them: 3 s on average."""
    times = iter([10.0, 12.0, 72.0, 76.0])
    monkeypatch.setattr(costs.time, "monotonic", lambda: next(times))
    watch, hint, distil = costs._Stopwatch(), object(), object()
    watch.task("student")
    for phase in (hint, hint, distil, distil):
        watch.step(phase, None)
    assert watch.mean == 3.0
