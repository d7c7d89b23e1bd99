"""The controller's part of mail_password_audit: which lists are brought, slices, and what a person sees meanwhile."""

import contextlib
import hashlib
import http.server
import importlib.util
import io
import pathlib
import re
import tarfile
import threading
import time
import types

import pytest
from ansible import errors

PATH = pathlib.Path(__file__).parents[2] / "action_plugins" / "mail_password_audit.py"
ID = re.compile(r"[0-9a-f]{64}\Z")


@pytest.fixture(scope="module")
def plugin():
    spec = importlib.util.spec_from_file_location("mail_password_audit_action", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Shell:
    tmpdir = None

    @staticmethod
    def join_path(*parts):
        return "/".join(parts)


class Display:
    def __init__(self):
        self.lines = []

    def display(self, text):
        self.lines.append(text)


@pytest.fixture
def action(plugin, tmp_path, monkeypatch):
    """Function: the plugin with arguments, on a host that answers as told."""
    lists = tmp_path / "wordlists"
    lists.mkdir()
    (lists / "common.txt").write_text("secret\n")
    (lists / ".made-by").write_text("x")
    monkeypatch.setattr(plugin, "WORDLISTS", str(lists))
    monkeypatch.setattr(plugin, "FETCHED", str(tmp_path / "fetched"))

    class Action(plugin.ActionModule):
        def __init__(self, arguments, answers, check_mode=False):
            self._task = types.SimpleNamespace(args=arguments, check_mode=check_mode)
            self._loader = types.SimpleNamespace(path_dwim=lambda path: str(tmp_path / path))
            self._connection = types.SimpleNamespace(_shell=Shell())
            self._display = Display()
            self._answers = list(answers)
            self.asked, self.brought = [], []

        def _execute_module(self, module_args, task_vars):
            self.asked.append(dict(module_args))
            return self._answers.pop(0)

        def _make_tmp_path(self):
            self._connection._shell.tmpdir = "/remote"

        def _transfer_file(self, local, remote):
            with tarfile.open(local) as archive:
                self.brought.append((remote, archive.getnames()))

        def _fixup_perms2(self, paths):
            pass

        def work(self):
            arguments = dict(self._task.args)
            self.warning, self._files = self._lists(arguments)
            return self._audit(arguments, {"inventory_hostname": "vps1"})

    return Action


def answer(seconds, finished=False, everyone=1000):
    progress = {"accounts": 2000, "guessed": 14, "everyone": everyone, "seconds": seconds}
    return {"changed": False, "finished": finished, "progress": progress}


WANTED = {"changed": False, "lists_wanted": True}


def test_slices_until_the_time_is_over(action):
    made = action({"budget_seconds": "150"}, [answer(60.2), answer(120.4), answer(150.1)])
    assert made.work()["progress"]["seconds"] == 150.1
    asked = [(one["budget_seconds"], one["spent_seconds"]) for one in made.asked]
    assert asked == [(60.0, 0.0), (60.0, 60.2), (pytest.approx(29.6), 120.4)]
    assert made._display.lines == [
        "vps1: all 2,000 accounts' first 1,000 guesses, 14 guessed so far, 60 s of 150 s",
        "vps1: all 2,000 accounts' first 1,000 guesses, 14 guessed so far, 120 s of 150 s",
    ]


def test_slices_until_it_has_finished(action):
    made = action({"budget_seconds": 900}, [answer(60), answer(70, finished=True, everyone=None)])
    assert made.work()["finished"] is True
    assert len(made.asked) == 2


def test_a_failure_ends_it(action):
    made = action({}, [answer(60), {"failed": True, "msg": "no"}])
    assert made.work()["msg"] == "no"
    made = action({}, [{"not_applicable": "no store"}])
    assert made.work() == {"not_applicable": "no store"}


@pytest.mark.parametrize("seconds", [0, 29.9])
def test_a_host_whose_clock_stands_still_is_not_asked_for_ever(action, seconds):
    made = action({"budget_seconds": 120}, [answer(seconds)] * 9)
    said = made.work()
    assert said["failed"] is True
    assert "asked to guess for 60.0 seconds after 0.0, and says that it has guessed for" in said["msg"]
    assert len(made.asked) == 1


def test_a_host_whose_clock_stops_is_not_asked_for_ever(action):
    made = action({"budget_seconds": 900}, [answer(60), answer(61)] + [answer(61)] * 9)
    assert made.work()["failed"] is True
    assert len(made.asked) == 2


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_host_that_wants_the_lists_for_ever_gets_them_once(plugin, action, monkeypatch, check_mode):
    monkeypatch.setattr(plugin, "CHECK_MODE_BYTES", 0)
    made = action({}, [WANTED] * 9, check_mode=check_mode)
    with pytest.raises(errors.AnsibleActionFail, match="does not find them"):
        made.work()
    assert len(made.asked) == 2


class Endless(http.server.BaseHTTPRequestHandler):
    """Answers without an end: at once, or a byte now and then."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(b"a\n" * (1 << 19) if self.path == "/fast" else b"a")
                time.sleep(0 if self.path == "/fast" else 0.05)

    def log_message(self, *_):
        pass


@pytest.fixture
def endless():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield "http://127.0.0.1:{0}".format(server.server_port)
        server.shutdown()


@pytest.mark.parametrize(("path", "said"), [("/fast", "has more than 4 MiB"), ("/slow", "takes longer than 1 seconds")])
def test_a_list_without_an_end_is_not_fetched_for_ever(plugin, endless, tmp_path, monkeypatch, path, said):
    monkeypatch.setattr(plugin, "FETCHED", str(tmp_path / "fetched"))
    monkeypatch.setattr(plugin, "FETCHED_BYTES", 4 << 20)
    monkeypatch.setattr(plugin, "FETCHED_SECONDS", 1.0)
    began = time.monotonic()
    with pytest.raises(errors.AnsibleActionFail, match=said):
        plugin.fetched(endless + path, "0" * 64, "lists[0]")
    assert time.monotonic() - began < 20
    assert list((tmp_path / "fetched").iterdir()) == []


def test_check_mode_is_one_call(action):
    made = action({"budget_seconds": 900}, [answer(900)], check_mode=True)
    made.work()
    assert len(made.asked) == 1
    assert "spent_seconds" not in made.asked[0]


@pytest.mark.parametrize("budget", ["soon", -1, 0])
def test_an_odd_budget_is_for_the_module_to_refuse(action, budget):
    made = action({"budget_seconds": budget}, [{"failed": True, "msg": "refused"}])
    made.work()
    assert made.asked[0]["budget_seconds"] == budget


def test_lists_are_brought_only_when_they_are_wanted(action):
    made = action({}, [answer(5, True)])
    made.work()
    assert made.brought == []
    assert ID.match(made.asked[0]["lists_id"])
    made = action({}, [WANTED, answer(5, True)])
    made.work()
    assert made.brought == [("/remote/lists.tar.gz", ["common.txt"])]
    assert "lists_archive" not in made.asked[0]
    assert made.asked[1]["lists_archive"] == "/remote/lists.tar.gz"


def test_lists_that_were_brought_and_are_still_wanted_are_a_defect(action):
    with pytest.raises(errors.AnsibleActionFail, match="does not find them"):
        action({}, [WANTED, WANTED]).work()


def test_check_mode_brings_no_large_lists(action, plugin, monkeypatch):
    made = action({}, [WANTED, answer(5, True)], check_mode=True)
    made.work()
    assert len(made.brought) == 1
    monkeypatch.setattr(plugin, "CHECK_MODE_BYTES", 3)
    made = action({}, [WANTED, answer(5, True)], check_mode=True)
    made.work()
    assert made.brought == []
    assert made.asked[1]["lists_id"] is None


def test_without_word_lists_there_is_a_warning(action, plugin, tmp_path):
    made = action({"wordlists_dir": "nothing"}, [answer(5, True)])
    made.work()
    assert made.warning.startswith("There are no word lists in {0} on the controller".format(tmp_path / "nothing"))
    assert made.asked[0]["lists_id"] is None
    assert "wordlists_dir" not in made.asked[0]


def test_lists_of_ones_own(action, tmp_path):
    (tmp_path / "own.txt").write_text("a\n")
    digest = hashlib.sha256(b"a\n").hexdigest()
    lists = [
        {"path": "own.txt", "sha256": digest.upper()},
        {"host_path": "/srv/huge.txt"},
        {"url": (tmp_path / "own.txt").as_uri(), "sha256": digest},
    ]
    made = action({"lists": lists}, [WANTED, answer(5, True)])
    made.work()
    assert made.brought[0][1] == ["common.txt", "own-000.txt", "own-002.txt"]
    assert made.asked[0]["lists"] == [{}, {"host_path": "/srv/huge.txt"}, {}]
    # Fetched once.
    (tmp_path / "own.txt").write_text("b\n")
    made = action({"lists": [lists[2]]}, [answer(5, True)])
    made.work()


def test_the_lists_have_another_name_when_one_of_them_is_another(action, tmp_path):
    def name(*lists):
        made = action({"lists": list(lists)}, [answer(5, True)])
        made.work()
        return made.asked[0]["lists_id"]

    (tmp_path / "own.txt").write_text("a\n")
    (tmp_path / "two.txt").write_text("b\n")
    names = [
        name(),
        name({"path": "own.txt"}),
        name({"path": "own.txt"}, {"path": "two.txt"}),
        name({"path": "two.txt"}, {"path": "own.txt"}),
        name({"host_path": "/a"}),
        name({"host_path": "/b"}),
    ]
    assert len(set(names)) == 6
    (tmp_path / "own.txt").write_text("c\n")
    assert name({"path": "own.txt"}) not in names
    (tmp_path / "wordlists" / "common.txt").write_text("other\n")
    assert name() not in names


@pytest.mark.parametrize(
    ("one", "sentence"),
    [
        ({}, "give one of path, url and host_path"),
        ({"path": "a", "url": "b"}, "give one of path, url and host_path"),
        ({"path": "a", "pth": "b"}, "give one of path, url and host_path"),
        ({"path": "none.txt"}, r"lists\[0\].path is .*none.txt, which can't be read on the controller: No such file"),
        ({"path": "own.txt", "sha256": "abc"}, r"lists\[0\].sha256 is 'abc': give the 64 hexadecimal digits"),
        ({"path": "own.txt", "sha256": "0" * 64}, "has the SHA-256 [0-9a-f]{64}, not 000"),
        ({"path": "own.txt", "sha256": 5}, r"lists\[0\].sha256 is '5': give the 64 hexadecimal digits"),
        ({"path": "wordlists"}, "which is no plain file on the controller"),
        ({"path": "a\0b"}, r"lists\[0\].path is 'a\\x00b': give a text without NUL bytes"),
        ({"path": 5}, r"lists\[0\].path is 5: give a text"),
        ({"url": ["x"], "sha256": "0" * 64}, r"lists\[0\].url is \['x'\]: give a text"),
        ({"host_path": {"a": 1}}, r"lists\[0\].host_path is {'a': 1}: give a text"),
        ({"host_path": "huge.txt"}, r"lists\[0\].host_path is 'huge.txt': give a path that begins with a slash"),
        ({"url": "file:///none.txt"}, "has a url, but no sha256"),
        ({"url": "file:///none.txt", "sha256": "0" * 64}, "can't be fetched"),
    ],
)
def test_a_list_that_cannot_be_meant_is_a_sentence(action, tmp_path, one, sentence):
    (tmp_path / "own.txt").write_text("a\n")
    with pytest.raises(errors.AnsibleActionFail, match=sentence):
        action({"lists": [one]}, []).work()


def test_a_fetched_list_that_is_another_is_refused_and_not_kept(action, tmp_path):
    (tmp_path / "own.txt").write_text("a\n")
    one = {"url": (tmp_path / "own.txt").as_uri(), "sha256": "0" * 64}
    with pytest.raises(errors.AnsibleActionFail, match="has the SHA-256"):
        action({"lists": [one]}, []).work()
    assert list((tmp_path / "fetched").iterdir()) == []


def test_a_download_that_breaks_off_leaves_nothing(action, plugin, tmp_path, monkeypatch):
    class Broken:
        def read(self, _size):
            if not self.is_begun:
                self.is_begun = True
                return b"a"
            raise OSError("connection lost")

        is_begun = False

        def close(self):
            pass

    monkeypatch.setattr(plugin, "open_url", lambda url, timeout: Broken())
    one = {"url": "https://lists.example/a.txt", "sha256": "0" * 64}
    with pytest.raises(errors.AnsibleActionFail, match="can't be fetched: connection lost"):
        action({"lists": [one]}, []).work()
    assert list((tmp_path / "fetched").iterdir()) == []


DIGITS = hashlib.sha256(b"a\n").hexdigest()


@pytest.mark.parametrize("where", ["user:s3cret@lists.example", "user:s3c/r@s3cret@lists.example"])
@pytest.mark.parametrize(
    "change",
    [{}, {"sha256": "x"}, {"sha256": None}, {"pth": 1}, {"path": "x"}, {"url": "https://user:s3cret@lists.example/\0"}],
)
@pytest.mark.parametrize("query", ["", "?token=s3cret", "?to=a@b&token=s3cret"])
def test_no_failure_shows_what_an_address_says_of_a_log_in(action, plugin, monkeypatch, where, change, query):
    one = dict({"url": "https://" + where + "/a.txt" + query, "sha256": DIGITS}, **change)

    def failing(url, timeout):
        raise ValueError("nonnumeric port: " + url[8:])

    monkeypatch.setattr(plugin, "open_url", failing)
    for lists in ([one], one, one["url"]):
        with pytest.raises(errors.AnsibleActionFail) as raised:
            action({"lists": lists}, []).work()
        assert "s3c" not in str(raised.value)
    monkeypatch.setattr(plugin, "open_url", lambda url, timeout: io.BytesIO(b"other"))
    with pytest.raises(errors.AnsibleActionFail) as raised:
        action({"lists": [one]}, []).work()
    assert "s3c" not in str(raised.value)


def test_an_address_without_secrets_is_shown_whole(plugin):
    assert plugin.shown("https://lists.example:8443/a/b.txt") == "https://lists.example:8443/a/b.txt"
    assert plugin.shown("https://u:p@lists.example/a.txt?x=1") == "https://lists.example/a.txt?..."


def test_a_sum_of_digits_alone_may_be_a_number(action, plugin, tmp_path, monkeypatch):
    (tmp_path / "own.txt").write_text("a\n")
    monkeypatch.setattr(plugin, "sha256_of", lambda path: "1" * 64)
    made = action({"lists": [{"path": "own.txt", "sha256": int("1" * 64)}]}, [answer(5, True)])
    assert made.work()["finished"]


def test_only_files_are_word_lists(action, tmp_path):
    (tmp_path / "wordlists" / "english.txt").mkdir()
    made = action({}, [WANTED, answer(5, True)])
    made.work()
    assert made.brought[0][1] == ["common.txt"]


@pytest.mark.parametrize("directory", [5, "a\0b", ["x"]])
def test_an_odd_directory_of_word_lists_is_a_sentence(action, directory):
    with pytest.raises(errors.AnsibleActionFail, match=r"wordlists_dir is .*: give a path on the controller"):
        action({"wordlists_dir": directory}, []).work()


def test_lists_must_be_a_list(action):
    with pytest.raises(errors.AnsibleActionFail, match=r"lists is 'a\.txt': give a list of dicts"):
        action({"lists": "a.txt"}, []).work()


def test_how_far_it_is_in_words(plugin):
    progress = {"accounts": 1, "guessed": 0, "everyone": None, "seconds": 59.6}
    said = "vps1: all guesses at all 1 accounts, 0 guessed so far, 60 s of 900 s"
    assert plugin.line("vps1", progress, 900.0) == said
    progress["everyone"] = 0
    assert plugin.line("vps1", progress, 900.0) == said.replace("all guesses at all", "the first guesses at")


@pytest.mark.parametrize(
    ("everyone", "said"),
    [
        (1000, "vps1: 1,998 of 2,000 accounts' first 1,000 guesses, 14 guessed so far, 60 s of 900 s"),
        (None, "vps1: all guesses at 1,998 of 2,000 accounts, 14 guessed so far, 60 s of 900 s"),
        (0, "vps1: the first guesses at 2,000 accounts, 14 guessed so far, 60 s of 900 s"),
    ],
)
def test_who_is_behind_is_not_counted_among_all(plugin, everyone, said):
    progress = {"accounts": 2000, "guessed": 14, "everyone": everyone, "behind": 2, "seconds": 60.0}
    assert plugin.line("vps1", progress, 900.0) == said


def test_where_reading_takes_long_the_parts_are_longer(action):
    answers = [answer(60), answer(360), answer(420, finished=True)]
    answers[0]["progress"]["reading"] = 30.0
    made = action({"budget_seconds": 900}, answers)
    made.work()
    assert [asked["budget_seconds"] for asked in made.asked] == [60, 300, 60]


def test_a_host_that_is_slow_in_each_slice_is_not_waited_for_each_time(plugin, action, monkeypatch):
    """It says that it goes on, and takes all that a slice may take: a thousand slices would be ten days."""
    now = [0.0]
    monkeypatch.setattr(plugin, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    budget = 28800

    class Slow(action):
        def _execute_module(self, module_args, task_vars):
            if len(self.asked) > 900 or self.seconds < 2:
                raise errors.AnsibleActionFail("late")
            now[0] += self.seconds
            self.asked.append(module_args)
            return answer(31.0 * len(self.asked))

    with pytest.raises(errors.AnsibleActionFail, match="late"):
        Slow({"budget_seconds": budget}, []).work()
    assert now[0] <= 2 * budget + plugin.SLICE_ALLOWANCE
