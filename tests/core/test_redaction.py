"""What counts as a secret, and that it is masked wherever it could be shown."""

import pytest

from ragloom.core.redaction import names_a_secret, redact, redact_override, redact_tree


@pytest.mark.parametrize(
    "key",
    [
        *[
            "api_key",
            "embedding.api_key",
            "OPENAI_API_KEY",
            "apikey",
            "db_password",
            "client_secret",
            "auth",
            "hf_token",
        ],
        *[
            "secret_key",
            "SECRET_KEY",
            "credentials",
            "api_keys",
            "x-api-key",
            "access-token",
            "OPENAI_KEY",
            "KEY_API_KEY_2",
        ],
    ],
)
def test_key_that_looks_like_a_secret_is_one(key: str) -> None:
    assert names_a_secret(key)


@pytest.mark.parametrize(
    "key",
    [
        "max_tokens",
        "tokenizer",
        "embedding.max_batch_tokens",
        "api_key_env",
        "key",
        "monkey",
        "author",
        "passage_tokens",
    ],
)
def test_ordinary_key_is_not_a_secret(key: str) -> None:
    assert not names_a_secret(key)


def test_value_of_a_secret_environment_variable_is_masked_in_any_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SERVICE_TOKEN", "planted-value-1")
    assert redact("refused: planted-value-1 is wrong") == "refused: *** is wrong"


def test_text_in_the_form_of_a_key_is_masked() -> None:
    assert redact("Incorrect API key provided: sk-abcdef123456") == "Incorrect API key provided: ***"
    assert redact("task-based risk-free disk-images") == "task-based risk-free disk-images"


def test_override_of_a_secret_key_is_masked() -> None:
    assert redact_override("embedding.api_key=whatever") == "embedding.api_key=***"
    assert redact_override("chunking.chunk_size=5") == "chunking.chunk_size=5"


@pytest.mark.parametrize(
    "override",
    ["embedding={password: hunter2}", "+a.b={c: {x-api-key: hunter2}}", "a=[{secret: hunter2,}", 'a={"auth":hunter2}'],
)
def test_secret_inside_a_value_is_masked(override: str) -> None:
    assert "hunter2" not in redact_override(override)


def test_password_in_an_address_is_masked() -> None:
    assert redact("see https://user:hunter2@host/path") == "see https://***@host/path"


def test_saved_config_holds_no_secret() -> None:
    tree = {"embedding": {"api_key": "abc", "model": "m", "headers": [{"authorization": "x"}]}, "max_tokens": 5}
    assert redact_tree(tree) == {
        "embedding": {"api_key": "***", "model": "m", "headers": [{"authorization": "***"}]},
        "max_tokens": 5,
    }
