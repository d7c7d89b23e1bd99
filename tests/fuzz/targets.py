"""What is fuzzed: for each parser what must hold for any bytes, inputs to start from, and words of its language.

Kept apart from the fuzzer, so that the unit tests see on every Python that the inputs to start from pass.
"""

from . import header_targets, postfix_target, qmail_target

TARGETS = {
    "postfix": postfix_target.TARGET,
    "qmail": qmail_target.TARGET,
    "headers": header_targets.HEADERS,
    "subjects": header_targets.SUBJECTS,
}
