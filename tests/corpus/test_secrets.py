"""Every key is put together when the test runs, from a prefix and characters drawn by a seed; none stands here."""

from __future__ import annotations

import base64
import json
import random
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repotune.corpus.redaction import redact
from repotune.corpus.secrets.finding import find_secrets
from repotune.corpus.secrets.providers import PROVIDERS
from repotune.corpus.secrets.values import entropy, is_placeholder, is_random, is_reference

ALNUM = string.ascii_letters + string.digits
UPPER = string.ascii_uppercase + string.digits
LOWER = string.ascii_lowercase + string.digits
HEX = "0123456789abcdef"
URL_SAFE = ALNUM + "-_"
DIGITS = string.digits


def drawn(alphabet: str, length: int, seed: int = 1) -> str:
    return "".join(random.Random(f"{seed} {length}").choices(alphabet, k=length))


def token_of_json() -> str:
    head = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "typ": "JWT"}).encode()).decode().rstrip("=")
    body = base64.urlsafe_b64encode(json.dumps({"sub": "42", "name": "J"}).encode()).decode().rstrip("=")
    return f"{head}.{body}.{drawn(URL_SAFE, 43)}"


# kind, the text around it, the secret itself
KEYS = [
    ("AWS_ACCESS_KEY", "key_id = '{}'", "AKIA" + drawn(UPPER, 16)),
    ("AWS_ACCESS_KEY", "id: {}", "ASIA" + drawn(UPPER, 16)),
    ("AWS_SECRET_KEY", "aws_secret_access_key = '{}'", drawn(ALNUM + "/+", 40)),
    ("AWS_SECRET_KEY", "AWS_SECRET_ACCESS_KEY={}", drawn(ALNUM, 40)),
    ("GOOGLE_KEY", "maps?key={}", "AIza" + drawn(URL_SAFE, 35)),
    ("GOOGLE_KEY", "id('{}')", "GOCSPX-" + drawn(ALNUM, 28)),
    ("GOOGLE_KEY", "t = '{}'", "ya29." + drawn(URL_SAFE, 60)),
    ("AZURE_KEY", "AccountName=a;AccountKey={};", drawn(ALNUM, 86) + "=="),
    ("AZURE_KEY", "x;SharedAccessKey={}", drawn(ALNUM, 43) + "="),
    ("AZURE_KEY", "v = '{}'", drawn(ALNUM, 3) + "8Q~" + drawn(ALNUM, 34)),
    ("AZURE_KEY", "https://h/?sv=1&sig={}", drawn(ALNUM, 43) + "%3D"),
    ("GITHUB_TOKEN", "t = '{}'", "ghp_" + drawn(ALNUM, 36)),
    ("GITHUB_TOKEN", "t = '{}'", "github_pat_" + drawn(ALNUM, 22) + "_" + drawn(ALNUM, 59)),
    ("GITLAB_TOKEN", "t = '{}'", "glpat-" + drawn(URL_SAFE, 20)),
    ("GITLAB_TOKEN", "t = '{}'", "GR1348941" + drawn(ALNUM, 20)),
    ("GITLAB_TOKEN", "t = '{}'", "glcbt-64_" + drawn(ALNUM, 20)),
    ("GITLAB_TOKEN", "t = '{}'", "glptt-" + drawn(HEX, 40)),
    ("SLACK_TOKEN", "t = '{}'", f"xoxb-{drawn(DIGITS, 12)}-{drawn(DIGITS, 12)}-{drawn(ALNUM, 24)}"),
    ("SLACK_TOKEN", "t = '{}'", f"xapp-1-{drawn(UPPER, 11)}-{drawn(DIGITS, 13)}-{drawn(HEX, 64)}"),
    (
        "SLACK_WEBHOOK",
        "https://hooks.slack.com/services/{}",
        f"T{drawn(UPPER, 8)}/B{drawn(UPPER, 8)}/{drawn(ALNUM, 24)}",
    ),
    ("STRIPE_KEY", "t = '{}'", "sk_live_" + drawn(ALNUM, 24)),
    ("STRIPE_KEY", "t = '{}'", "whsec_" + drawn(ALNUM, 32)),
    ("OPENAI_KEY", "t = '{}'", "sk-" + drawn(ALNUM, 20) + "T3Blbk" + "FJ" + drawn(ALNUM, 20)),
    ("OPENAI_KEY", "t = '{}'", "sk-proj-" + drawn(URL_SAFE, 80)),
    ("ANTHROPIC_KEY", "t = '{}'", "sk-ant-api03-" + drawn(URL_SAFE, 90)),
    ("HUGGINGFACE_TOKEN", "t = '{}'", "hf_" + drawn(ALNUM, 34)),
    ("SENDGRID_KEY", "t = '{}'", f"SG.{drawn(URL_SAFE, 22)}.{drawn(URL_SAFE, 43)}"),
    ("NPM_TOKEN", "t = '{}'", "npm_" + drawn(ALNUM, 36)),
    ("NPM_TOKEN", "//registry.npmjs.org/:_authToken={}", "-".join(drawn(HEX, n) for n in (8, 4, 4, 4, 12))),
    ("PYPI_TOKEN", "password = {}", "pypi-AgEIcHlwaS5vcmc" + drawn(URL_SAFE, 80)),
    ("SQUARE_TOKEN", "t = '{}'", "sq0csp-" + drawn(URL_SAFE, 43)),
    ("MAILGUN_KEY", "t = '{}'", "key-" + drawn(HEX, 32)),
    ("SHOPIFY_TOKEN", "t = '{}'", "shpat_" + drawn(HEX, 32)),
    ("DIGITALOCEAN_TOKEN", "t = '{}'", "dop_v1_" + drawn(HEX, 64)),
    ("DATABRICKS_TOKEN", "t = '{}'", "dapi" + drawn(HEX, 32)),
    ("VAULT_TOKEN", "t = '{}'", "hvs." + drawn(ALNUM, 90)),
    ("GRAFANA_TOKEN", "t = '{}'", "glsa_" + drawn(ALNUM, 32) + "_" + drawn(HEX, 8)),
    ("ATLASSIAN_TOKEN", "t = '{}'", "ATATT3xFfGF0" + drawn(ALNUM, 180)),
    ("LINEAR_KEY", "t = '{}'", "lin_api_" + drawn(ALNUM, 40)),
    ("NEWRELIC_KEY", "t = '{}'", "NRAK-" + drawn(UPPER, 27)),
    ("POSTMAN_KEY", "t = '{}'", f"PMAK-{drawn(HEX, 24)}-{drawn(HEX, 34)}"),
    ("DOPPLER_TOKEN", "t = '{}'", "dp.pt." + drawn(ALNUM, 43)),
    ("SENTRY_TOKEN", "t = '{}'", "sntrys_" + drawn(ALNUM, 80)),
    ("AGE_KEY", "# {}", "AGE-SECRET-KEY-1" + drawn(UPPER, 58)),
    ("ARTIFACTORY_TOKEN", "api: {}", "AKCp8" + drawn(ALNUM, 60)),
    ("ARTIFACTORY_TOKEN", "pw: {}", "AP6" + drawn(ALNUM, 30)),
    ("JWT", "cookie = '{}'", token_of_json()),
    ("BASIC_AUTH", "Authorization: Basic {}", base64.b64encode(b"joe:" + drawn(ALNUM, 9).encode()).decode()),
    ("BEARER_TOKEN", "Authorization: Bearer {}", drawn(ALNUM, 32)),
    ("IBM_COS_KEY", "cos_secret_access_key = {}", drawn(HEX, 48)),
    ("IBM_CLOUD_KEY", "ibm_cloud_api_key: {}", drawn(URL_SAFE, 43) + "7"),
    ("CLOUDANT_KEY", "cloudant_password = '{}'", drawn(HEX, 64)),
    ("CLOUDANT_KEY", "https://acct:{}@acct.cloudant.com", drawn(string.ascii_lowercase, 24)),
    ("SOFTLAYER_KEY", "softlayer_api_key: {}", drawn(LOWER, 64)),
    ("SOFTLAYER_KEY", "https://api.softlayer.com/soap/v3/{}", drawn(LOWER, 64)),
    ("TWILIO_KEY", "t = '{}'", "SK" + drawn(HEX, 32)),
    ("MAILCHIMP_KEY", "t: {}", drawn(HEX, 32) + "-us12"),
    ("DISCORD_TOKEN", "bot.run('{}')", f"M{drawn(ALNUM, 23)}.{drawn(ALNUM, 6)}.{drawn(URL_SAFE, 27)}"),
    ("TELEGRAM_TOKEN", "t: 110201543:{}", "AA" + drawn(ALNUM, 33)),
]


