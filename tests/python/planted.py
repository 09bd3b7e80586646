"""Two hundred secrets in forty shapes, as applications have them, and how each would look where it leaked.

Every secret is made up, from a seed that does not change, and occurs nowhere else: finding one in a file proves that it leaked.
"""

from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

EACH = 5
"""How many secrets there are of each shape."""

Maker = Callable[[random.Random], "tuple[str, str]"]


@dataclass(frozen=True)
class Secret:
    """``value`` is what must not be stored. ``name`` is the name it stands under, ``None`` where its shape alone gives it away; then ``text``
    is how it stands in running text, with what is around it.
    """

    shape: str
    name: str | None
    text: str
    value: str

    @property
    def key(self) -> str:
        """A name to store it under: its own, or one that says nothing."""
        return self.name or "note"

    @property
    def stored(self) -> str:
        """What stands under that name."""
        return self.value if self.name else self.text

    def in_prose(self) -> str:
        """A sentence that holds it."""
        return f"gave {self.name}={self.value} and left" if self.name else f"gave {self.text} and left"

    def traces(self) -> set[bytes]:
        """Every way in which its value can stand in a file: as it is, escaped, percent-encoded, in base64, and in other letters."""
        plain = {self.value, self.value.upper(), self.value.lower()}
        escaped = {json.dumps(form)[1:-1] for form in plain} | {json.dumps(json.dumps(form))[3:-3] for form in plain}
        percent = {encode(self.value, safe="") for encode in (quote, quote_plus)}
        percent |= {quote(form, safe="") for form in percent} | {form.lower() for form in percent}
        forms = {form.encode() for form in plain | escaped | percent} | _in_base64(self.value)
        return {form for form in forms if len(form) >= 8}


def _in_base64(value: str) -> set[bytes]:
    """The middle of its base64 at each of the three places where it can begin in what is encoded."""
    found = set()
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + value.encode())
        # The first and last letters also hold bits of what stands around.
        start = 0 if before == 0 else before + 1
        middle = encoded[start : len(encoded) - 4]
        found |= {middle, middle.replace(b"+", b"-").replace(b"/", b"_")}
    return {form for form in found if len(form) >= 12}


def secrets(seed: int = 20_240_229) -> list[Secret]:
    """All of them."""
    draw = random.Random(seed)
    made = [Secret(shape, name, *make(draw)) for shape, name, make in SHAPES for _ in range(EACH)]
    assert len({secret.value for secret in made}) == len(made), "each is there once"
    return made


def _letters(draw: random.Random, count: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    # With a digit, as every generated token of that length has one.
    return "".join(draw.choices(alphabet, k=count - 1)) + draw.choice(string.digits)


def _plain(count: int, alphabet: str = string.ascii_letters + string.digits) -> Maker:
    def make(draw: random.Random) -> tuple[str, str]:
        value = _letters(draw, count, alphabet)
        return value, value

    return make


def _phrase(draw: random.Random) -> tuple[str, str]:
    value = f"Correct-{_letters(draw, 6)}!Horse+{_letters(draw, 6)}%é"
    return value, value


def _prefixed(prefix: str, count: int, alphabet: str = string.ascii_letters + string.digits) -> Maker:
    def make(draw: random.Random) -> tuple[str, str]:
        value = prefix + _letters(draw, count, alphabet)
        return value, value

    return make


def _iban(draw: random.Random) -> tuple[str, str]:
    value = "DE" + _letters(draw, 20, string.digits)
    return value, value


def _ssn(draw: random.Random) -> tuple[str, str]:
    digits = _letters(draw, 9, "123456789")
    value = f"{digits[:3]}-{digits[3:5]}-{digits[5:]}"
    return value, value


def _card(separator: str, start: str = "4") -> Maker:
    def make(draw: random.Random) -> tuple[str, str]:
        digits = start + "".join(draw.choices(string.digits, k=15 - len(start)))
        digits += str(next(last for last in range(10) if _luhn(digits + str(last))))
        value = separator.join(digits[at : at + 4] for at in range(0, 16, 4))
        return value, value

    return make


def _luhn(digits: str) -> bool:
    doubled = [int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits))]
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0


