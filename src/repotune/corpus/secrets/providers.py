"""What is published of each issuer's keys: a literal in small letters that each holds, and the pattern of the whole.

The patterns are those by which the issuers' own documentation, GitHub's and GitLab's secret scanning and detect-secrets
know them; a prefix is a better witness than any entropy. Where a pattern has a group, that is the secret.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from repotune.corpus.redaction import Span
from repotune.corpus.secrets.values import entropy, is_placeholder

REACH = 1200
"""Bytes from an anchor that the longest key fills."""


@dataclass(frozen=True)
class Provider:
    """Keys of one `kind`. One of `anchors` is in every key or beside it, and a match begins there or, at most, `lead`
    bytes before. Without an anchor a match begins with a run of 20 or more characters of keys.
    """

    kind: str
    anchors: tuple[str, ...]
    pattern: re.Pattern[bytes]
    lead: int = 0
    check: Callable[[bytes], bool] = lambda value: not is_placeholder(value)

    def find(self, data: bytes, start: int) -> Iterator[Span]:
        """The key whose anchor is at `start` of `data`."""
        limit = start + REACH
        if self.lead:
            match = self.pattern.search(data, max(0, start - self.lead), limit)
        else:
            match = self.pattern.match(data, start, limit)
        if match is not None and match.start() <= start:
            group = 1 if self.pattern.groups else 0
            if self.check(match[group]):
                yield Span(*match.span(group), self.kind)


def _is_jwt(token: bytes) -> bool:
    """Whether the first part of `token` is base64 of a JSON object: a signed token's header."""
    head = token.split(b".")[0]
    try:
        return isinstance(json.loads(base64.urlsafe_b64decode(head + b"=" * (-len(head) % 4))), dict)
    except (binascii.Error, ValueError, RecursionError):
        return False


def _is_mixed(value: bytes) -> bool:
    """Whether `value` holds digits and letters and is no word: for prefixes so short that words begin with them."""
    return any(48 <= byte <= 57 for byte in value[3:]) and entropy(value) > 2.5 and not is_placeholder(value)


def _is_basic(value: bytes) -> bool:
    """Whether `value` is base64 of `user:password`."""
    try:
        plain = base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        return False
    return len(plain.partition(b":")[2]) >= 4 and plain.isascii() and plain.decode().isprintable()


def _rule(
    kind: str,
    anchors: str,
    pattern: str,
    lead: int = 0,
    check: Callable[[bytes], bool] = lambda value: not is_placeholder(value),
) -> Provider:
    return Provider(kind, tuple(anchors.split()), re.compile(pattern.encode()), lead, check)


_END = r"(?![\w-])"
_ALONE = r"(?<![A-Za-z0-9_])"


def _assigned(prefix: str, secret: str) -> str:
    """The pattern of `secret` where it is assigned, in any notation, to a name that matches `prefix`."""
    return rf"(?i:{prefix})[\"'\]]{{0,2}}\s{{0,4}}(?::=|=>|::|=|:|\s)\s{{0,4}}[\"'`]?({secret})"


_KEY = r"(?:api)?[_-]?(?:key|pwd|pw|password|pass|token)"