@pytest.mark.parametrize(("kind", "around", "secret"), KEYS, ids=lambda value: value if value.isupper() else "")
def test_an_issuers_key_is_found_whole_and_named(kind: str, around: str, secret: str) -> None:
    text = f"# é\n{around.format(secret)}\nend\n"
    after, counts = redact(text.encode(), find_secrets)
    assert counts == {kind: 1}
    assert after.decode() == f"# é\n{around.format(f'<{kind}>')}\nend\n"


@pytest.mark.parametrize(("kind", "around", "secret"), KEYS, ids=lambda value: value if value.isupper() else "")
def test_a_key_that_is_cut_short_or_spelt_out_of_xs_is_no_issuers(kind: str, around: str, secret: str) -> None:
    cut = around.format(secret[:10])
    assert kind not in redact(cut.encode(), find_secrets)[1]
    blanked = around.format("".join("x" if sign.isalnum() and at >= 8 else sign for at, sign in enumerate(secret)))
    assert kind not in redact(blanked.encode(), find_secrets)[1]


def test_every_provider_has_a_key_among_the_tests() -> None:
    assert {provider.kind for provider in PROVIDERS} == {kind for kind, _, _ in KEYS}


WORD = "kT9" + "!vq2" + "Zr"


@pytest.mark.parametrize(
    ("line", "language"),
    [
        ('password = "{}"', "Python"),
        ("password='{}'", "Ruby"),
        ("db_password: str = '{}'", "Python"),
        ('{{"password": "{}"}}', "JSON"),
        ("config['password'] = '{}'", "Python"),
        ('my_password := "{}"', "Go"),
        ("'password' => '{}',", "PHP"),
        ('char password[25] = "{}";', "C"),
        ('NSString *password = @"{}";', "Objective-C"),
        ('std::string password("{}");', "C++"),
        ('password.assign("{}", 9);', "C++"),
        ("client.setPassword('{}')", "Java"),
        ('passwd "{}";', "Perl"),
        ("if (password == '{}') {{", "JavaScript"),
        ("if ('{}' === password) {{", "JavaScript"),
        ("if password != '{}':", "Python"),
        ("<password>{}</password>", "XML"),
        ("password: {}", "YAML"),
        ("  password:   {}  # comment", "YAML"),
        ("PASSWORD={}", "Shell"),
        ("export DB_PASS={}", "Shell"),
        ("dsn = 'Server=h;User=u;Password={};'", "C#"),
        ("url = 'jdbc:mysql://h/d?user=u&password={}&x=1'", "Java"),
        ("url = 'postgres://joe:{}@db.acme.io/app'", "Python"),
        ("contraseña = '{}'", "Python"),
    ],
)
def test_a_password_is_found_in_each_notation(line: str, language: str) -> None:
    after, counts = redact(line.format(WORD).encode(), lambda data, *_: find_secrets(data, "a", language))
    assert (after.decode(), counts) == (line.format("<PASSWORD>"), {"PASSWORD": 1})


