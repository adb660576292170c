"""Personal data: e-mail addresses, telephone numbers, public IP addresses, and names of authors.

The kinds are those of StarCoder (https://arxiv.org/abs/2305.06161, §3.4), whose redaction left private addresses and
well-known name servers as they are, too. What is set aside for documentation stays: example.com, 203.0.113.0/24,
555-0100.
"""

from __future__ import annotations

import ipaddress
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import ahocorasick_rs

from repotune.corpus.redaction import Span

_REACH = 100
_CALLED_REACH = 40  # bytes from where a word such as `phone` begins to the last four digits of the number

# What tells where to look, in the shape of a document (small letters, every digit a 0), and what for: found in one pass
# by Aho and Corasick's automaton, where a search for each would take three times as long.
_TELLING = {
    b"@": "email",
    b"opyright": "notice",
    b"uthor": "tag",
    b"0.0": "address",
    b"+0": "international",
    b"-0000": "last_four",
    b".0000": "last_four",
    **dict.fromkeys((b"phone", b"tel", b"mobile", b"fax", b"cell"), "called"),
}
_AUTOMATON = ahocorasick_rs.BytesAhoCorasick(list(_TELLING), implementation=ahocorasick_rs.Implementation.DFA)
_SHAPE = bytes(48 if 48 <= byte <= 57 else byte for byte in range(256)).lower()
_HEXADECIMAL = bytes(ord("f") if byte in b"0123456789abcdefABCDEF" else byte for byte in range(256))

_LOCAL = re.compile(rb"[A-Za-z0-9\x80-\xff](?:[\w.+\x80-\xff-]{0,62}[\w+\x80-\xff-])?$")
_DOMAIN = re.compile(
    rb"@(?P<domain>(?:[A-Za-z0-9\x80-\xff][A-Za-z0-9\x80-\xff-]{0,62}\.){1,6}(?P<top>[A-Za-z]{2,12}))"
    rb"(?![\w@(-])"
)
_ROLES = frozenset(b"git hg svn noreply no-reply donotreply nobody root user username you name email".split())
_EXAMPLES = re.compile(
    rb"(?i)(?:.*\.)?(?:example|test|invalid|localhost|local|localdomain|internal|lan)"
    rb"|(?:.*\.)?(?:example|test|testing|domain|somedomain|yourdomain|your-domain|mydomain|company|yourcompany"
    rb"|mycompany|email|host|hostname|server|foo|bar|baz|foobar|acme|xyz|abc|nowhere|site|yoursite)\.[a-z.]{2,8}"
    rb"|(?:.*\.)?example\.[a-z]{2,3}\.[a-z]{2}|users\.noreply\.github\.com"
)
# Generic domains that people have addresses under; a country's has two letters. In code any word follows a product of
# matrices, as in `a@b.weight`.
_GENERIC = (
    "com org net edu gov mil int info biz name pro dev app cloud tech online site store xyz email mail academy agency"
    " berlin blog codes consulting design digital engineering expert foundation group guru health institute life live"
    " ltd media network news page science services software solutions space studio systems team tools university"
    " website work works world zone"
)
_TOPS = frozenset(_GENERIC.encode().split())
_NAMES_IN_CODE = "cc id in is js md mm name no page pl py rs sh so st to ts"
_CODE_LIKE = frozenset(_NAMES_IN_CODE.encode().split())

_OCTET = rb"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = re.compile(rb"(?<![\w.-])%b(?:\.%b){3}(?![\w-]|\.\w)" % (_OCTET, _OCTET))
_IPV6 = re.compile(rb"(?<![\w:.])[23][0-9a-fA-F]{3}:[0-9a-fA-F:]{2,35}(?![\w:]|\.\d)")
_VERSION = re.compile(
    rb"(?i)(?:ver(?:sion)?s?|release|rev|build|v|firmware|sections?|chapter|since|\xc2\xa7)\W{0,6}$"
    rb"|[=~<>^!]=\s{0,2}$|[~^]$"
)
# As StarCoder: name servers that everyone uses.
_NAME_SERVERS = frozenset(
    b"8.8.8.8 8.8.4.4 1.1.1.1 1.0.0.1 9.9.9.9 149.112.112.112 208.67.222.222 208.67.220.220 4.2.2.1 4.2.2.2".split()
)

