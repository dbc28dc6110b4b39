"""Who judges answers: the conf group `judge`. An LLM of its own by the builders of `llm`, or nobody."""


def none() -> None:
    """Build no judge."""


none.writes_text = False  # type: ignore[attr-defined]
