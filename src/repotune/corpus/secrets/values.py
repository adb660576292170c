"""Whether a value is a secret: it is no placeholder, refers to nothing, and looks as if it had been drawn at random."""

from __future__ import annotations

import math
import re
from collections import Counter
from itertools import pairwise

_LEAST_PASSWORD = 5

# Words by which authors say that a value is none.
_TOLD = re.compile(
    rb"example|sample|placeholder|change.?me|change_?it|replace|redacted|hidden|removed|dummy|fake|mock|your[-_ ]"
    rb"|your(?:pass|key|token|secret|api)|insert|\btodo\b|xxxx|\*\*\*|\.\.\.|<[^<>]*>|\{\{|\}\}|%\(|(?<!\w)%s(?!\w)|\$\{?\w+\}?$"
    rb"|not.?a.?secret|dont.?use|do.?not.?use|undefined|localhost|placebo|lorem",
    re.IGNORECASE,
)
# What stands for a password in documentation and in tests, and the states that forms and parsers know.
_COMMON = frozenset(
    b"abc123 abcdef admin administrator allow always ascii asdf basic bearer binary boolean bytes choice client "
    b"default deny digest disabled email empty enabled false fields file foobar foobarbaz guest hello hunter2 integer "
    b"invalid login magic manager master md5 missing mypass mypassword mysecret never none null number object optional "
    b"passphrase passwd passwd1 password password1 password123 pass1234 passw0rd plain plaintext postgres private "
    b"prompt public pwd qwerty redis required root s3cr3t secret secret1 secret123 secretkey sekret sha256 static "
    b"string super system tbd temp test test1 test123 test1234 tester testing testpass testpassword testsecret text "
    b"token true unknown unset user username utf-8 valid value welcome".split()
)
_REFERENCE = re.compile(  # a variable, a call, an element, a template, a path of names, a place in a vault
    rb"\$[\w({\[].*|%\w+%|@\w+@?|!(?:\w+|\w+ .*)|[\w.:>-]+(?:\(.*\)?|\[.*\]);?|\{.*\}|<.*>|[({\[].*|#\{.*"
    rb"|.*\$\{\w[\w.:-]*\}.*|.*\$\(.*"
    rb"|(?:this|self|cls|os|process|env|config|settings|params|args|options|request|req|data|var|vault|arn|secrets?|file"
    rb"|https?|projects)[.:/].*|None|nil|NULL|/[\w./-]*|~/.*|\.{1,2}/.*",
    re.DOTALL,
)
_NAME = re.compile(rb"[A-Za-z_]+(?:[._ :/-][A-Za-z_]+)*\d?")
_DIGITS_AND_SIGNS = re.compile(rb"[^A-Za-z]*")
_UUID = re.compile(rb"(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_HEX = re.compile(rb"[0-9a-f]+|[0-9A-F]+")
_LETTERS = b"abcdefghijklmnopqrstuvwxyz"
_SEQUENCES = (
    _LETTERS * 2,
    b"0123456789" * 2,
    (b"0123456789" + _LETTERS) * 2,
    (_LETTERS + b"0123456789+/") * 2,
    b"0123456789abcdef" * 2,
    b"qwertyuiopasdfghjklzxcvbnm",
)

_CLASS = bytes(b"a"[0] if byte >= 97 else b"A"[0] if byte >= 65 else b"0"[0] for byte in range(256))
_SIGNS = bytes(byte for byte in range(256) if not chr(byte).isalnum() or byte >= 128)


def entropy(value: bytes) -> float:
    """Shannon's entropy of the bytes of `value`, in bits per byte."""
    return -sum(count / len(value) * math.log2(count / len(value)) for count in Counter(value).values())


def is_placeholder(value: bytes) -> bool:
    """Whether `value` stands for a secret rather than being one: xxx, changeme, ${TOKEN}, 12345, aaaa, abcdef."""
    small = value.lower()
    return (
        small in _COMMON
        or len(set(small)) <= max(2, len(small) // 8)
        or _TOLD.search(small) is not None
        or is_sequential(small)
    )


def is_sequential(value: bytes) -> bool:
    """Whether most of `value`, in lower case, follows the alphabet, the digits or the keyboard."""
    window = max(4, min(len(value) * 2 // 3, 12))
    return any(
        value[at : at + window] in sequence
        for sequence in _SEQUENCES
        for at in range(0, max(1, len(value) - window + 1), max(1, window // 3))
    )


def is_uuid(value: bytes) -> bool:
    """Whether `value` is a UUID: public, unless what it is assigned to says otherwise."""
    return _UUID.fullmatch(value) is not None


def is_reference(value: bytes) -> bool:
    """Whether `value` names where a secret is to be found: a variable, a call, a template, a path."""
    return _REFERENCE.fullmatch(value) is not None


def is_password(value: bytes) -> bool:
    """Whether `value`, assigned to something named like a password, is one."""
    return not (
        len(value) < _LEAST_PASSWORD
        or any(byte in b" \t" for byte in value)
        or _DIGITS_AND_SIGNS.fullmatch(value)
        or is_placeholder(value)
        or is_reference(value)
    )


def is_key(value: bytes) -> bool:
    """Whether `value`, assigned to something named like a key or a secret, is one. A name of words is none."""
    if not is_password(value) or len(value) < 8:
        return False
    return not _NAME.fullmatch(value) or not _is_spelt(value)


def _is_spelt(name: bytes) -> bool:
    """Whether `name`, all letters, is made of words: of random letters half are capitals, of words' a quarter."""
    capitals = sum(65 <= byte <= 90 for byte in name) / len(name)
    return not 0.3 <= capitals < 0.8 and not (len(name) >= 20 and name.islower() and name.isalpha())


def is_random(value: bytes) -> bool:
    """Whether `value`, of which nothing is known but its characters, was drawn at random.

    Words in any spelling change between small letters, capitals and digits seldom: once in four to ten characters, a
    capital before a small letter aside. Random base64 and hexadecimal do nearly every second time.
    """
    if is_placeholder(value) or is_uuid(value):
        return False
    mixed = not value.isalpha() and not value.isdigit() and _switches(value) > 0.25 * len(value)
    return mixed and entropy(value) > (3.0 if _HEX.fullmatch(value) else 3.9)


def _switches(value: bytes) -> int:
    """How many neighbours in `value`, signs aside, are of different classes, but for a capital and a small letter."""
    classes = value.translate(_CLASS, _SIGNS)
    return sum(pair[0] != pair[1] and pair != (ord("A"), ord("a")) for pair in pairwise(classes))
