"""Builders of the conf group `judge`, whose LLMs are those of `llm`."""


def none() -> None:
    """Build no judge."""


none.writes_text = False  # type: ignore[attr-defined]
