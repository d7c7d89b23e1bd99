"""What the fuzzer starts from passes, on every Python: else it would find nothing but that."""

import pytest
from fuzz.targets import TARGETS


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_seeds_pass(name):
    target = TARGETS[name]
    seeds = list(target.seeds())
    assert len(seeds) > 10
    for data in seeds:
        target.check(data)
        for length in range(0, len(data), 1 + len(data) // 25):
            target.check(data[:length])


def test_words_are_words():
    for target in TARGETS.values():
        assert all(isinstance(word, bytes) and word for word in target.words)