@pytest.mark.parametrize("name", ["secret", "api_key", "apiKey", "client_secret", "auth-token", "PRIVATE_KEY"])
def test_a_key_is_found_by_the_name_it_is_assigned_to(name: str) -> None:
    text = f"{name} = '{drawn(ALNUM, 14)}'"
    assert redact(text.encode(), find_secrets) == (f"{name} = '<SECRET_KEY>'".encode(), {"SECRET_KEY": 1})


@pytest.mark.parametrize(
    "line",
    [
        "password = 'changeme'",
        "password = 'xxxxxxxx'",
        "password = 'your-password'",
        "password = '********'",
        "password = '12345678'",
        "password = 'abcdefgh'",
        "password = '${DB_PASSWORD}'",
        "password = '{{ password }}'",
        "password = '<password>'",
        "password = '%s'",
        "password = os.environ['PASSWORD']",
        "password = getpass.getpass()",
        "password = 'os.environ.get(1)'",
        "password = getpass('Password: ')",
        "password = ''",
        "password = None",
        "password=password, user=user",
        "{'password': 'user_password'}",
        "error('password', 'must not be empty')",
        "password_field = 'form password here'",
        "secret = 'client_credentials'",
        "secret_name = 'projects/a/secrets/b'",
        "token = 'EXAMPLEKEY'",
        "digest = 'sha256'",
        "url = 'https://user:password@host.com'",
        "url = 'https://user:${TOKEN}@host.com'",
        "url = 'http://host:8080/a@b'",
        "Bearer token",
        "Basic authentication",
        "sk_live_",
        "the -----BEGIN CERTIFICATE----- line",
    ],
)
def test_what_stands_for_a_secret_stays(line: str) -> None:
    assert redact(line.encode(), find_secrets) == (line.encode(), {})