_INTERNATIONAL = re.compile(rb"(?<![\w+*/=.)\]-])\+[1-9]\d{0,2}(?:[ .-]?\(?\d{1,4}\)?){1,6}(?![\w.]*[\w(])")
_NORTH_AMERICAN = re.compile(
    rb"(?<![\w.+/-])(?:\+?1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[.-])[2-9]\d\d[.-]\d{4}(?![\w-]|\.\d)"
)
_TOLD = re.compile(
    rb"(?i)\b(?:phone|telephone|tel|mobile|fax|cell)(?:[ _]?(?:number|no|nr)\.?)?[\"']?\s?[:=]\s?[\"']?"
    rb"(\+?\(?\d[\d ()./-]{5,18}\d)(?![\w.])"
)
_FICTIONAL = re.compile(rb"555\D?01\d\d|555\D?1212")

_WORD = rb"(?:[A-Z](?:[\w\x80-\xff-]+(?:'[\w-]+)?|'[\w-]+|\.)|[\xc3-\xcf][\x80-\xbf][\w\x80-\xff-]+)"
_PARTICLES = rb"(?:(?:van|von|zu|de|der|den|la|le|da|di|dos|bin|ibn|el|al)[ \t]+){0,2}"
_PERSON = rb"(?P<name>%b(?:[ \t]+%b%b){1,3})" % (_WORD, _PARTICLES, _WORD)
_YEARS = rb"(?:[ \t]*(?:\(c\)|\xc2\xa9|\d{4}|[-,]|present|by|of))*[ \t]*"
_NOTICE = re.compile(rb"(?:opyright|OPYRIGHT)(?i:%b)%b" % (_YEARS, _PERSON))
_TAG = re.compile(
    rb"(?:(?<=@)author[ \t]+|[aA](?:uthor|UTHOR)[sS]?(?:__)?[\"'}*]{0,4}[ \t]*[:=]{1,2}[ \t]*[\[(\"']{0,2})%b" % _PERSON
)
_MORE = re.compile(rb"(?:[ \t]*<[^<>\n]{0,80}>)?[ \t]*(?:,|and|&|;)[ \t]*(?:\d{4}[ \t]*)?%b" % _PERSON)
_PHRASE = re.compile(rb"[ \t]*(?:,[ \t]*(?=Inc|L|G|Co))?[\w \t'-]*")
_ORGANISATION = re.compile(
    rb"(?i)\b(?:inc|llc|ltd|gmbh|ag|sa|corp|corporation|company|co|foundation|project|university|institute|laboratory|labs?"
    rb"|authors?|contributors?|developers?|team|group|community|software|systems|technologies|solutions|google|microsoft"
    rb"|apple|facebook|meta|amazon|red hat|intel|ibm|oracle|research|centrum|center|centre|initiatives?|committee|board"
    rb"|regents|office|act|law|department|government|association|consortium|all rights|licen[cs]e|notice"
    rb"|holders?|owners?|free|the|this)\b"
)


@dataclass(frozen=True)
class FindPersonal:
    """Finds personal data in a document in UTF-8; `names` includes those of copyright lines and author tags."""

    names: bool = True

    def __call__(self, data: bytes, path: str = "", language: str = "") -> list[Span]:
        shape = data.translate(_SHAPE)
        places = _places(shape)
        spans = [*_emails(data, places["email"]), *_addresses(data, shape, places["address"])]
        spans += _numbers(data, shape, places)
        if self.names:
            spans += _names(data, places["notice"], _NOTICE)
            spans += _names(data, places["tag"], _TAG)
        return spans


def _places(shape: bytes) -> dict[str, list[int]]:
    """Where each kind of what _TELLING names stands, in order."""
    places: dict[str, list[int]] = {kind: [] for kind in _TELLING.values()}
    of_literal = [places[kind] for kind in _TELLING.values()]
    for index, start, _ in _AUTOMATON.find_matches_as_indexes(shape, overlapping=True):
        of_literal[index].append(start)
    return places


def _all(data: bytes, needle: bytes) -> Iterator[int]:
    """Where `needle` stands in `data`, without overlaps."""
    at = data.find(needle)
    while at >= 0:
        yield at
        at = data.find(needle, at + len(needle))


def _emails(data: bytes, at_signs: Sequence[int]) -> Iterator[Span]:
    for at in at_signs:
        host = _DOMAIN.match(data, at, at + 260)
        if host is None:
            continue
        local = _LOCAL.search(data, max(0, at - 64), at)
        if local is not None and _is_personal(data, local.start(), local[0], host["domain"], host["top"]):
            yield Span(local.start(), host.end("domain"), "EMAIL")


def _is_personal(data: bytes, start: int, local: bytes, domain: bytes, top: bytes) -> bool:
    """Whether `local`@`domain` is somebody's address and not an example, a role, code or a place to clone from."""
    if not (top.islower() or top.isupper()):
        return False
    top = top.lower()
    if (top not in _TOPS and len(top) != 2) or local.lower() in _ROLES or _EXAMPLES.fullmatch(domain):
        return False
    if top in _CODE_LIKE and domain.count(b".") == 1 and data[start - 1 : start] not in (b"<", b'"', b"'", b":", b"`"):
        return False  # a product of matrices, or a name at a file
    return data[start - 3 : start] != b"://"


