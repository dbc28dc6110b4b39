"""Steps of maintenance are reported when they begin, and while they last."""

import threading

from ragloom.core.maintenance_steps import step, steps_reported


def test_step_is_reported_when_it_begins_and_while_it_lasts() -> None:
    seen: list[str] = []
    again = threading.Event()

    def show(name: str) -> None:
        if seen and seen[-1] == name:
            again.set()
        seen.append(name)

    with steps_reported(show):
        step("building the text index")
        assert seen == ["building the text index"]
        assert again.wait(30), "a step that lasts is reported again"
        step("compacting")
    assert seen[-1] == "compacting"


def test_step_outside_of_a_report_is_silent() -> None:
    step("compacting")