def test_values_without_quotes_count_in_configuration_alone() -> None:
    line = f"password = {WORD}".encode()
    assert find_secrets(line, "a.py", "Python") == []
    assert [span.kind for span in find_secrets(line, "a.ini", "INI")] == ["PASSWORD"]


def key_block(name: str, lines: int = 6) -> str:
    body = "\n".join(drawn(ALNUM + "+/", 64, seed) for seed in range(lines))
    return f"-----BEGIN {name}-----\n{body}\n-----END {name}-----"


@pytest.mark.parametrize(
    "name", ["RSA PRIVATE KEY", "PRIVATE KEY", "OPENSSH PRIVATE KEY", "EC PRIVATE KEY", "PGP PRIVATE KEY BLOCK"]
)
def test_a_private_key_goes_and_the_lines_around_it_stay(name: str) -> None:
    block = key_block(name)
    after, counts = redact(f"KEY = '''{block}'''\nx = 1\n".encode(), find_secrets)
    assert counts == {"PRIVATE_KEY": 1}
    assert after.decode() == f"KEY = '''-----BEGIN {name}-----<PRIVATE_KEY>-----END {name}-----'''\nx = 1\n"


def test_a_private_key_on_one_line_or_torn_off_goes() -> None:
    block = key_block("RSA PRIVATE KEY").replace("\n", "\\n")
    for text in (f'"private_key": "{block}"', key_block("PRIVATE KEY").rsplit("\n", 2)[0]):
        after, counts = redact(text.encode(), find_secrets)
        assert "PRIVATE_KEY" in counts and drawn(ALNUM + "+/", 64, 3).encode() not in after


def test_a_putty_key_goes() -> None:
    lines = "\n".join(drawn(ALNUM, 64, seed) for seed in range(4))
    text = f"PuTTY-User-Key-File-2: ssh-rsa\nPrivate-Lines: 4\n{lines}\nPrivate-MAC: {drawn(HEX, 40)}\nrest"
    after, counts = redact(text.encode(), find_secrets)
    assert counts == {"PRIVATE_KEY": 1} and after == b"PuTTY-User-Key-File-2:<PRIVATE_KEY>\nrest"
    assert redact(text.removesuffix("\nrest").encode(), find_secrets)[0] == b"PuTTY-User-Key-File-2:<PRIVATE_KEY>"


def test_a_certificate_and_a_public_key_stay() -> None:
    for name in ("CERTIFICATE", "PUBLIC KEY"):
        text = key_block(name).encode()
        assert redact(text, find_secrets) == (text, {})