def _jwt(draw: random.Random) -> tuple[str, str]:
    def part(members: dict[str, object]) -> str:
        return base64.urlsafe_b64encode(json.dumps(members).encode()).decode().rstrip("=")

    value = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part({'sub': _letters(draw, 12)})}.{_letters(draw, 43)}"
    # The header is that of every JWT; only what follows tells.
    return value, value.split(".", 1)[1]


def _pem(draw: random.Random) -> tuple[str, str]:
    lines = [_letters(draw, 64) for _ in range(3)]
    return "\n".join(["-----BEGIN PRIVATE KEY-----", *lines, "-----END PRIVATE KEY-----"]), lines[1]


def _url_password(scheme: str) -> Maker:
    def make(draw: random.Random) -> tuple[str, str]:
        value = _letters(draw, 18)
        return f"{scheme}://clinic:{value}@db.example.org:5432/ward", value

    return make


def _bearer(draw: random.Random) -> tuple[str, str]:
    value = _letters(draw, 40)
    return f"Bearer {value}", value


def _basic(draw: random.Random) -> tuple[str, str]:
    value = base64.b64encode(f"ana:{_letters(draw, 20)}".encode()).decode()
    return f"Basic {value}", value


def _django_hash(draw: random.Random) -> tuple[str, str]:
    value = f"pbkdf2_sha256$600000${_letters(draw, 22)}${_letters(draw, 43)}="
    return value, value.rsplit("$", 1)[1]


def _slack_hook(draw: random.Random) -> tuple[str, str]:
    path = f"T{_letters(draw, 8, string.ascii_uppercase + string.digits)}/B{_letters(draw, 8)}/{_letters(draw, 24)}"
    return f"https://hooks.slack.com/services/{path}", path


# Shape, the name that it stands under, and what makes one: as it stands in text, and what of that must not be stored.
SHAPES: tuple[tuple[str, str | None, Maker], ...] = (
    ("password", "password", _phrase),
    ("password in capitals", "Password", _phrase),
    ("second new password", "new_password2", _phrase),
    ("passwd", "passwd", _plain(14)),
    ("pwd", "userPwd", _plain(14)),
    ("passphrase", "passphrase", _plain(24)),
    ("secret", "secret", _plain(20)),
    ("client secret", "client_secret", _plain(32)),
    ("API key", "apiKey", _plain(32)),
    ("API key of a header", "X-Api-Key", _plain(32)),
    ("access token", "access_token", _plain(40)),
    ("refresh token", "refreshToken", _plain(40)),
    ("CSRF token", "csrfmiddlewaretoken", _plain(64)),
    ("session id", "sessionid", _plain(32, string.ascii_lowercase + string.digits)),
    ("PIN", "pin", _plain(11, "23456789")),
    ("one-time code", "otp", _plain(11, "23456789")),
    ("security answer", "security_answer", _plain(16)),
    ("IBAN", "iban", _iban),
    ("social security number", "ssn", _ssn),
    ("card number", "card_number", _plain(12, "23456789")),
    ("private key", "private_key", _plain(44)),
    ("connection string", "connection_string", _plain(30)),
    ("JWT", None, _jwt),
    ("card", None, _card("")),
    ("card with dashes", None, _card("-", "51")),
    ("PEM", None, _pem),
    ("AWS key id", None, _prefixed("AKIA", 16, string.ascii_uppercase + string.digits)),
    ("GitHub token", None, _prefixed("ghp_", 36)),
    ("GitHub fine-grained token", None, _prefixed("github_pat_", 60)),
    ("GitLab token", None, _prefixed("glpat-", 20)),
    ("npm token", None, _prefixed("npm_", 36)),
    ("Stripe key", None, _prefixed("sk_live_", 24)),
    ("Slack token", None, _prefixed("xoxb-", 40)),
    ("Google key", None, _prefixed("AIza", 35)),
    ("SendGrid key", None, _prefixed("SG.", 60)),
    ("password of a database URL", None, _url_password("postgres")),
    ("bearer credential", None, _bearer),
    ("basic credential", None, _basic),
    ("password hash", None, _django_hash),
    ("Slack webhook", None, _slack_hook),
)
