"""Keys of the Weaviate options: rules, index names, and the compose file's defaults."""

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from made import defaults
from messages import wording
from messages.config import (
    at_least,
    at_most,
    did_you_mean,
    greater_than,
    must_be_mapping,
    no_secret,
    one_of,
    unknown_entry,
    unknown_key,
    whole_number,
)
from messages.weaviate import (
    address_wanted,
    ef_zero,
    hnsw_needed,
    index_type_of_embedded,
    no_executable,
    one_shard_with_tenant,
    removed_key,
    same_port,
    single_node,
    unsupported_system,
    variable_name_wanted,
    version_wanted,
    wrong_prefix,
    wrong_tenant,
)
from places import ROOT
from ragloom.assembly import Assembly
from ragloom.components.vector_store.weaviate_store.embedded import executable
from ragloom.components.vector_store.weaviate_store.server_settings import ServerSettings, api_key, extra_headers
from ragloom.config.config import load
from ragloom.errors import ConfigError

TIMEOUTS: Any = {"connect": 1, "query": 1, "insert": 1, "retry": 0, "indexing": 1}
SETTINGS = ServerSettings("http://127.0.0.1:8080", None, 50051, "WEAVIATE_API_KEY", None, TIMEOUTS)


def problems(option: str, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load([f"vector_store={option}", *(f"vector_store.{item}" for item in overrides)])
    assert not any("\n" in line for line in caught.value.problems)
    return list(caught.value.problems)


def fingerprint(option: str, *overrides: str) -> str:
    (config,) = load([f"vector_store={option}", *(f"vector_store.{item}" for item in overrides)])
    return Assembly(config).fingerprint


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("index.ef=-2", "vector_store: " + at_least("vector_store.index.ef=-2", -1)),
        ("index.ef=0", "vector_store: " + ef_zero()),
        ("index.ef=many", "vector_store: " + whole_number("vector_store.index.ef='many'")),
        (
            "index.type=flatt",
            one_of("vector_store.index.type='flatt'", "hnsw", "flat", "dynamic") + did_you_mean("flat"),
        ),
        ("index.distance=l2", one_of("vector_store.index.distance='l2'", "cosine", "dot", "l2-squared")),
        ("index.shards=0", "vector_store: " + greater_than("vector_store.index.shards=0", 0)),
        ("index.max_connections=3", at_least("vector_store.index.max_connections=3", 4)),
        ("index.bm25_b=1.5", at_most("vector_store.index.bm25_b=1.5", 1)),
        ("index=3", "vector_store: " + must_be_mapping("vector_store.index=3")),
        (
            "index.eff=3",
            unknown_key("vector_store.index.eff=3", "vector_store") + did_you_mean("vector_store.index.ef"),
        ),
        ("timeouts.query=-1", "vector_store: " + greater_than("vector_store.timeouts.query=-1", 0)),
        ("timeouts.retry=inf", "vector_store: " + at_most("vector_store.timeouts.retry=inf", 86400)),
        ("batch.objects=x", "vector_store: " + whole_number("vector_store.batch.objects='x'")),
        ("batch.megabytes=500", at_most("vector_store.batch.megabytes=500", 100)),
        ("tenant='a b'", wrong_tenant("a b")),
        ("collection_prefix=rag", wrong_prefix("rag")),
    ],
)
def test_wrong_nested_key_is_named_with_its_value_and_rule(override: str, line: str) -> None:
    (lines,) = problems("weaviate", override)
    assert line in lines


def test_embedded_server_has_the_same_rules() -> None:
    lines = problems("weaviate_embedded", "index.shards=0", "timeouts.query=-1", "batch.objects=x", "http_port=70000")
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("override", "line"),
    [
        (
            "+vector_store.index.eff=3",
            unknown_entry("vector_store.index.eff=3", "vector_store.index") + did_you_mean("ef"),
        ),
        ("~vector_store.index.ef", removed_key("vector_store.index.ef")),
        ("+vector_store.index.api_key=abc", "vector_store.index.api_key=*** must"),
    ],
)
def test_added_or_removed_nested_key_is_named(override: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(["vector_store=weaviate", override])
    assert line in str(caught.value)
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("url=localhost:80", address_wanted()),
        ("url=http://localhost:8080/weaviate", "without a path"),
        ("url=ftp://localhost", address_wanted()),
        ("url='http://x:99999'", address_wanted()),
        ("url=http://x:50051", "vector_store.grpc_port=50051 " + same_port("the url's")),
        ("grpc_port=0", at_least("vector_store.grpc_port=0", 1)),
        ("api_key_env='a key'", variable_name_wanted("vector_store.api_key_env")),
        ("headers_env='{}'", "vector_store.headers_env"),
        ("consistency_level=QUORM", one_of("", "ONE", "QUORUM", "ALL") + did_you_mean("QUORUM")),
    ],
)
def test_wrong_address_is_named(override: str, line: str) -> None:
    (lines,) = problems("weaviate", override)
    assert line in lines


