"""Which messages are meant."""


def compile_selection(select, everything, states, now):
    raise NotImplementedError