PROVIDERS = (
    _rule("AWS_ACCESS_KEY", "akia asia abia acca a3t", rf"{_ALONE}(?:A3T[A-Z0-9]|A[KS]IA|ABIA|ACCA)[0-9A-Z]{{16}}"),
    _rule(
        "AWS_SECRET_KEY",
        "aws",
        r"(?i:aws[\w .-]{0,20}?(?:key|pwd|password|pass|token|secret)).{0,20}?[\"'=: ]([0-9A-Za-z/+]{40})(?![\w/+=])",
    ),
    _rule("GOOGLE_KEY", "aiza", rf"{_ALONE}AIza[\w-]{{35}}"),
    _rule("GOOGLE_KEY", "gocspx-", rf"GOCSPX-[\w-]{{28}}{_END}"),
    _rule("GOOGLE_KEY", "ya29.", r"ya29\.[\w-]{20,}"),
    _rule("AZURE_KEY", "accountkey=", r"(?i:AccountKey=)([A-Za-z0-9+/=]{88})"),
    _rule("AZURE_KEY", "sharedaccesskey=", r"(?i:SharedAccessKey=)([A-Za-z0-9+/=]{43,44})"),
    _rule("AZURE_KEY", "q~", r"(?<![\w~.-])[\w~.-]{3}\dQ~[\w~.-]{31,34}(?![\w~.-])", lead=8),
    _rule("AZURE_KEY", "sig=", r"[?&]sig=([A-Za-z0-9%+/]{30,}(?:%3[Dd]|=))", lead=1),
    _rule("GITHUB_TOKEN", "ghp_ gho_ ghu_ ghs_ ghr_", r"gh[pousr]_[A-Za-z0-9_]{36,}"),
    _rule("GITHUB_TOKEN", "github_pat_", r"github_pat_\w{50,}"),
    _rule("GITLAB_TOKEN", "glpat- gldt- glft- glsoat- glrt-", r"gl(?:pat|dt|ft|soat|rt)-[\w-]{20,50}(?!\w)"),
    _rule("GITLAB_TOKEN", "gr1348941", r"GR1348941[\w-]{20,50}(?!\w)"),
    _rule("GITLAB_TOKEN", "glcbt-", r"glcbt-(?:[0-9a-fA-F]{2}_)?[\w-]{20,50}(?!\w)"),
    _rule("GITLAB_TOKEN", "glimt- glptt- glagent- gloas-", r"gl(?:imt|ptt|agent|oas)-[\w-]{25,1024}(?!\w)"),
    _rule("SLACK_TOKEN", "xoxa- xoxb- xoxe- xoxp- xoxo- xoxs- xoxr-", r"(?i:xox[abeposr]-(?:\d+-)+[a-z0-9-]+)"),
    _rule("SLACK_TOKEN", "xapp-", r"xapp-\d-[A-Z0-9]+-\d+-[a-z0-9]+"),
    _rule("SLACK_WEBHOOK", "hooks.slack.com/services/t", r"(?i:hooks\.slack\.com/services/(T\w+/B\w+/\w+))"),
    _rule("STRIPE_KEY", "sk_live_ rk_live_ sk_test_ rk_test_", r"[rs]k_(?:live|test)_[0-9a-zA-Z]{24,}"),
    _rule("STRIPE_KEY", "whsec_", r"whsec_[A-Za-z0-9+/]{24,}"),
    _rule("OPENAI_KEY", "t3blbkfj", r"sk-[\w-]*[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20,}", lead=200),
    _rule("OPENAI_KEY", "sk-proj- sk-svcacct- sk-admin-", r"sk-(?:proj|svcacct|admin)-[\w-]{40,}"),
    _rule("ANTHROPIC_KEY", "sk-ant-", r"sk-ant-[\w-]{24,}"),
    _rule("HUGGINGFACE_TOKEN", "hf_", rf"{_ALONE}hf_[A-Za-z0-9]{{34,}}"),
    _rule("SENDGRID_KEY", "sg.", rf"{_ALONE}SG\.[\w-]{{22}}\.[\w-]{{43}}"),
    _rule("NPM_TOKEN", "npm_", rf"{_ALONE}npm_[A-Za-z0-9]{{36}}"),
    _rule("NPM_TOKEN", "_authtoken", r"_authToken\s?=\s?[\"']?([A-Za-z0-9_-]{30,})"),
    _rule("PYPI_TOKEN", "pypi-age", r"pypi-AgE[\w-]{70,}"),
    _rule("SQUARE_TOKEN", "sq0csp- sq0atp-", r"sq0(?:csp|atp)-[\w\\-]{22,43}"),
    _rule("MAILGUN_KEY", "key-", rf"(?<![\w-])key-[0-9a-f]{{32}}{_END}"),
    _rule("SHOPIFY_TOKEN", "shpat_ shpca_ shppa_ shpss_", r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    _rule("DIGITALOCEAN_TOKEN", "dop_v1_ doo_v1_ dor_v1_", r"do[opr]_v1_[0-9a-f]{64}"),
    _rule("DATABRICKS_TOKEN", "dapi", rf"{_ALONE}dapi[0-9a-f]{{32}}"),
    _rule("VAULT_TOKEN", "hvs. hvb.", rf"{_ALONE}hv[bs]\.[\w-]{{24,}}"),
    _rule("GRAFANA_TOKEN", "glsa_ glc_", r"gl(?:sa|c)_[A-Za-z0-9+/_]{32,}"),
    _rule("ATLASSIAN_TOKEN", "atatt3", r"ATATT3[\w=-]{50,}"),
    _rule("LINEAR_KEY", "lin_api_", r"lin_api_[A-Za-z0-9]{40}"),
    _rule("NEWRELIC_KEY", "nrak-", r"NRAK-[A-Z0-9]{27}"),
    _rule("POSTMAN_KEY", "pmak-", r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}"),
    _rule("DOPPLER_TOKEN", "dp.pt. dp.st.", r"dp\.[ps]t\.[A-Za-z0-9.]{40,}"),
    _rule("SENTRY_TOKEN", "sntrys_ sntryu_", r"sntry[su]_[A-Za-z0-9+/=_]{40,}"),
    _rule("AGE_KEY", "age-secret-key-1", r"AGE-SECRET-KEY-1[0-9A-Z]{58}"),
    _rule("ARTIFACTORY_TOKEN", "akc", rf"{_ALONE}AKC[a-zA-Z0-9]{{10,}}{_END}", check=_is_mixed),
    _rule(
        "ARTIFACTORY_TOKEN",
        " ".join(f"ap{x}" for x in "0123456789abcdef"),
        rf"{_ALONE}AP[\dA-F][a-zA-Z0-9]{{8,}}{_END}",
        check=_is_mixed,
    ),
    _rule("JWT", "eyj", r"(?<![\w.])eyJ[\w-]{8,}={0,2}\.[\w=-]{4,}(?:\.[\w+/=-]*)?", check=_is_jwt),
    _rule("BASIC_AUTH", "basic ", r"(?i:\bbasic )([A-Za-z0-9+/]{8,}={0,2})(?![\w+/=])", check=_is_basic),
    _rule("BEARER_TOKEN", "bearer ", r"(?i:\bbearer )([\w.~+/-]{20,}=*)", check=_is_mixed),
    _rule("IBM_COS_KEY", "secret", _assigned(r"secret[_-]?(?:access)?[_-]?key", r"[a-f0-9]{48}(?![a-f0-9])")),
    _rule(
        "IBM_CLOUD_KEY",
        "key pwd pass token",
        _assigned(r"(?:key|pwd|password|pass|token)", r"[\w-]{44}(?![\w=-])"),
        check=_is_mixed,
    ),
    _rule(
        "CLOUDANT_KEY",
        "cloudant clou cl_ cl- clkey cltoken clpa clpw clapi",
        _assigned(rf"(?:cloudant|clou|cl)[_-]?{_KEY}", r"[0-9a-f]{64}|[a-z]{24}(?![a-z])"),
    ),
    _rule("CLOUDANT_KEY", "cloudant.com", r"://[\w-]+:([0-9a-f]{64}|[a-z]{24})@[\w-]+\.cloudant\.com", lead=200),
    _rule(
        "SOFTLAYER_KEY",
        "softlayer sl_ sl- slkey sltoken slpa slpw slapi",
        _assigned(rf"(?:softlayer|sl)[_-]?{_KEY}", r"[a-z0-9]{64}"),
    ),
    _rule("SOFTLAYER_KEY", "softlayer.com/soap/", r"softlayer\.com/soap/v3(?:\.1)?/([a-z0-9]{64})"),
    # No literal tells of these: their lengths and the characters between their parts do.
    _rule("TWILIO_KEY", "", r"(?<![A-Za-z0-9])(?:AC|SK)[a-z0-9]{32}(?![A-Za-z0-9])", check=_is_mixed),
    _rule("MAILCHIMP_KEY", "", r"(?<![A-Za-z0-9])[0-9a-z]{32}-us\d{1,2}(?!\w)"),
    _rule("DISCORD_TOKEN", "", r"(?<![\w-])[MNO][\w-]{23,25}\.[\w-]{6}\.[\w-]{27,38}(?![\w-])", check=_is_mixed),
    _rule("TELEGRAM_TOKEN", "", r"(?<=\d{8}:)[\w-]{35}(?![\w-])"),
)