def test_password_in_the_address_is_refused_and_not_repeated() -> None:
    lines = "\n".join(problems("weaviate", "url=http://me:planted-secret@localhost:8080"))
    assert "planted-secret" not in lines
    assert no_secret("") in lines


@pytest.mark.slow
def test_settings_that_exclude_each_other_are_named() -> None:
    assert hnsw_needed() in problems("weaviate", "index.quantization=sq", "index.type=flat")[0]
    assert one_shard_with_tenant() in problems("weaviate", "index.shards=2", "tenant=acme")[0]
    assert index_type_of_embedded() in problems("weaviate_embedded", "index.type=dynamic")[0]
    assert single_node() in problems("weaviate_embedded", "index.replication=3")[0]
    assert version_wanted("1.39.0") in problems("weaviate_embedded", "version=latest")[0]
    assert same_port("http_port") in problems("weaviate_embedded", "http_port=99", "grpc_port=99")[0]


@pytest.mark.parametrize("option", ["weaviate", "weaviate_embedded"])
@pytest.mark.parametrize(
    "override", ["index.type=flat", "index.distance=dot", "index.quantization=bq", "index.shards=2", "tenant=acme"]
)
def test_settings_that_cannot_be_changed_later_name_the_index(option: str, override: str) -> None:
    assert fingerprint(option, override) != fingerprint(option)


@pytest.mark.parametrize(
    "override",
    [
        "index.ef=64",
        "index.ef_construction=64",
        "index.max_connections=16",
        "index.bm25_k1=1.5",
        "index.bm25_b=0.5",
        "timeouts.query=3",
        "batch.objects=7",
        "alias=live",
        "collection_prefix=Other",
    ],
)
def test_settings_that_only_change_speed_or_place_leave_the_name(override: str) -> None:
    assert fingerprint("weaviate", override) == fingerprint("weaviate")
    assert fingerprint("weaviate_embedded", override) == fingerprint("weaviate_embedded")


def test_two_tenants_share_an_index_name_and_never_that_of_no_tenant() -> None:
    assert fingerprint("weaviate", "tenant=acme") == fingerprint("weaviate", "tenant=other") != fingerprint("weaviate")


@pytest.mark.parametrize(
    "override",
    ["url=http://elsewhere:80", "grpc_port=1", "consistency_level=ALL", "api_key_env=K", "index.replication=3"],
)
def test_where_a_server_is_leaves_the_name(override: str) -> None:
    assert fingerprint("weaviate", override) == fingerprint("weaviate")


@pytest.mark.parametrize(
    ("url", "grpc_host"),
    [
        ("https://abc123.c0.europe-west3.gcp.weaviate.cloud", "grpc-abc123.c0.europe-west3.gcp.weaviate.cloud"),
        ("https://abc.weaviate.network", "abc.grpc.weaviate.network"),
    ],
)
def test_cloud_has_its_grpc_api_where_the_official_client_finds_it(url: str, grpc_host: str) -> None:
    helpers = importlib.import_module("weaviate.connect.helpers")
    official = vars(helpers)["__parse_weaviate_cloud_cluster_url"](url)[1]
    address = ServerSettings(url, None, 50051, "K", None, TIMEOUTS).grpc_address
    assert address == (official, 443) == (grpc_host, 443)


def test_other_addresses_have_their_grpc_api_on_the_same_host_and_the_given_port() -> None:
    assert ServerSettings("https://db.example:8443", None, 7, "K", None, TIMEOUTS).grpc_address == ("db.example", 7)
    assert ServerSettings("https://db.example", "grpc.example", 7, "K", None, TIMEOUTS).grpc_address == (
        "grpc.example",
        7,
    )


