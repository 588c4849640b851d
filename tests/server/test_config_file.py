"""Where a configuration comes from, which source goes before which, and how mistakes are named."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sealcast.server.config import ChannelConfig, Config
from sealcast.server.config_file import ConfigError, NoApp, load
from sealcast.server.config_options import APP, PROCESS

APP_ID = "0123456789abcdef0123456789abcdef"
OTHER_APP = "00000000000000000000000000000001"
CERTIFICATE = "c3a7f1ca7ec3a7f1ca7ec3a7f1ca7ef0"
SECOND = "5ec0d5ec0d5ec0d5ec0d5ec0d5ec0d00"
APP_BLOCK = f'[[apps]]\napp_id = "{APP_ID}"\ncertificate = "{CERTIFICATE}"\n'

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(text: str) -> Path:
        path = tmp_path / "sealcast.toml"
        path.write_text(text)
        path.chmod(0o600)
        return path

    return to_file


def problems(path: Path | None, env: dict[str, str] | None = None, **flags: object) -> tuple[str, ...]:
    named = {name.replace("__", "."): value for name, value in flags.items()}
    with pytest.raises(ConfigError) as refused:
        load(path, env or {}, named)
    return tuple(problem.replace(f"{path}: ", "") for problem in refused.value.problems)


# --- sources ---------------------------------------------------------------------------------------


def test_a_file_with_one_app_is_enough(write: Write) -> None:
    config = load(write(APP_BLOCK), {})
    assert config.server == Config().server
    assert [app.certificates for app in config.apps] == [(CERTIFICATE,)]


def test_flags_go_before_the_environment_and_that_before_the_file(write: Write) -> None:
    path = write("[server]\nport = 1\nbacklog = 1\nhandshakes = 1\n" + APP_BLOCK)
    env = {"SEALCAST_SERVER_PORT": "2", "SEALCAST_SERVER_BACKLOG": "2"}
    server = load(path, env, {"server.port": 3, "server.host": None}).server
    assert (server.port, server.backlog, server.handshakes, server.host) == (3, 2, 1, "127.0.0.1")


def test_every_option_of_the_process_has_a_variable(write: Write) -> None:
    path = write(APP_BLOCK)
    for option in PROCESS:
        value = "16" if option.number else "localhost"
        value = "192.0.2.1,198.51.100.0/24" if option.many else value
        value = {"traces.endpoint": "http://localhost", "traces.ratio": "1"}.get(option.name, value)
        if option.unit == "s" and option.default > 86_400:  # a bound that is days away from 16
            value = f"{option.default:.0f}"
        value = option.choices[-1] if option.choices else value
        value = "true" if isinstance(option.default, bool) else value
        value = "x" * 32 if option.secret else value
        section, name = option.path
        # Some options need each other, so those are set as well.
        family = re.sub("_(certificate|key|clients)$", "", name)
        env = {
            other.variable: "x"
            for other in PROCESS
            if family.endswith("tls") and other.path[1].startswith(family + "_")
        }
        if name == "proxy_protocol":
            env["SEALCAST_GUARD_TRUSTED_PROXIES"] = "192.0.2.1"
        loaded = getattr(getattr(load(path, env | {option.variable: value}), section), name)
        shown = loaded.get_secret_value() if option.secret else str(loaded).removesuffix(".0")
        shown = ",".join(loaded) if option.many else shown
        assert shown.lower() == value.lower()
        assert option.variable == f"SEALCAST_{section}_{name}".upper()


def test_a_secret_of_the_process_can_stand_in_a_file_that_the_environment_names(
    write: Write, tmp_path: Path
) -> None:
    key = "k" * 40
    (tmp_path / "key").write_text(key + "\n")
    config = load(write(APP_BLOCK), {"SEALCAST_SERVER_INTERNAL_KEY_FILE": str(tmp_path / "key")})
    assert config.server.internal_key.get_secret_value() == key
    assert key not in repr(config)


def test_a_database_takes_the_place_of_apps(write: Write, tmp_path: Path) -> None:
    assert (
        load(None, {"SEALCAST_DATABASE_DIRECTORY": "/data"}).database.place == "sqlite:////data/sealcast.db"
    )
    assert load(write('[database]\nurl = "sqlite:///x"'), {}).database.place == "sqlite:///x"
    with pytest.raises(NoApp):
        load(None, {})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[database]\nurl = "sqlite:///x"\ndirectory = "x"', "url and directory exclude each other"),
        ('[server]\ninternal_key = "short"', "internal_key should have 32 characters or more"),
        ('[server]\ninternal_host = "0.0.0.0"', "internal_host can be reached by others"),
        ('[server]\ninternal_tls_key = "x"', "internal_tls_certificate and internal_tls_key need each other"),
    ],
)
def test_the_internal_port_and_the_database_refuse_what_is_unsafe(
    write: Write, text: str, problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        load(write(f"{text}\n{APP_BLOCK}"), {})
    assert "short" not in str(caught.value).replace("should", "")


def test_the_internal_port_can_be_opened_to_others_by_name(write: Write) -> None:
    opened = load(write(f'[server]\ninternal_host = "0.0.0.0"\ninternal_clear = true\n{APP_BLOCK}'), {})
    assert opened.server.internal_host == "0.0.0.0"


def test_an_empty_variable_is_an_unset_one(write: Write) -> None:
    path = write("[server]\nport = 1\n" + APP_BLOCK)
    env = {"SEALCAST_SERVER_PORT": "", "SEALCAST_APP_ID": "", "SEALCAST_APP_CERTIFICATE": ""}
    assert load(path, {**env, "SEALCAST_SERVER_UNKNOWN": ""}).server.port == 1


def test_the_variables_of_other_programs_are_none_of_its_business(write: Write) -> None:
    load(write(APP_BLOCK), {"SEALCAST_URL": "x", "SEALCAST_KEY": "x", "PORT": "x", "SERVER_PORT": "x"})


@pytest.mark.parametrize(
    ("option", "text", "value"),
    [
        ("server.heartbeat", '"30s"', 30.0),
        ("server.heartbeat", '"1m30s"', 90.0),
        ("server.heartbeat", "30", 30.0),
        ("server.close", '"500ms"', 0.5),
        ("limits.frame", '"64KiB"', 65536),
        ("limits.frame", "65536", 65536),
        ("limits.outbox", '"1MB"', 1_000_000),
        ("limits.outbox_age", '"200ms"', 0.2),
        ("policy.clock_skew", '"5m"', 300),
        ("rates.bytes_per_app", '"1GiB"', 2**30),
        ("rates.frames_per_member", "0", 0),
    ],
)
def test_durations_and_sizes_may_be_written_with_units(
    option: str, text: str, value: float, write: Write
) -> None:
    section, name = option.split(".")
    if section == "server":
        config = load(write(f"{APP_BLOCK}[server]\n{name} = {text}\n"), {})
        assert getattr(config.server, name) == value
    else:
        config = load(write(f"{APP_BLOCK}[apps.{section}]\n{name} = {text}\n"), {})
        assert getattr(getattr(config.apps[0], section), name) == value


def test_the_environment_takes_units_too(write: Write) -> None:
    assert load(write(APP_BLOCK), {"SEALCAST_SERVER_HEARTBEAT": "1m"}).server.heartbeat == 60


# --- channels by pattern ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "names", "others"),
    [
        ("standup", ["standup"], ["standup2", "a standup", "Standup"]),
        ("telemetry-*", ["telemetry-", "telemetry-7", "telemetry-*"], ["telemetry", "a telemetry-7"]),
        ("*-log", ["-log", "a-log", "a-log-log"], ["log", "a-log2"]),
        ("*", ["a", "standup"], []),
        ("a*b*c", ["abc", "a-b-c", "abbcc", "abcbc"], ["ab", "ac", "acb", "abcd", "bac"]),
        ("ab*ba", ["abba", "ab-ba"], ["aba", "ab"]),
        ("**a**", ["a", "ba", "ab"], ["b"]),
        ("a[b]?.*", ["a[b]?.", "a[b]?.x"], ["ab.", "abx."]),
    ],
)
def test_a_pattern_is_text_in_which_a_star_stands_for_any(
    pattern: str, names: list[str], others: list[str]
) -> None:
    rule = ChannelConfig(pattern=pattern)
    assert [name for name in names if not rule.matches(name)] == []
    assert [name for name in others if rule.matches(name)] == []


def test_a_pattern_of_many_stars_is_judged_at_once() -> None:
    assert not ChannelConfig(pattern="*a" * 31 + "*b").matches("a" * 64)


def test_the_first_pattern_that_matches_counts(write: Write) -> None:
    (app,) = load(
        write(
            APP_BLOCK + "[apps.policy]\ndelivery = 'latest'\n"
            "[[apps.channels]]\npattern = 'log-audit'\n"
            "[[apps.channels]]\npattern = 'log-*'\ndelivery = 'reliable'\n"
            "[[apps.channels]]\npattern = '*'\ndelivery = 'realtime'\n"
        ),
        {},
    ).apps
    names = ("log-audit", "log-1", "standup")
    assert [app.delivery_of(name) for name in names] == ["latest", "reliable", "realtime"]


# --- the app in the environment --------------------------------------------------------------------


def test_one_app_can_come_from_the_environment_alone() -> None:
    env = {
        "SEALCAST_APP_ID": APP_ID,
        "SEALCAST_APP_CERTIFICATE": CERTIFICATE,
        "SEALCAST_APP_SECONDARY_CERTIFICATE": SECOND,
    }
    (app,) = load(None, env).apps
    assert (app.app_id, app.certificates) == (APP_ID, (CERTIFICATE, SECOND))


def test_its_certificates_can_come_from_files(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text(f"{CERTIFICATE}\n")
    second.write_text(SECOND)
    env = {
        "SEALCAST_APP_ID": APP_ID,
        "SEALCAST_APP_CERTIFICATE_FILE": str(first),
        "SEALCAST_APP_SECONDARY_CERTIFICATE_FILE": str(second),
    }
    assert load(None, env).apps[0].certificates == (CERTIFICATE, SECOND)


def test_it_stands_beside_the_apps_of_the_file(write: Write) -> None:
    env = {"SEALCAST_APP_ID": OTHER_APP, "SEALCAST_APP_CERTIFICATE": SECOND}
    assert [app.app_id for app in load(write(APP_BLOCK), env).apps] == [APP_ID, OTHER_APP]


def test_it_replaces_the_certificate_of_the_same_app_in_the_file(write: Write) -> None:
    path = write(f"{APP_BLOCK}name = 'team'\n")
    (app,) = load(path, {"SEALCAST_APP_ID": APP_ID, "SEALCAST_APP_CERTIFICATE": SECOND}).apps
    assert (app.name, app.certificates) == ("team", (SECOND,))


def test_an_app_id_alone_is_the_clients_affair_beside_a_file_with_apps(write: Write) -> None:
    assert [app.app_id for app in load(write(APP_BLOCK), {"SEALCAST_APP_ID": OTHER_APP}).apps] == [APP_ID]


@pytest.mark.parametrize(
    ("env", "problem"),
    [
        ({"SEALCAST_APP_ID": APP_ID}, "SEALCAST_APP_ID: is set, but SEALCAST_APP_CERTIFICATE is not"),
        (
            {"SEALCAST_APP_CERTIFICATE": SECOND},
            "SEALCAST_APP_CERTIFICATE: is set, but SEALCAST_APP_ID is not",
        ),
        (
            {"SEALCAST_APP_ID": APP_ID, "SEALCAST_APP_CERTIFICATE": "x"},
            "SEALCAST_APP_CERTIFICATE: an app certificate is 32 hexadecimal characters",
        ),
        (
            {"SEALCAST_APP_ID": "x", "SEALCAST_APP_CERTIFICATE": SECOND},
            "SEALCAST_APP_ID: an App ID is 32 hexadecimal characters",
        ),
        (
            {
                "SEALCAST_APP_ID": APP_ID,
                "SEALCAST_APP_CERTIFICATE": SECOND,
                "SEALCAST_APP_CERTIFICATE_FILE": "x",
            },
            "SEALCAST_APP_CERTIFICATE: is set, and SEALCAST_APP_CERTIFICATE_FILE too; unset one of them",
        ),
        (
            {"SEALCAST_APP_ID": APP_ID, "SEALCAST_APP_CERTIFICATE_FILE": "/nowhere/at/all"},
            "SEALCAST_APP_CERTIFICATE_FILE: the file cannot be read: No such file or directory",
        ),
        (
            {"SEALCAST_APP_CERTFICATE": SECOND},
            "SEALCAST_APP_CERTFICATE: unknown variable; did you mean SEALCAST_APP_CERTIFICATE?",
        ),
    ],
)
def test_half_an_app_in_the_environment_is_refused(env: dict[str, str], problem: str) -> None:
    assert problem in problems(None, env)


# --- mistakes --------------------------------------------------------------------------------------


def test_everything_that_is_wrong_is_named_at_once(write: Write) -> None:
    path = write(
        "[server]\nprot = 1\nport = 70000\nheartbeat = '5x'\nconnections = true\nhost = 3\n"
        "[log]\nlevel = 'loud'\n" + APP_BLOCK + "[apps.limits]\nframes = 1\nframe = '1GiB'\n"
    )
    env = {"SEALCAST_SERVER_BACKLOG": "0", "SEALCAST_LOG_LEVL": "info"}
    assert set(problems(path, env, server__clsoe=1)) == {
        "server.prot: unknown; did you mean port?",
        "server.port: should be less than or equal to 65535",
        "server.heartbeat: not a duration: write seconds, or 500ms, 30s, 5m, 1h30m",
        "server.connections: should be a number, not true or false",
        "server.host: should be a valid string",
        "log.level: should be 'debug', 'info', 'warning' or 'error'",
        "apps[0].limits.frames: unknown; did you mean frame?",
        "apps[0].limits.frame: should be less than or equal to 16777216",
        "SEALCAST_SERVER_BACKLOG: should be greater than or equal to 1",
        "SEALCAST_LOG_LEVL: unknown variable; did you mean SEALCAST_LOG_LEVEL?",
        "server.clsoe: unknown option; did you mean server.close?",
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("port = 1\n" + APP_BLOCK, "port: unknown; did you mean server.port?"),
        ("clock_skew = 1\n" + APP_BLOCK, "clock_skew: unknown; did you mean apps[].policy.clock_skew?"),
        (APP_BLOCK + "frame = 1\n", "apps[0].frame: unknown; did you mean apps[].limits.frame?"),
        ("[sever]\nport = 1\n" + APP_BLOCK, "sever: unknown; did you mean server?"),
        ("[zzz]\n" + APP_BLOCK, "zzz: unknown"),
        (APP_BLOCK + "cert = 'x'\n", "apps[0].cert: unknown; did you mean certificate?"),
        (f"[apps]\napp_id = '{APP_ID}'\n", "apps: should be a list of tables: write [[apps]], with two"),
        ("apps = 3\n", "apps: should be a list of tables"),
        ("apps = [3]\n", "apps[0]: should be a table: write [[apps]] above its options"),
        ("server = 3\n" + APP_BLOCK, "server: should be a table: write [server] above its options"),
        (f"[[apps]]\napp_id = '{APP_ID}'\n", "apps[0]: needs a certificate, unless policy.allow_app_id_only"),
        (APP_BLOCK + APP_BLOCK, f"app_id {APP_ID} stands twice"),
        (
            APP_BLOCK + "[[apps.channels]]\npattern = 'a'\ndelivry = 'latest'\n",
            "channels[0].delivry: unknown; did you mean delivery?",
        ),
        (APP_BLOCK + "[[apps.channels]]\npattern = ''\n", "channels[0].pattern: "),
        (
            APP_BLOCK + "[apps.channels]\npattern = 'a'\n",
            "write [[apps.channels]], with two pairs of brackets",
        ),
        (APP_BLOCK + "channels = [3]\n", "should be a table: write [[apps.channels]] above its options"),
        (
            APP_BLOCK + "[apps.rates]\nbytes_per_address = '64KiB'\n",
            "apps[0]: rates.bytes_per_address, for the time of rates.burst, is less than the largest frame",
        ),
        ("a = [", "is not TOML: Invalid value (at end of document)"),
        ("[server]\nheartbeat = nan\n" + APP_BLOCK, "server.heartbeat: should be"),
    ],
)
def test_a_mistake_is_named_by_its_place(text: str, problem: str, write: Write) -> None:
    (found,) = problems(write(text))
    assert problem in found


def test_a_problem_carries_the_name_of_its_file(write: Write) -> None:
    path = write("[server]\nprot = 1\n" + APP_BLOCK)
    with pytest.raises(ConfigError, match=r"sealcast\.toml: server\.prot: unknown"):
        load(path, {})


def test_a_variable_over_something_that_is_no_table_is_one_problem_of_the_file(write: Write) -> None:
    path = write("server = 3\n" + APP_BLOCK)
    assert problems(path, {"SEALCAST_SERVER_PORT": "1"}) == (
        "server: should be a table: write [server] above its options",
    )


def test_without_an_app_it_is_refused(write: Write) -> None:
    for path in (None, write("[server]\nport = 1\n")):
        with pytest.raises(NoApp, match="no app is configured, so nobody could join"):
            load(path, {})


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere: cannot be read: No such file or directory"):
        load(tmp_path / "nowhere", {})
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path, {})


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\xff\xfe", "is not UTF-8 at byte 0"),
        (b"#" * (1024 * 1024 + 1), "is larger than 1048576 bytes"),
        (b"a = " + b"[" * 100_000, "is nested too deeply"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(data: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "odd"
    path.write_bytes(data)
    assert problems(path) == (problem,)


def test_a_key_that_would_act_on_a_terminal_is_shown_harmless(write: Write) -> None:
    (found,) = problems(write(f'"\\u001b[31m{"x" * 100}" = 1\n{APP_BLOCK}'))
    assert "\x1b" not in found
    assert len(found) < 120


# --- secrets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        APP_BLOCK.replace(CERTIFICATE, f"{CERTIFICATE}0"),
        APP_BLOCK.replace("certificate =", "certificat ="),
        APP_BLOCK.replace(f'"{CERTIFICATE}"', f'["{CERTIFICATE}"]'),
        APP_BLOCK.replace(f'"{CERTIFICATE}"', f'{{ x = "{CERTIFICATE}" }}'),
        APP_BLOCK.replace("certificate", "name"),
        APP_BLOCK + "x",
        APP_BLOCK + APP_BLOCK.replace(APP_ID, CERTIFICATE) + "limits = 3\n",
        APP_BLOCK[:-2],
    ],
)
def test_no_error_shows_a_certificate(text: str, write: Write) -> None:
    with pytest.raises(ConfigError) as refused:
        load(write(text), {"SEALCAST_APP_ID": OTHER_APP, "SEALCAST_APP_CERTIFICATE": f"{SECOND}0"})
    shown = str(refused.value) + repr(refused.value)
    assert CERTIFICATE not in shown
    assert SECOND not in shown


def test_no_repr_shows_a_certificate(write: Write) -> None:
    assert CERTIFICATE not in repr(load(write(APP_BLOCK), {}))


def test_a_file_with_certificates_that_everybody_can_read_is_worth_a_warning(write: Write) -> None:
    path = write(APP_BLOCK)
    told: list[str] = []
    load(path, {}, warn=told.append)
    assert told == []
    path.chmod(0o644)
    load(path, {}, warn=told.append)
    assert len(told) == 1
    assert "can be read by every user; try `chmod o-r " in told[0]
    path.chmod(0o640)
    load(path, {}, warn=told.append)
    assert len(told) == 1


def test_a_file_without_secrets_may_be_read_by_everybody(write: Write) -> None:
    path = write(f"[[apps]]\napp_id = '{APP_ID}'\n[apps.policy]\nallow_app_id_only = true\n")
    path.chmod(0o644)
    load(path, {}, warn=lambda text: pytest.fail(text))


# --- whatever stands there -------------------------------------------------------------------------

_VALUES = st.recursive(
    st.integers() | st.floats() | st.text(max_size=20) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
_NAMES = st.sampled_from([option.name for option in (*PROCESS, *APP)]) | st.text(max_size=8)


def _toml(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case str():
            return (
                '"'
                + "".join(f"\\U{ord(char):08x}" for char in value if not 0xD800 <= ord(char) < 0xE000)
                + '"'
            )
        case list():
            return f"[{', '.join(map(_toml, value))}]"
        case dict():
            return "{" + ", ".join(f"{_toml(name)} = {_toml(item)}" for name, item in value.items()) + "}"
    raise AssertionError(value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(options=st.dictionaries(_NAMES, _VALUES, max_size=4), in_app=st.booleans())
def test_any_toml_is_a_configuration_or_a_config_error(
    options: dict[str, object], in_app: bool, write: Write
) -> None:
    head = APP_BLOCK if in_app else "[server]\n"
    lines = [
        f"{name if name.replace('.', '').isidentifier() and name.isascii() else _toml(name)} = {_toml(value)}"
        for name, value in options.items()
    ]
    path = write(head + "\n".join(lines))
    found: tuple[str, ...] = ()
    try:
        assert load(path, {}).apps
    except ConfigError as error:
        found = error.problems
    assert all(problem.isprintable() for problem in found)


def test_a_list_of_networks_is_spelled_in_one_way_and_checked(write: Write) -> None:
    path = write(APP_BLOCK + '\n[guard]\ndeny = ["192.0.2.7/32", "2001:DB8::/32"]\n')
    assert load(path, {}).guard.deny == ("192.0.2.7", "2001:db8::/32")
    assert load(path, {"SEALCAST_GUARD_DENY": "198.51.100.0/24, ::1"}).guard.deny == (
        "198.51.100.0/24",
        "::1",
    )
    with pytest.raises(ConfigError, match=r"guard\.deny\[0\]: .*192\.0\.2\.0/24 is the network"):
        load(write(APP_BLOCK + '\n[guard]\ndeny = ["192.0.2.7/24"]\n'), {})
    with pytest.raises(ConfigError, match=r"guard\.deny: should be a valid"):
        load(write(APP_BLOCK + '\n[guard]\ndeny = "192.0.2.7"\n'), {})


def test_a_proxy_header_is_required_from_somebody(write: Write) -> None:
    with pytest.raises(ConfigError, match=r"needs guard\.trusted_proxies"):
        load(write(APP_BLOCK + '\n[server]\nproxy_protocol = "required"\n'), {})