def _addresses(data: bytes, shape: bytes, places: Sequence[int]) -> Iterator[Span]:
    """Public addresses of IPv4, whose numbers meet at `places`, and of IPv6."""
    end = 0
    for at, third in zip(places, places[2:], strict=False):
        if at < end or third - at > 8:  # between them lie two points and two numbers of up to three digits
            continue
        start = _start_of_number(shape, at)
        match = _IPV4.match(data, start, start + 24)
        end = match.end() if match is not None else at
        if match is not None and _is_public(match[0]) and not _is_version(data, start, match[0]):
            yield Span(start, end, "IP_ADDRESS")
    for at in _all(data.translate(_HEXADECIMAL), b"ffff:"):
        match = _IPV6.match(data, at, at + 48)
        if match is not None and _is_public(match[0]):
            yield Span(*match.span(), "IP_ADDRESS")


def _start_of_number(shape: bytes, at: int) -> int:
    """Where the number of up to three digits that ends at `at` begins."""
    while at > 0 and shape[at - 1] == ord("0"):
        at -= 1
    return at


def _is_public(address: bytes) -> bool:
    try:
        parsed = ipaddress.ip_address(address.decode())
    except ValueError:
        return False
    return parsed.is_global and not parsed.is_multicast and address not in _NAME_SERVERS


def _is_version(data: bytes, start: int, address: bytes) -> bool:
    """Whether four numbers are a version, a number of a section or a range of addresses."""
    line = data[max(data.rfind(b"\n", 0, start) + 1, start - _REACH) : start]
    if _VERSION.search(line) or address.endswith(b".0.0"):
        return True
    return len(address) == 7  # 1.2.3.4 is a version or an example (BigCode's filter of versions)


def _numbers(data: bytes, shape: bytes, places: Mapping[str, Sequence[int]]) -> Iterator[Span]:
    """Telephone numbers: international ones, North American ones, and what a word before it tells to be one."""
    for at in places["international"]:
        match = _INTERNATIONAL.match(data, at, at + 28)
        if match is not None and _is_number(match[0]) and _is_written_out(data, at, match[0]):
            yield Span(*match.span(), "PHONE")
    end, called = 0, places["called"]
    # The last four digits of a number; where words tell of numbers, it may be written in any way.
    for at in _all(shape, b"0000") if called else (sign + 1 for sign in places["last_four"]):
        if at < end:
            continue
        match = None
        if shape[at - 2 : at] in (b"0-", b"0."):
            match = _NORTH_AMERICAN.search(data, max(0, at - 18), at + 8)
        if match is None and _is_called(called, at):
            match = _TOLD.search(data, max(0, at - _CALLED_REACH), at + 20)
        if match is not None and _is_number(match[match.re.groups]):
            end = match.end()
            yield Span(*match.span(match.re.groups), "PHONE")


def _is_called(called: Sequence[int], at: int) -> bool:
    """Whether one of the words at `called` stands shortly before `at`."""
    place = bisect_left(called, at) - 1
    return place >= 0 and called[place] >= at - _CALLED_REACH


def _is_number(text: bytes) -> bool:
    digits = sum(48 <= byte <= 57 for byte in text)
    return 7 <= digits <= 15 and not _FICTIONAL.search(text)


def _is_written_out(data: bytes, start: int, text: bytes) -> bool:
    """Whether it is written as numbers for people are, and not as a sum is."""
    signs = sum(text.count(sign) for sign in b" -.(")
    return signs >= 2 or (data[start - 1 : start] in (b'"', b"'", b":", b">") and signs == text.count(b"-"))


def _names(data: bytes, places: Sequence[int], pattern: re.Pattern[bytes]) -> Iterator[Span]:
    """The names of people in copyright notices and author tags; those of organisations are no personal data."""
    for at in places:
        match = pattern.match(data, max(0, at if pattern is _NOTICE else at - 1), at + _REACH)
        while match is not None:
            if not _ORGANISATION.search(data, match.start("name"), _end_of_phrase(data, match.end())):
                yield Span(*match.span("name"), "NAME")
            match = _MORE.match(data, match.end(), match.end() + 2 * _REACH)


def _end_of_phrase(data: bytes, end: int) -> int:
    """Where the words that follow a name cease: `Jane Doe Software` is a firm."""
    match = _PHRASE.match(data, end, end + 60)
    return match.end() if match is not None else end
