"""The controller's part of submission_firewall: names and files."""

import importlib.util
import pathlib
import socket

import pytest
from ansible import errors

PATH = pathlib.Path(__file__).parents[2] / "action_plugins" / "submission_firewall.py"


@pytest.fixture(scope="module")
def plugin():
    spec = importlib.util.spec_from_file_location("submission_firewall_action", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def names(monkeypatch):
    """A resolver that knows two names."""
    known = {"office.example.com": ["2001:db8::5", "203.0.113.5"], "vpn": ["198.51.100.7"]}

    def getaddrinfo(name, _port, **_options):
        if name not in known:
            raise socket.gaierror(-2, "Name or service not known")
        return [(None, None, None, "", (address, 0)) for address in known[name] * 2]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("office.example.com", ["2001:db8::5 # office.example.com", "203.0.113.5 # office.example.com"]),
        ("vpn  # the VPN", ["198.51.100.7 # vpn"]),
        ("203.0.113.5", ["203.0.113.5"]),
        ("203.0.113.0/24", ["203.0.113.0/24"]),
        ("203.0.113.5-203.0.113.9", ["203.0.113.5-203.0.113.9"]),
        ("2001:db8::/48", ["2001:db8::/48"]),
        ("fe80::1%eth0", ["fe80::1%eth0"]),
        ("# a comment", ["# a comment"]),
        (587, [587]),
    ],
)
def test_only_names_are_looked_up(plugin, names, source, expected):
    assert plugin.with_names_looked_up([source]) == expected


def test_a_name_without_an_address_is_a_sentence(plugin, names):
    with pytest.raises(
        errors.AnsibleActionFail, match=r"names the host gone\.example\.com, which the controller can't"
    ):
        plugin.with_names_looked_up(["gone.example.com"])


def test_lines_of_a_file_say_where_they_stand(plugin, tmp_path):
    class Loader:
        @staticmethod
        def path_dwim(path):
            return str(tmp_path / path)

    class Action(plugin.ActionModule):
        def __init__(self):
            self._loader = Loader()

    (tmp_path / "office.txt").write_text("# ours\n\n203.0.113.5 # Tokyo\n2001:db8::5\n", encoding="utf-8")
    assert Action()._lines("office.txt") == [
        "203.0.113.5 # Tokyo, office.txt line 3",
        "2001:db8::5 # office.txt line 4",
    ]
    with pytest.raises(errors.AnsibleActionFail, match=r"source_files names .*missing\.txt, which can't be read"):
        Action()._lines("missing.txt")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\n")
    with pytest.raises(errors.AnsibleActionFail, match="not UTF-8"):
        Action()._lines("binary")


def test_a_port_that_listens_answers_and_another_does_not(plugin):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert plugin.answers_on("127.0.0.1", port)
    assert not plugin.answers_on("127.0.0.1", port)


def test_own_address_towards_loopback(plugin):
    assert plugin.own_address_towards("127.0.0.1") == "127.0.0.1"
    assert plugin.own_address_towards("no such host.invalid") is None


def test_only_ports_that_were_asked_for_are_tried(plugin, monkeypatch):
    """A host that names sixty thousand would have each waited for."""
    tried = []
    monkeypatch.setattr(plugin, "answers_on", lambda host, port: tried.append(port) or False)
    monkeypatch.setattr(plugin, "own_address_towards", lambda host: "192.0.2.1")

    class Action(plugin.ActionModule):
        def __init__(self):
            pass

        def _host(self):
            return "192.0.2.7"

    result = {"controller": {"address": "192.0.2.1", "allowed": False}, "listening": [587, 465, 587, *range(1, 60000)]}
    Action()._probe(result, {}, ["587", 465, "x"])
    assert tried == [465, 587]
    assert result["probed"] == {"465": "closed", "587": "closed"}
