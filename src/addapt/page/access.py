"""Who may ask a server for the domains of its device: this machine, or who has the token."""

import hmac
import secrets
from dataclasses import dataclass
from email.message import Message
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from addapt._errors import AddaptError, OptionError
from addapt._hosts import is_loopback

COOKIE = "addapt-token"
TOKEN_BYTES = 24
SHORTEST_TOKEN = 16  # characters


class Forbidden(AddaptError):
    """A request that is not answered, whoever sent it."""


def make_token(given: str | None) -> str:
    """Return the token that was given, or a new one.

    Raises:
        OptionError: it is too short, or cannot stand in an address and in a cookie.
    """
    if given is None:
        return secrets.token_urlsafe(TOKEN_BYTES)
    if len(given) < SHORTEST_TOKEN or not given.isascii() or set(given) & set(' \t\r\n;,"\\&#%+'):
        raise OptionError(
            f"`token` has {len(given)} characters: give at least {SHORTEST_TOKEN} of letters, "
            "digits, '-' and '_', or leave it out for a new one."
        )
    return given


@dataclass(frozen=True)
class Access:
    """Decides which requests are answered.

    Args:
        token: what each has to bring; None: none, on the loopback address.
    """

    token: str | None

    def check(self, headers: Message, *, changes: bool) -> None:
        """Refuse who may not ask.

        Without a token the name by which the server was asked has to be this machine's: another
        one, made to lead here, is how foreign pages get past a browser's guard. What changes
        something must not come from a foreign page.

        Raises:
            Forbidden: that is so.
        """
        host = headers.get("Host", "")
        if self.token is None and not is_loopback(_hostname(host)):
            raise Forbidden(f"Asked as {host!r}: open the page by its address, such as 127.0.0.1.")
        origin = headers.get("Origin")
        if changes and origin is not None and origin.partition("://")[2] != host:
            raise Forbidden(f"A page of {origin!r} may not change anything here.")
        if self.token is not None and not self.opens(_brought(headers)):
            raise Forbidden("Open the address that `addapt serve` printed, with its token.")

    def opens(self, token: str) -> bool:
        """Whether it is the token; takes as long whatever is wrong with it."""
        wanted = (self.token or "").encode()
        return self.token is not None and hmac.compare_digest(token.encode(), wanted)


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:  # such as brackets without an address
        return ""


def _brought(headers: Message) -> str:
    """Return the token of a cookie or of an authorization header; empty if there is none."""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    try:
        found = SimpleCookie(headers.get("Cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return "" if found is None else found.value
