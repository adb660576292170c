"""Passwords and keys by the names that they are assigned to, in the notations of source code and configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator

from repotune.corpus.redaction import Span
from repotune.corpus.secrets.values import is_key, is_password, is_placeholder, is_reference

_PASSWORD_NAMES = (
    "password passwd passphrase pwd contraseña contrasena db_pass dbpass database_pass databasepass key_pass keypass"
    " userpass user_pass ftp_pass smtp_pass mail_pass"
)
_KEY_NAMES = (
    "secret apikey api_key api-key authkey auth_key auth-key servicekey service_key accountkey account_key dbkey db_key"
    " databasekey database_key privkey priv_key privatekey private_key private-key clientkey client_key accesskey"
    " access_key access-key auth_token authtoken auth-token access_token accesstoken access-token refresh_token"
    " api_token apitoken signing_key encryption_key master_key"
)
PASSWORD_NAMES, KEY_NAMES = frozenset(_PASSWORD_NAMES.split()), frozenset(_KEY_NAMES.split())

# In these what is assigned stands without quotes.
_BARE = frozenset(
    {"YAML", "TOML", "INI", "Shell", "Batchfile", "PowerShell", "Dockerfile", "Java Properties", "Makefile", "Dotenv"}
    | {"Text", "HCL", "Nix", "CMake"}
)

_REACH = 400  # bytes of a line that a name and what is assigned to it fill
_QUOTED = rb"[bBuUrR@]{0,2}(?P<quote>[\"'`])(?P<value>(?:\\.|(?!(?P=quote))[^\\\r\n]){1,200})(?P=quote)"
_REST = rb"[\w-]{0,40}(?:\\?[\"'`])?\]?(?:\[\d*\])?"  # of the name, and what closes it

_ASSIGNED = re.compile(  # with a type between, in languages that write it there
    _REST
    + rb"(?:\s{0,4}:\s{0,4}[A-Za-z][\w.\[\]|? ]{0,30}?)?\s{0,20}(?::=|=>|[!=]={0,2}|:)\s{0,20}(?:\(\s?)?"
    + _QUOTED
)
_PASSED = re.compile(_REST + rb"(?:\.assign)?\(\s{0,4}" + _QUOTED)
_FOLLOWED = re.compile(_REST + rb"\s{0,8}" + _QUOTED + rb"\s?;")
_ELEMENT = re.compile(rb"[\w-]{0,40}>(?P<value>[^<>\s]{1,200})</")
_PLAIN = re.compile(_REST + rb"[ \t]{0,20}(?::=|=>|=|:)[ \t]{0,20}(?P<value>[^\s\"'`,;|]{1,200})(?=[\s,;|]|$)")
_IN_STRING = re.compile(rb"\w{0,20}=(?P<value>[^;&\s\"'`<>(){}]{4,100})(?=[;&\"'`])")
_STRING_BEFORE = re.compile(rb"[;?&\"'`][\w .-]{0,20}$")
_COMPARED = re.compile(rb"([\"'`])(?P<value>[^\"'`\r\n]{1,200})\1\s{0,4}[!=]={1,2}\s{0,4}[\w.-]{0,40}$")

_URL = re.compile(rb"://(?P<user>[^\s:/?#\[\]@\"'`<>{}]{0,80}):(?P<value>[^\s/?#@\"'`<>{}]{1,200})@(?=[\w\[-])")


def assigned(data: bytes, start: int, end: int, language: str, password: bool) -> Iterator[Span]:
    """The value that the name at `start` to `end` of `data` is given, if it is a secret of that kind."""
    kind, is_secret = ("PASSWORD", is_password) if password else ("SECRET_KEY", is_key)
    limit = min(len(data), end + _REACH)
    match = _ASSIGNED.match(data, end, limit) or _FOLLOWED.match(data, end, limit) or _ELEMENT.match(data, end, limit)
    if match is None:
        match = _PASSED.match(data, end, limit)
        if match is not None and not any(48 <= byte <= 57 for byte in match["value"]):
            return  # of calls, most are given the name of a field or a message
    if match is None and language in _BARE:
        match = _PLAIN.match(data, end, limit)
    if match is None and _STRING_BEFORE.search(data, max(0, start - 24), start):
        match = _IN_STRING.match(data, end, limit)
        if match is not None and not _has_digit_or_sign(match["value"]):
            return
    if match is None and b"=" in data[max(0, start - 48) : start]:
        match = _COMPARED.search(data, max(0, start - _REACH), start)
    if match is not None and is_secret(match["value"]) and not _is_named_so(match["value"], data[start:end]):
        yield Span(*match.span("value"), kind)


def in_url(data: bytes, start: int, end: int, language: str) -> Iterator[Span]:
    """The password of the URL whose `://` is at `start`: scheme://user:password@host."""
    match = _URL.match(data, start, min(len(data), start + _REACH))
    if match is None or len(match["value"]) <= 3 or match["value"] == match["user"]:
        return
    if not is_placeholder(match["value"]) and not is_reference(match["value"]):
        yield Span(*match.span("value"), "PASSWORD")


def _has_digit_or_sign(value: bytes) -> bool:
    return not value.replace(b"_", b"").replace(b"-", b"").replace(b".", b"").isalpha()


def _is_named_so(value: bytes, name: bytes) -> bool:
    """Whether `value` is a name of the same sort, as in `"password": "user_password"`."""
    return name.lower() in value.lower() and not any(48 <= byte <= 57 for byte in value)
