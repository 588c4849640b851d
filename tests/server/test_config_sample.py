"""What is printed for people says what the declarations say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sealcast.server.config import (
    AppConfig,
    ChannelConfig,
    Config,
    DatabaseConfig,
    GuardConfig,
    HooksConfig,
    LogConfig,
    MetricsConfig,
    RecordsConfig,
    ServerConfig,
    StorageConfig,
    TracesConfig,
)
from sealcast.server.config_file import load
from sealcast.server.config_options import APP, CHANNEL, PROCESS
from sealcast.server.config_sample import environment, sample

APP_ID = "0123456789abcdef0123456789abcdef"
CERTIFICATE = "fedcba9876543210fedcba9876543210"


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    path = tmp_path / "sample.toml"
    path.write_text(sample(APP_ID, CERTIFICATE))
    return load(path, {})


def test_every_field_is_an_option_once() -> None:
    fields = {f"server.{name}" for name in ServerConfig.model_fields}
    fields |= {f"guard.{name}" for name in GuardConfig.model_fields}
    fields |= {f"log.{name}" for name in LogConfig.model_fields}
    fields |= {f"records.{name}" for name in RecordsConfig.model_fields}
    fields |= {f"database.{name}" for name in DatabaseConfig.model_fields}
    fields |= {f"storage.{name}" for name in StorageConfig.model_fields}
    fields |= {f"metrics.{name}" for name in MetricsConfig.model_fields}
    fields |= {f"traces.{name}" for name in TracesConfig.model_fields}
    fields |= {f"hooks.{name}" for name in HooksConfig.model_fields}
    assert sorted(option.name for option in PROCESS) == sorted(fields)
    assert sorted(option.name for option in CHANNEL) == sorted(ChannelConfig.model_fields)
    sections = ("policy", "limits", "rates", "history", "presence")
    own = set(AppConfig.model_fields) - {*sections, "channels"}
    for section in sections:
        options = type(AppConfig.model_fields[section].default).model_fields
        own |= {f"{section}.{name}" for name in options}
    assert sorted(option.name for option in APP) == sorted(own)


def test_every_option_is_explained() -> None:
    assert [option.name for option in (*PROCESS, *APP, *CHANNEL) if not option.doc] == []


def test_the_sample_is_the_defaults_and_the_given_app(loaded: Config) -> None:
    assert loaded.server == ServerConfig()
    assert loaded.log == LogConfig()
    assert loaded.records == RecordsConfig()
    (app,) = loaded.apps
    assert (app.app_id, app.certificates) == (APP_ID, (CERTIFICATE,))


def test_the_sample_with_everything_uncommented_is_the_same(loaded: Config, tmp_path: Path) -> None:
    text = re.sub(r"^#([a-z_0-9]+ =)", r"\1", sample(APP_ID, CERTIFICATE), flags=re.MULTILINE)
    text = text.replace('secondary_certificate = ""\n', "")
    assert text.count("\n#") > 20
    path = tmp_path / "all.toml"
    path.write_text(text)
    assert load(path, {}) == loaded


def test_the_sample_has_every_option_with_its_unit() -> None:
    text = sample(APP_ID, CERTIFICATE)
    for option in (*PROCESS, *APP):
        assert re.search(rf"^#?{option.path[-1]} = ", text, re.MULTILINE), option.name
    assert '#heartbeat = "25s"' in text
    assert '#frame = "256KiB"' in text


def test_the_sample_shows_an_entry_for_some_channels_that_is_good(tmp_path: Path) -> None:
    head, _, entry = sample(APP_ID, CERTIFICATE).rpartition("# [[apps.channels]]\n")
    lines = [line.removeprefix("# ") for line in entry.splitlines() if not line.startswith("#   ")]
    path = tmp_path / "channels.toml"
    path.write_text(f"{head}[[apps.channels]]\n" + "\n".join(lines))
    (channel,) = load(path, {}).apps[0].channels
    assert set(channel.model_fields_set) == {option.name for option in CHANNEL}
    assert channel.delivery == "latest"


def test_the_environment_sets_every_option_to_its_default(loaded: Config) -> None:
    entries = [line for line in environment().splitlines() if not line.startswith("#")]
    variables = dict(line.split("=", 1) for line in entries)
    assert set(variables) >= {option.variable for option in PROCESS}
    app = {"SEALCAST_APP_ID": APP_ID, "SEALCAST_APP_CERTIFICATE": CERTIFICATE}
    assert load(None, {**variables, **app}) == loaded
