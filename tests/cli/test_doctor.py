"""`sealcast doctor`: every finding, good and bad, and what the command makes of them."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import http.server
import json
import os
import re
import socket
import sqlite3
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from sealcast.cli.doctor import machine, places, setting
from sealcast.cli.doctor.finding import Finding, Level, examine, fine
from sealcast.cli.main import main
from sealcast.protocol.version import __version__
from sealcast.server.config import AppConfig, AppPolicy, Config, ServerConfig
from sealcast.server.store.database import Database
from sealcast.server.store.migrate import migrate
from sealcast.server.store.migrations import HEAD

TLS = Path(__file__).parents[1] / "vectors" / "tls"
APP = AppConfig(app_id="0" * 32, certificate="1" * 32)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("SEALCAST_"):
            monkeypatch.delenv(name)


@pytest.fixture
def configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    path = tmp_path / "sealcast.toml"
    assert main(["genconfig", "--output", str(path)]) == 0
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    path.write_text(path.read_text("utf-8").replace("port = 7700", f"port = {free}"), "utf-8")
    capsys.readouterr()
    return path


def only(findings: Iterator[Finding]) -> Finding:
    (finding,) = findings
    return finding


def with_apps(host: str = "127.0.0.1", **policy: object) -> Config:
    app = APP.model_copy(update={"policy": AppPolicy.model_validate(policy)})
    server = ServerConfig(host=host, unsafe_app_id_only=True, unsafe_secrets=True)
    return Config(server=server, apps=(app,))


# --- the machine ---


def test_python_and_the_packages_are_named_with_their_versions() -> None:
    python, packages = machine.python()
    assert python.level is packages.level is Level.GOOD
    assert "websockets 1" in packages.found


def test_too_few_files_are_worth_a_look_and_say_how_many_are_needed() -> None:
    finding = only(machine.files(20_000, (1024, 20_000)))
    assert finding.level is Level.WARNING
    assert "20064" in finding.advice


@pytest.mark.parametrize("hard", [-1, 10**6])
def test_enough_files_are_good(hard: int) -> None:
    assert only(machine.files(20_000, (1024, hard))).level is Level.GOOD


def test_a_short_queue_of_the_system_is_worth_a_look(tmp_path: Path) -> None:
    path = tmp_path / "somaxconn"
    path.write_text("128\n")
    assert only(machine.backlog(1024, path)).advice == "`sysctl net.core.somaxconn=1024`"
    assert only(machine.backlog(128, path)).level is Level.GOOD
    assert not list(machine.backlog(1024, tmp_path / "not here"))


def test_memory_is_compared_with_what_the_connections_take(tmp_path: Path) -> None:
    path = tmp_path / "meminfo"
    path.write_text("MemTotal: 9999999 kB\nMemAvailable: 1000000 kB\n")
    assert only(machine.memory(20_000, path)).level is Level.GOOD
    assert only(machine.memory(80_000, path)).level is Level.WARNING


@pytest.mark.parametrize(("said", "level"), [("yes", Level.GOOD), ("no", Level.WARNING)])
def test_the_clock_is_what_timedatectl_says(
    said: str, level: Level, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "timedatectl"
    tool.write_text(f"#!/bin/sh\necho {said}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert only(machine.clock()).level is level


# --- the configuration ---


def test_a_configuration_that_everybody_can_read_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "sealcast.toml"
    path.touch()
    path.chmod(0o644)
    assert only(setting.readable_by(path, "configuration")).level is Level.WRONG
    path.chmod(0o640)
    assert only(setting.readable_by(path, "configuration")).level is Level.GOOD


def test_an_app_without_tokens_is_wrong_where_others_can_connect() -> None:
    here, _ = setting.apps(with_apps(allow_app_id_only=True))
    there, _ = setting.apps(with_apps("0.0.0.0", allow_app_id_only=True))
    assert (here.level, there.level) == (Level.WARNING, Level.WRONG)


def test_an_app_that_relays_in_clear_is_worth_a_look() -> None:
    clear, _ = setting.apps(with_apps(encryption="optional"))
    assert clear.level is Level.WARNING


def test_a_public_address_without_tls_is_worth_a_look() -> None:
    assert not list(setting.certificate(with_apps()))
    assert only(setting.certificate(with_apps("0.0.0.0"))).level is Level.WARNING


@pytest.mark.parametrize(("days", "level"), [(100, Level.GOOD), (3, Level.WARNING), (-1, Level.WRONG)])
def test_a_certificate_is_judged_by_its_last_day(days: int, level: Level) -> None:
    server = ServerConfig(tls_certificate=str(TLS / "relay.pem"), tls_key=str(TLS / "relay.key"))
    ends = x509.load_pem_x509_certificate((TLS / "relay.pem").read_bytes()).not_valid_after_utc
    found, key = setting.certificate(Config(server=server, apps=(APP,)), ends - timedelta(days=days))
    assert found.level is level
    assert key.what == "TLS key"


def test_a_certificate_that_cannot_be_used_is_wrong() -> None:
    server = ServerConfig(tls_certificate=str(TLS / "relay.pem"), tls_key=str(TLS / "other.key"))
    assert only(setting.certificate(Config(server=server, apps=(APP,)))).level is Level.WRONG


def test_a_port_in_use_is_worth_a_look() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert only(setting.port("127.0.0.1", taken.getsockname()[1])).level is Level.WARNING


def test_a_certificate_of_tomorrow_is_wrong_today() -> None:
    server = ServerConfig(tls_certificate=str(TLS / "relay.pem"), tls_key=str(TLS / "relay.key"))
    begins = x509.load_pem_x509_certificate((TLS / "relay.pem").read_bytes()).not_valid_before_utc
    found, _ = setting.certificate(Config(server=server, apps=(APP,)), begins - timedelta(days=1))
    assert found.level is Level.WRONG
    assert "begins on" in found.found


def test_a_key_with_a_passphrase_is_wrong_and_asks_nobody() -> None:
    server = ServerConfig(tls_certificate=str(TLS / "relay.pem"), tls_key=str(TLS / "locked.key"))
    finding = only(setting.certificate(Config(server=server, apps=(APP,))))
    assert finding.level is Level.WRONG
    assert "passphrase" in finding.found


def test_the_internal_port_is_looked_at_like_the_public_one() -> None:
    def judged(**server: object) -> list[Level]:
        config = Config(server=ServerConfig.model_validate(server), apps=(APP,))
        return [finding.level for finding in setting.internal(config)]

    files = {
        "internal_tls_certificate": str(TLS / "relay.pem"),
        "internal_tls_key": str(TLS / "relay.key"),
    }
    assert judged() == []
    assert judged(internal=False) == [Level.WARNING]
    assert judged(internal_host="0.0.0.0", internal_clear=True) == [Level.WARNING]
    assert Level.WRONG in judged(**{**files, "internal_tls_key": str(TLS / "other.key")})
    assert judged(**files, internal_tls_clients=str(TLS / "relay.key"))[-1] is Level.WRONG
    assert Level.WRONG not in judged(**files, internal_tls_clients=str(TLS / "relay.pem"))[:1]


# --- where things are kept ---


def kept(url: str = "", **storage: str) -> Config:
    return Config.model_validate({"database": {"url": url}, "storage": storage, "apps": (APP,)})


def levels(findings: Iterator[Finding]) -> list[Level]:
    return [finding.level for finding in findings]


async def migrated(url: str) -> None:
    found = Database(url)
    await found.open()
    await migrate(found)
    await found.close()


def test_a_database_is_good_when_it_answers_and_has_this_schema(tmp_path: Path) -> None:
    assert levels(places.database(kept())) == [Level.GOOD]
    path = tmp_path / "sealcast.db"
    assert set(levels(places.database(kept(f"sqlite:///{path}")))) == {Level.GOOD}
    assert not path.exists(), "to look at it does not make it"
    asyncio.run(migrated(f"sqlite:///{path}"))
    findings = list(places.database(kept(f"sqlite:///{path}")))
    assert {finding.level for finding in findings} == {Level.GOOD}
    assert findings[-1].found == f"{path} answers, schema {HEAD}"


def test_a_database_of_another_version_says_which_side_is_older(tmp_path: Path) -> None:
    path = tmp_path / "sealcast.db"
    path.touch(0o600)
    empty = list(places.database(kept(f"sqlite:///{path}")))[-1]
    assert (empty.level, "sealcast migrate" in empty.advice) == (Level.WARNING, True)
    asyncio.run(migrated(f"sqlite:///{path}"))
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    newer = list(places.database(kept(f"sqlite:///{path}")))[-1]
    assert newer.level is Level.WRONG
    assert "newer" in newer.found


def test_a_database_that_is_away_is_wrong_and_its_password_is_not_shown() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"postgresql://sealcast:hunter22@127.0.0.1:{nobody.getsockname()[1]}/sealcast"
        finding = only(places.database(kept(url)))
    assert finding.level is Level.WRONG
    assert "hunter22" not in str(finding)
    assert only(places.database(kept("mysql://x"))).level is Level.WRONG


def test_a_file_with_messages_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "messages.db"
    config = kept(engine="sqlite", path=str(path)).storage
    assert levels(places.storage(config)) == [Level.GOOD, Level.GOOD]
    path.touch()
    path.chmod(0o644)
    first, room = places.storage(config)
    assert (first.level, first.advice) == (Level.WRONG, f"`chmod 0600 {path}`")
    assert "GiB free" in room.found
    path.chmod(0o600)
    assert levels(places.storage(config)) == [Level.GOOD, Level.GOOD]
    path.unlink()
    path.mkdir()
    assert levels(places.storage(config)) == [Level.WRONG]
    nowhere = kept(engine="sqlite", path=str(tmp_path / "not" / "there.db")).storage
    assert "mkdir" in only(places.storage(nowhere)).advice
    assert levels(places.storage(kept(engine="memory").storage)) == [Level.GOOD]


@pytest.mark.parametrize(
    ("free", "level"), [(2**20, Level.WRONG), (2**29, Level.WARNING), (2**40, Level.GOOD)]
)
def test_a_disk_that_fills_is_found(
    free: int, level: Level, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(2**41, 2**41 - free, free))
    config = kept(engine="sqlite", path=str(tmp_path / "messages.db")).storage
    assert levels(places.storage(config))[-1] is level


# --- a relay that runs ---


class _Answer(http.server.BaseHTTPRequestHandler):
    status, body = 200, b"{}"

    def do_GET(self) -> None:
        assert self.path == "/readyz"
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.mark.parametrize(
    ("status", "body", "level"),
    [
        (200, {"version": __version__}, Level.GOOD),
        (200, {"version": "0.0.1"}, Level.WARNING),
        (503, {}, Level.WRONG),
    ],
)
def test_a_relay_is_judged_by_what_its_internal_port_says(
    status: int, body: object, level: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Answer, "status", status)
    monkeypatch.setattr(_Answer, "body", json.dumps(body).encode())
    with http.server.HTTPServer(("127.0.0.1", 0), _Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            assert only(setting.running(f"http://127.0.0.1:{server.server_port}")).level is level
        finally:
            server.shutdown()
            thread.join()


def test_a_relay_that_is_not_ready_says_why_and_cannot_act_on_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = {"problems": ["database: it does not answer", "\x1b[2J"]}
    monkeypatch.setattr(_Answer, "status", 503)
    monkeypatch.setattr(_Answer, "body", json.dumps(body).encode())
    with http.server.HTTPServer(("127.0.0.1", 0), _Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            finding = only(setting.running(f"http://127.0.0.1:{server.server_port}"))
        finally:
            server.shutdown()
            thread.join()
    assert "database: it does not answer; \\x1b[2J" in finding.found


def test_a_relay_that_does_not_answer_is_wrong_and_so_is_no_url() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        assert only(setting.running(url)).level is Level.WRONG
    assert only(setting.running("file:///etc/passwd")).level is Level.WRONG


# --- the command ---


def test_a_check_that_fails_is_a_finding_and_stops_no_other() -> None:
    def fails() -> Iterator[Finding]:
        raise PermissionError(13, "not allowed")

    first, second = examine({"one": fails, "two": lambda: iter([fine("two", "good")])})
    assert (first.level, second.level) == (Level.WARNING, Level.GOOD)
    assert "not allowed" in first.found


def test_a_good_machine_and_configuration_end_with_0(
    configuration: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--config", str(configuration)]) == 0
    assert "\n0 wrong, " in capsys.readouterr().out


def test_a_database_is_looked_at_by_its_directory_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "data"
    assert main(["admin", "key", "--data", str(place)]) == 0
    capsys.readouterr()
    main(["doctor", "--data", str(place), "--json"])
    found = {finding["what"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert found["database"]["level"] == "good"


def test_what_is_wrong_ends_with_1_and_says_what_to_do(
    configuration: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configuration.chmod(0o666)
    assert main(["doctor", "--config", str(configuration)]) == 1
    shown = capsys.readouterr().out
    assert "→ `chmod 0640" in shown
    assert "\n1 wrong, " in shown


def test_every_mistake_of_a_configuration_is_a_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("[server]\nport = 99999\ncolour = 'blue'\n")
    assert main(["doctor", "--config", str(path), "--json"]) == 1
    findings = json.loads(capsys.readouterr().out)
    assert sum(finding["what"] == "configuration" for finding in findings) >= 2


def test_no_finding_shows_a_certificate_of_an_app(
    configuration: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configuration.chmod(0o666)
    main(["doctor", "--config", str(configuration), "--json"])
    shown = capsys.readouterr().out
    certificates = re.findall(r'^certificate = "(\w+)"', configuration.read_text("utf-8"), re.MULTILINE)
    assert certificates
    assert not [secret for secret in certificates if secret in shown]
