"""Wording of the messages about a provider's server: requests, answers and keys."""


def gave_up(requests: int) -> str:
    return f"gave up after {requests} request{'s' if requests > 1 else ''}"


def not_json() -> str:
    return "is not the JSON it should be"


def not_json_gave_up(requests: int) -> str:
    return f"{not_json()}; {gave_up(requests)}"


def no_answer_in_time(group: str, seconds: float) -> str:
    return f"did not answer within {group}.timeout={seconds:g} s"


def no_time_left(group: str, asked: float, deadline: float) -> str:
    return f"asks to wait {asked:g} s, {group}.deadline={deadline:g} s leaves no time"


def connection_failed(address: str) -> str:
    return f"connection to {address} failed "


def refused(reason: str) -> str:
    return f"refused the request ({reason}"


def broken_off() -> str:
    return "the reply broke off and is incomplete"


def other_protocol() -> str:
    return "is it an OpenAI API? It answered: "


def retrying(requests: int, seconds: float) -> str:
    return f"trying again, up to {requests} requests in {seconds:g} s"


def wrong_model(model: str) -> str:
    return f"model={model!r} must be one that "


def variable_must_hold(variable: str) -> str:
    return f"environment variable {variable} must hold"


def key_not_valid(variable: str) -> str:
    return f"environment variable {variable} must be valid "


def key_wanted() -> str:
    return "wants a key (401); put the name of its variable into"


def no_password_in_address() -> str:
    return "must not carry a password"


def secret_in_body() -> str:
    return "must not hold what looks like a secret"


def headers_wanted() -> str:
    return "must name headers that a server reads"


def no_headers(header: str) -> str:
    return f"{headers_wanted()}, and not {header!r}"


def quota_used_up() -> str:
    return "the account's quota is used up"


def key_itself() -> str:
    return "never the key itself"


def value_itself() -> str:
    return "never the value itself"


def no_address() -> str:
    return "must be an address like"


def api_version_only() -> str:
    return "only an API version"
