"""Wording of the messages about retrievers and their filters."""


def filters_not_a_list(setting: str) -> str:
    return f"{setting} must be a list of {{key, operator, value}}"


def filter_form(setting: str) -> str:
    return f"{setting} must be {{key, operator, value}} or {{condition, filters}}"


def filter_key_missing(setting: str) -> str:
    return f"{setting} must be the name of a metadata key"


def filter_value_kind(setting: str) -> str:
    return f"{setting} must be text or a number"


def unknown_condition(setting: str) -> str:
    return f"{setting} must be a condition"


def empty_filters(setting: str) -> str:
    return f"{setting} must be a list that is not empty"


def list_of_texts() -> str:
    return "must be a list of texts"
