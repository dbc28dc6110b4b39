"""Wording of the messages about keys, options and values of a config."""

from messages import ANY


def did_you_mean(nearest: str) -> str:
    return f"; did you mean {nearest!r}?"


def known_names(*names: str) -> str:
    return f"; known: {', '.join(names)}"


def unknown_name(setting: str) -> str:
    return f"{setting} must name a group or a top-level key"


def unknown_option(setting: str, group: str) -> str:
    return f"{setting} must be an option of {group}"


def unknown_key(setting: str, owner: str) -> str:
    return f"{setting} must name a key of {owner}"


def unknown_entry(setting: str, owner: str) -> str:
    return f"{setting} must name an entry of {owner}"


def no_option_and_no_mapping(setting: str, group: str) -> str:
    return f"{setting} must be an option of {group}, or a mapping of its keys"


def one_of(setting: str, *choices: str) -> str:
    *others, last = (repr(choice) for choice in choices)
    return f"{setting} must be {', '.join(others)} or {last}"


def unset(key: str) -> str:
    return f"{key} must be set; give {key}=VALUE"


def greater_than(setting: str, limit: float) -> str:
    return f"{setting} must be greater than {limit}"


def at_least(setting: str, limit: float | str) -> str:
    return f"{setting} must be at least {limit}"


def at_most(setting: str, limit: float | str) -> str:
    return f"{setting} must be at most {limit}"


def less_than(setting: str, limit: str) -> str:
    return f"{setting} must be less than {limit}"


def whole_number(setting: str) -> str:
    return f"{setting} must be a whole number"


def must_be_mapping(setting: str) -> str:
    return f"{setting} must be a mapping"


def no_secret(setting: str) -> str:
    return f"{setting} must not hold a secret"


def no_key_value(argument: str) -> str:
    return f"{argument} must be KEY=VALUE"


def one_value(setting: str) -> str:
    return f"{setting} must be one value"


def no_backslash_escape(setting: str) -> str:
    return f"{setting} must not hold the escape \\"


def unreadable_file(setting: str = "") -> str:
    return f"{setting} must be a readable file"


def no_project_file(path: str) -> str:
    return f"--project={path} must be a project file; there is no file"


def set_in_project_file(key: str) -> str:
    return f"{key} is set in ragloom.yaml)"


def install_extra(extra: str) -> str:
    return f"pip install 'ragloom[{extra}]'"


def moved_name(old: str, new: str) -> str:
    return f"{old} is now {new}: change the import"


def too_many_combinations(count: int, limit: int) -> str:
    return f"expands to {count} combinations; the limit is {limit}"


def other_object(group: str, how: str) -> str:
    return f"{group}: {group}=mine must build an object with {ANY} and builds {ANY}{how}"


def method_not_written(group: str, method: str) -> str:
    return f"{group}: {group}=mine must build an object with {ANY}{method}{ANY}; write"


def no_code_version(builder: str) -> str:
    return f"{builder} must declare a code_version{ANY}@code_version(1)"


def moved_builder(old: str, new: str) -> str:
    return f"{old} must be {ANY} write {new}"


def metric_with_number() -> str:
    return "with a number"


def metric_without_number() -> str:
    return f"must be a metric {metric_with_number()}"


def not_one_option() -> str:
    return "must be one option, not a list"


def option_override(group: str) -> str:
    return f"write {group}=OPTION"
