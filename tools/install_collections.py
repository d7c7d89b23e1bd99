"""Put the collections of requirements.yml into .collections: from Galaxy, else out of PyPI's package `ansible`.

Either way the same versions end up in the same directory.
"""

import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements.yml"
TARGET = ROOT / ".collections"
STAMP = TARGET / ".requirements"
# The release that carries the versions pinned in requirements.yml.
PYPI_PACKAGE = "ansible==12.3.0"


def main():
    wanted = {row["name"]: row["version"] for row in yaml.safe_load(REQUIREMENTS.read_text())["collections"]}
    stamp = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if STAMP.exists() and STAMP.read_text() == stamp:
        return
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir()
    from_galaxy() or from_pypi(wanted)
    for name, version in wanted.items():
        found = installed_version(name)
        if found != version:
            sys.exit(f"requirements.yml pins {name} {version}, but {found} was to be had from {PYPI_PACKAGE}.")
    STAMP.write_text(stamp)


def from_galaxy():
    """Whether Galaxy could be reached and gave everything."""
    program = pathlib.Path(sys.executable).with_name("ansible-galaxy")
    command = [program, "collection", "install", "--timeout", "15", "-r", REQUIREMENTS, "-p", TARGET]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    print("bootstrap: collections from Galaxy" if done.returncode == 0 else "bootstrap: Galaxy can't be reached")
    return done.returncode == 0


def from_pypi(wanted):
    print(f"bootstrap: collections from PyPI's {PYPI_PACKAGE}")
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        # Only to be unpacked, so a wheel for a newer Python than this one will do.
        command += ["--only-binary=:all:", "--python-version=3.13", f"--dest={directory}", PYPI_PACKAGE]
        subprocess.run(command, stdin=subprocess.DEVNULL, check=True)
        wheel = next(pathlib.Path(directory).glob("*.whl"))
        prefixes = tuple(f"ansible_collections/{name.replace('.', '/')}/" for name in wanted)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(TARGET, [name for name in archive.namelist() if name.startswith(prefixes)])


def installed_version(name):
    manifest = TARGET / "ansible_collections" / name.replace(".", "/") / "MANIFEST.json"
    return json.loads(manifest.read_text())["collection_info"]["version"] if manifest.exists() else None


if __name__ == "__main__":
    main()