@pytest.mark.parametrize("alphabet", [HEX, ALNUM, ALNUM + "+/"])
@pytest.mark.parametrize("length", [32, 40, 64])
def test_a_random_token_in_an_assignment_is_a_secret(alphabet: str, length: int) -> None:
    text = f"value = '{drawn(alphabet, length)}'"
    assert redact(text.encode(), find_secrets) == (b"value = '<SECRET_KEY>'", {"SECRET_KEY": 1})


@pytest.mark.parametrize(
    "line",
    [
        f"sha256 = '{drawn(HEX, 64)}'",
        f"'integrity': '{drawn(ALNUM, 64)}'",
        f"commit = '{drawn(HEX, 40)}'",
        f"user_id = '{drawn(HEX, 32)}'",
        f"    '{drawn(HEX, 64)}',",
        f"assertEqual(a, '{drawn(HEX, 40)}')",
        f"u = '{'-'.join(drawn(HEX, n) for n in (8, 4, 4, 4, 12))}'",
        "path = 'usr/lib/python3/dist-packages/numpy2'",
        "name = 'test_that_rfc2047_is_decoded_by_2_parsers'",
        "letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'",
        "number = '31415926535897932384626433832795'",
        f"value = '{drawn(ALNUM, 400)}'",
    ],
)
def test_digests_identifiers_and_words_are_no_secrets(line: str) -> None:
    assert redact(line.encode(), find_secrets) == (line.encode(), {})


def test_hashes_of_a_lock_file_stay() -> None:
    line = f'value = "{drawn(HEX, 64)}"'.encode()
    assert find_secrets(line, "poetry.lock") == [] and find_secrets(line, "poetry.toml") != []


def test_a_secret_within_a_password_is_told_by_its_issuer() -> None:
    text = f"password = '{'ghp_' + drawn(ALNUM, 36)}'"
    assert redact(text.encode(), find_secrets) == (b"password = '<GITHUB_TOKEN>'", {"GITHUB_TOKEN": 1})


def test_values_tell_random_from_words() -> None:
    assert entropy(b"aaaa") == 0 and entropy(b"abcd") == 2
    assert is_random(drawn(ALNUM, 32).encode()) and not is_random(b"TheQuick2BrownFoxesJumpOverLazyDogs")
    assert is_placeholder(b"changeme") and not is_placeholder(WORD.encode())
    assert is_reference(b"${HOME}") and is_reference(b"config.password") and not is_reference(WORD.encode())


_PIECES = [
    "password = '",
    "://u:",
    "@h.io",
    "-----BEGIN RSA PRIVATE KEY-----",
    "eyJ",
    "AKIA",
    "'",
    '"',
    "\n",
    "=",
    "<A>",
    "é",
]


@given(
    st.lists(st.sampled_from(_PIECES) | st.text(max_size=30) | st.text(ALNUM, min_size=15, max_size=50), max_size=12)
)
def test_replacing_twice_changes_nothing_more(pieces: list[str]) -> None:
    once, _ = redact("".join(pieces).encode(), find_secrets, "a.yml", "YAML")
    assert redact(once, find_secrets, "a.yml", "YAML") == (once, {})
    once.decode()


@given(st.binary(max_size=300))
def test_no_bytes_crash_the_search(data: bytes) -> None:
    for span in find_secrets(data, "a", "INI"):
        assert 0 <= span.start < span.end <= len(data)


@pytest.mark.parametrize(
    "piece",
    ["-----BEGIN RSA PRIVATE KEY-----\n", "PuTTY-User-Key-File-2: ", "password='a", "://u:p", "aws key ", "eyJ", "A1"],
)
def test_time_grows_with_the_size_whatever_is_repeated(piece: str) -> None:
    def seconds(size: int) -> float:
        data = (piece * (size // len(piece))).encode()
        started = time.process_time()
        find_secrets(data, "a.yml", "YAML")
        return time.process_time() - started

    assert min(seconds(200_000) for _ in range(2)) < 8 * max(seconds(50_000), 0.02)
