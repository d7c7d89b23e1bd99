"""Fuzz the parsers, guided by coverage (`tools/fuzz` installs what this needs, and runs it).

    fuzz.py list                       the targets' names
    fuzz.py run TARGET DIRECTORY OPT   libFuzzer's option OPT says how long; DIRECTORY keeps what reached something new
    fuzz.py try TARGET FILE            one input

The fuzzer is atheris: libFuzzer, with the coverage of Python code.
"""

import hashlib
import os
import sys
import time

import atheris

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(HERE), os.path.join(HERE, "..", "..", "module_utils")]

with atheris.instrument_imports(include=["harden_mail.queue"]):
    from fuzz.targets import TARGETS

# Seconds of CPU for one input; a hundred times what the slowest good one takes. libFuzzer's own limit is of the clock,
# and this machine may have other things to do.
LONGEST = 1.0


class TooSlow(Exception):
    """An input takes longer than its length could excuse."""


def run(name, directory, option):
    target = TARGETS[name]
    corpus, seeds = os.path.join(directory, "corpus"), os.path.join(directory, "seeds")
    for path in (corpus, seeds):
        os.makedirs(path, exist_ok=True)
    for data in target.seeds():
        with open(os.path.join(seeds, hashlib.sha256(data).hexdigest()), "wb") as handle:
            handle.write(data)
    words = os.path.join(directory, "words")
    with open(words, "w", encoding="ascii") as handle:
        for word in target.words:
            handle.write('"{0}"\n'.format("".join("\\x{0:02x}".format(code) for code in word)))

    def check(data):
        start = time.process_time()
        target.check(data)
        spent = time.process_time() - start
        if spent > LONGEST:
            raise TooSlow("{0:.1f} s for {1} bytes".format(spent, len(data)))

    options = [
        "-dict=" + words,
        "-artifact_prefix=" + os.path.join(directory, ""),
        "-max_len=20000",
        "-timeout=20",
        "-rss_limit_mb=1024",
        "-print_final_stats=1",
        option,
        # What is new goes into the first one.
        corpus,
        seeds,
    ]
    atheris.Setup([sys.argv[0]] + options, check)
    atheris.Fuzz()


def main(arguments):
    if arguments == ["list"]:
        print("\n".join(TARGETS))
    elif arguments[0] == "try":
        with open(arguments[2], "rb") as handle:
            TARGETS[arguments[1]].check(handle.read())
    else:
        run(*arguments[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