@pytest.mark.parametrize(
    ("url", "trusts"), [("http://localhost:1", False), ("http://127.0.0.1:1", False), ("http://db:1", True)]
)
def test_proxies_and_certificates_of_the_environment_are_for_other_machines(url: str, trusts: bool) -> None:
    assert ServerSettings(url, None, 7, "K", None, TIMEOUTS).trusts_environment is trusts


def test_key_is_read_from_the_environment_and_absent_means_anonymous(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WEAVIATE_API_KEY", raising=False)
    assert api_key(SETTINGS) is None
    monkeypatch.setenv("WEAVIATE_API_KEY", " planted-key \n")
    assert api_key(SETTINGS) == "planted-key"
    monkeypatch.setenv("WEAVIATE_API_KEY", "planted key")
    with pytest.raises(ConfigError, match="printable ASCII") as caught:
        api_key(SETTINGS)
    assert "planted key" not in str(caught.value)


@pytest.mark.parametrize(
    ("held", "rule"),
    [
        (None, "is not set"),
        ("planted", "not JSON"),
        ('["planted"]', "JSON object"),
        ('{"X": 1}', "JSON object"),
        ('{"a b": "planted"}', "correct header 'a b'"),
        ('{"X-Y": "planted\\nline"}', "correct header 'X-Y'"),
    ],
)
def test_wrong_headers_are_named_without_their_values(
    held: str | None, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if held is None:
        monkeypatch.delenv("WEAVIATE_HEADERS", raising=False)
    else:
        monkeypatch.setenv("WEAVIATE_HEADERS", held)
    with pytest.raises(ConfigError, match=rule) as caught:
        extra_headers(ServerSettings("http://x", None, 1, "K", "WEAVIATE_HEADERS", TIMEOUTS))
    assert "planted" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_executable_is_reported_with_where_it_was_searched_and_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ConfigError) as caught:
        executable.find("1.39.0", None)
    lines = str(caught.value)
    assert str(tmp_path / "weaviate-v1.39.0-") in lines
    assert "ensure_weaviate_binary_exists" in lines
    with pytest.raises(ConfigError, match=wording(no_executable())):
        executable.find("1.39.0", str(tmp_path / "nothing"))


def test_executable_is_found_by_the_official_clients_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from weaviate.embedded import EmbeddedOptions, EmbeddedV4

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    options = EmbeddedOptions(version="1.39.0", binary_path=str(tmp_path), persistence_data_path=str(tmp_path / "data"))
    official = EmbeddedV4(options)
    monkeypatch.setattr("urllib.request.urlretrieve", lambda *_: pytest.fail("nothing may be fetched"))
    file = tmp_path / executable.official_name("1.39.0")
    file.touch(0o755)
    official.ensure_weaviate_binary_exists()  # finds it
    assert executable.find("1.39.0", None) == file


def test_executable_may_be_named_itself_or_by_its_folder(tmp_path: Path) -> None:
    (tmp_path / "weaviate").touch(0o755)
    assert executable.find("1.39.0", str(tmp_path / "weaviate")) == tmp_path / "weaviate"
    assert executable.find("1.39.0", str(tmp_path)) == tmp_path / "weaviate"


def test_windows_is_reported_what_to_use_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Windows")
    with pytest.raises(ConfigError, match=wording(unsupported_system())):
        executable.find("1.39.0", None)


def compose() -> dict[str, Any]:
    lines: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    return lines["services"]["weaviate"]


def test_compose_starts_what_the_default_config_finds() -> None:
    keys, service = defaults("vector_store", "weaviate"), compose()
    http, grpc = service["ports"]
    assert keys["url"] == "http://localhost:8080"
    assert http == "127.0.0.1:8080:8080"
    assert grpc == f"127.0.0.1:{keys['grpc_port']}:50051"
    assert keys["grpc_host"] is None
    image, _, version = service["image"].rpartition(":")
    assert image == "semitechnologies/weaviate"
    assert version == defaults("vector_store", "weaviate_embedded")["version"]
    assert service["volumes"] == [f"weaviate:{service['environment']['PERSISTENCE_DATA_PATH']}"]
    assert "/v1/.well-known/ready" in service["healthcheck"]["test"][-1]
    assert service["environment"]["DISABLE_TELEMETRY"] == "true"
