"""AES-128 in CBC mode, decryption only (FIPS 197, NIST SP 800-38A).

Python's standard library has none, and `openssl enc` would show the key on its command line. It is not meant to be
quick, and not hardened against who can measure its time: it reads what the host itself has encrypted.
"""

BLOCK = 16
ROUNDS = 10


def decrypt_cbc(key, initial, encrypted):
    """What was encrypted, padding and all.

    :param bytes key: 16
    :param bytes initial: the initialization vector, 16
    :param bytes encrypted: whole blocks
    :raises ValueError: one of these has another length
    """
    if len(key) != BLOCK or len(initial) != BLOCK or len(encrypted) % BLOCK:
        raise ValueError("AES-128-CBC has a key and blocks of 16 bytes")
    keys = _expanded(key)
    plain = bytearray()
    for start in range(0, len(encrypted), BLOCK):
        block = encrypted[start : start + BLOCK]
        plain += bytes(a ^ b for a, b in zip(_decrypted(block, keys), initial))
        initial = block
    return bytes(plain)


def _multiplied(a, b):
    """Product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1."""
    product = 0
    while b:
        if b & 1:
            product ^= a
        a = (a << 1) ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return product


def _made_box():
    """The S-box (list of int): the inverse in the field, then an affine map."""
    inverse = [0] * 256
    for a in range(1, 256):
        if not inverse[a]:
            b = next(b for b in range(1, 256) if _multiplied(a, b) == 1)
            inverse[a], inverse[b] = b, a
    box = []
    for value in inverse:
        mapped = 0x63
        for turn in range(5):
            mapped ^= (value << turn | value >> (8 - turn)) & 0xFF
        box.append(mapped)
    return box


_BOX = _made_box()
_INVERSE_BOX = [_BOX.index(value) for value in range(256)]
_TIMES = {factor: [_multiplied(value, factor) for value in range(256)] for factor in (9, 11, 13, 14)}

# Where each byte of a block comes from when the rows are shifted back; blocks are columns of four.
_SHIFTED_BACK = [(position - 4 * (position % 4)) % BLOCK for position in range(BLOCK)]


def _expanded(key):
    """The keys of all rounds: list of 11 lists of 16."""
    words = [list(key[start : start + 4]) for start in range(0, BLOCK, 4)]
    constant = 1
    for position in range(4, 4 * (ROUNDS + 1)):
        word = list(words[-1])
        if position % 4 == 0:
            word = [_BOX[value] for value in word[1:] + word[:1]]
            word[0] ^= constant
            constant = _multiplied(constant, 2)
        words.append([a ^ b for a, b in zip(word, words[position - 4])])
    values = [value for word in words for value in word]
    return [values[start : start + BLOCK] for start in range(0, len(values), BLOCK)]


def _decrypted(block, keys):
    state = [a ^ b for a, b in zip(block, keys[ROUNDS])]
    for turn in range(ROUNDS - 1, -1, -1):
        state = [_INVERSE_BOX[state[source]] ^ key for source, key in zip(_SHIFTED_BACK, keys[turn])]
        if turn:
            columns = [_mixed_back(state[start : start + 4]) for start in range(0, BLOCK, 4)]
            state = [value for column in columns for value in column]
    return state


def _mixed_back(column):
    a, b, c, d = column
    nine, eleven, thirteen, fourteen = _TIMES[9], _TIMES[11], _TIMES[13], _TIMES[14]
    return [
        fourteen[a] ^ eleven[b] ^ thirteen[c] ^ nine[d],
        nine[a] ^ fourteen[b] ^ eleven[c] ^ thirteen[d],
        thirteen[a] ^ nine[b] ^ fourteen[c] ^ eleven[d],
        eleven[a] ^ thirteen[b] ^ nine[c] ^ fourteen[d],
    ]
