"""Opening a camera's HTTP address: redirects, and a password by Basic or Digest, as the camera asks for it (RFC 9110, 7616, 7617)."""

from __future__ import annotations

import hashlib
import http.client
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from http.client import HTTPMessage
from typing import IO, Any

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.sources.camera import Lost


def open_stream(url: str, accept: str, timeout_s: float) -> http.client.HTTPResponse:
    """Ask for a stream; at most ten redirects are followed.

    User and password of the address are sent to its own host alone, and only when that asks for them: Digest where it offers both.

    Raises:
        Lost: nobody answers, or with an error that may pass.
        PosetrtError: the address is none, or user and password are refused.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise PosetrtError(f"this is no address of a camera: {error}") from error
    if not host:
        raise PosetrtError("this is no address of a camera: it names no host")
    place = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    if parts.username is not None:
        user, password = urllib.parse.unquote(parts.username), urllib.parse.unquote(parts.password or "")
        passwords.add_password(None, [f"{scheme}://{place}/" for scheme in ("http", "https")], user, password)
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
        _Digest(passwords, passwords),
        _Basic(passwords, passwords),
    ):
        opener.add_handler(handler)
    # Some characters that cameras' addresses hold are none of an address: they are quoted as browsers do.
    path = urllib.parse.quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    query = urllib.parse.quote(parts.query, safe="/%:@!$&'()*+,;=~?")
    target = urllib.parse.urlunsplit((parts.scheme.lower(), place, path, query, ""))
    try:
        # The opener has no handler for anything but HTTP.
        request = urllib.request.Request(target, headers={"Accept": accept})  # noqa: S310
        response: http.client.HTTPResponse = opener.open(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (401, 403, 407):
            raise PosetrtError(
                f"the camera refuses user and password (HTTP {error.code}); give them as http://USER:PASSWORD@HOST/..."
            ) from None
        raise Lost(f"the camera answers HTTP {error.code}" + (f" ({error.reason})" if 300 <= error.code < 400 else "")) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise Lost(f"no answer ({reason})") from None
    return response


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects; urllib refuses all but http, https and ftp, and there is no handler for the last."""

    max_redirections = 10

    def http_error_308(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:  # noqa: ARG002
        """As 301 (Python 3.10 does not know it)."""
        return self.http_error_302(req, fp, 301, msg, headers)

    def redirect_request(self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str) -> Any:
        """See `HTTPRedirectHandler`."""
        moved = super().redirect_request(req, fp, code, msg, headers, newurl)
        if moved is not None:
            # A user of the address it sends to is not this one's, and a secret for one host is none for another.
            moved.remove_header("Authorization")
        return moved


def _challenge(headers: HTTPMessage, scheme: str) -> str | None:
    """The server's challenge of one scheme; it may send several, in several headers or in one."""
    for header in headers.get_all("WWW-Authenticate") or []:
        for place in _begins(header, scheme):
            return header[place:]
    return None


def _begins(header: str, scheme: str) -> list[int]:
    lower, found, start = header.lower(), [], 0
    while (place := lower.find(f"{scheme} ", start)) >= 0:
        if place == 0 or lower[:place].rstrip().endswith(","):
            found.append(place)
        start = place + 1
    return found


class _Secrets:
    """Users and passwords by address."""

    def __init__(self, passwords: urllib.request.HTTPPasswordMgrWithDefaultRealm, *given: Any) -> None:
        super().__init__(*given)
        self._passwords = passwords

    def _knows(self, url: str) -> bool:
        return self._passwords.find_user_password(None, url)[0] is not None


class _Digest(_Secrets, urllib.request.HTTPDigestAuthHandler):
    """Digest, where it stands beside other schemes, and with SHA-256."""

    def http_error_401(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:  # noqa: ARG002
        """Answer the Digest challenge among those that came; without one, leave the request to Basic."""
        challenge = _challenge(headers, "digest")
        refused = req.has_header("Authorization") and "stale=true" not in (challenge or "").lower().replace('"', "")
        if challenge is None or refused or not self._knows(req.full_url):
            return None
        chosen = HTTPMessage()
        chosen["WWW-Authenticate"] = challenge
        fp.close()
        answer: Callable[..., Any] = self.http_error_auth_reqed
        return answer("www-authenticate", urllib.parse.urlsplit(req.full_url)[1], req, chosen)

    def get_algorithm_impls(self, algorithm: str) -> tuple[Callable[[str], str], Callable[[str, str], str]]:
        """H and KD of RFC 7616."""
        name = {"MD5": "md5", "SHA": "sha1", "SHA-256": "sha256"}.get(algorithm.upper())
        if name is None:
            raise ValueError(f"the camera asks for Digest with {algorithm}")

        def hashed(text: str) -> str:
            return hashlib.new(name, text.encode(), usedforsecurity=False).hexdigest()

        return hashed, lambda secret, data: hashed(f"{secret}:{data}")


class _Basic(_Secrets, urllib.request.HTTPBasicAuthHandler):
    """Basic, also for a server that answers 401 and does not say what it wants; not beside Digest, which keeps the password to itself."""

    def http_error_401(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:  # noqa: ARG002
        """Send user and password once."""
        if _challenge(headers, "digest") is not None or req.has_header("Authorization"):
            return None
        if not self._knows(req.full_url):
            return None
        fp.close()
        return self.retry_http_basic_auth(req.full_url, req, "")
