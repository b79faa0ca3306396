"""Weights from where their authors publish them: several addresses, resumed, checked by hash."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import shutil
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from posetrt.export.weights.zoo import Network
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.files import sha256_of, write_remedy, write_text
from posetrt.runtime.sources.address import redacted

_CHUNK = 1 << 18
_TIMEOUT_S = 30.0
_ATTEMPTS = 3  # at one address, each going on where the last was cut


@dataclass(frozen=True)
class Fetched:
    """A weight file that is here and checked.

    Attributes:
        path: where it stands.
        sha256: of its bytes.
        source: address (without user, password or token) or file that it came from; "" where it was here already.
        trust: how it is known to be the right one, in words.
    """

    path: Path
    sha256: str
    source: str
    trust: str


def fetch(network: Network, folder: Path, source: str | None = None) -> Fetched:
    """Bring a network's weights into `folder`.

    The hash is compared with the one that the authors published (MD5) or, where there is none, with the SHA-256 that
    was written beside the file (`FILE.sha256`, as `sha256sum -c` reads it) when it was first downloaded.

    Args:
        network: from `zoo.find_network`.
        folder: made where absent.
        source: an address or a file in place of the published addresses.

    Raises:
        UsageError: `source` is neither an http address nor a file.
        PosetrtError: no address gave the file; the message says what each one said. What came so far is kept, and the next
            call goes on from there.
    """
    target = folder / network.file
    if target.is_file() and source is None:
        return Fetched(target, sha256_of(target), "", _trusted(network, target, target))
    if source is None and not network.urls:
        raise UsageError(
            f"{network.name} ships with posetrt, so there is nothing to fetch. Use it by its name: "
            f"posetrt run {network.name} --source photo.jpg --write-images out/"
        )
    sources = [source] if source is not None else list(network.urls)
    said = []
    for address in sources:
        outcome = _from(address, network, target)
        if isinstance(outcome, Fetched):
            return replace(outcome, source=redacted(outcome.source))
        said.append(f"  {redacted(address)}: {redacted(outcome)}")
    raise PosetrtError(
        f"{network.file} of {network.name} could not be had:",
        *said,
        f"The authors' servers are often down: try again later, or take the file from elsewhere with: posetrt fetch {network.name} --from URL|FILE",
    )


def _from(address: str, network: Network, target: Path) -> Fetched | str:
    """The file from one address, or why it did not come from there.

    Raises:
        UsageError: no address.
        PosetrtError: the disk refuses, so that no other address could help.
    """
    try:
        part = _copied(address, target) if "://" not in address else _downloaded(address, target)
        trust = _trusted(network, part, target)
        part.replace(target)
        return Fetched(target, sha256_of(target), address, trust)
    except UsageError:
        raise
    except PosetrtError as error:
        return str(error)
    except OSError as error:
        raise PosetrtError(
            f"cannot write {target}: {error.strerror or error}. What came so far is kept; {write_remedy(error)} (-o DIR)"
        ) from error


def _trusted(network: Network, file: Path, target: Path) -> str:
    """How a file is known to be the right one; records its hash where it is the first.

    Raises:
        PosetrtError: it is another file; a download is deleted, a file that was here already stays.
    """
    record = target.with_name(target.name + ".sha256")
    found = sha256_of(file)
    expected, kind, by = "", "", ""
    if network.md5:
        expected, kind, by = network.md5, "MD5", "the authors publish"
    elif record.is_file():
        expected, kind, by = record.read_text(encoding="utf-8").split(maxsplit=1)[0], "SHA-256", f"{record.name} recorded"
    here = _md5_of(file) if kind == "MD5" else found
    if expected and here != expected.lower():
        what = "a web page" if _is_page(file) else "another or a damaged file"
        if file != target:
            file.unlink()
        raise PosetrtError(
            f"its {kind} is {here}, {by} {expected}: {what}" + ("" if file != target else f". Delete {target} to fetch it again")
        )
    if not expected and _is_page(file):
        file.unlink()
        raise PosetrtError("a web page came in place of the weights")
    if not record.is_file():
        write_text(record, f"{found}  {target.name}\n")
    return f"{kind} as {by}" if expected else f"first download: its SHA-256 was recorded in {record.name}"


def _downloaded(url: str, target: Path) -> Path:
    """The partial file, complete; one a source, so that bytes of two servers never mix."""
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise UsageError(f"{redacted(url)}: an http or https address, or a file, was expected")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{hashlib.sha256(url.encode()).hexdigest()[:8]}.part")
    reason = ""
    for _ in range(_ATTEMPTS):
        before = part.stat().st_size if part.is_file() else 0
        try:
            if _receive(url, part, target.name):
                return part
            reason = "the connection was cut"
        except urllib.error.HTTPError as error:
            if error.code == 416 and before:  # the server has less than we hold
                part.unlink()
                continue
            raise PosetrtError(f"the server answered {error.code} {error.reason}") from error
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            reason = str(getattr(error, "reason", "") or error or type(error).__name__)
        if not part.is_file() or part.stat().st_size <= before:
            break
    raise PosetrtError(f"{reason}; {part.stat().st_size if part.is_file() else 0} bytes came so far")


def _receive(url: str, part: Path, label: str) -> bool:
    """Append what the server sends to `part`; whether that is all of it."""
    have = part.stat().st_size if part.is_file() else 0
    headers = {"User-Agent": "posetrt"} | ({"Range": f"bytes={have}-"} if have else {})
    address, authorisation = _without_user(url)
    request = urllib.request.Request(address, headers=headers)  # noqa: S310 - the scheme was checked
    if authorisation:
        # Not sent on to another server that this one names.
        request.add_unredirected_header("Authorization", authorisation)
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
        if answer.status != 206:
            have = 0
        length = int(answer.headers.get("Content-Length") or 0)
        free = shutil.disk_usage(part.parent).free
        if length > free:
            raise OSError(28, f"{label} needs {length / 1e6:.0f} MB more, {free / 1e6:.0f} MB are free")
        with part.open("r+b" if have else "wb") as file, _progress(label, have, have + length) as bar:
            file.seek(have)
            received = 0
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                received += len(chunk)
                bar.update(len(chunk))
    return not length or received == length


def _without_user(url: str) -> tuple[str, str]:
    """An address without user and password, and the header that says them (RFC 7617); urllib takes them for a part of the host's name.

    Raises:
        UsageError: no host, or a port that is none.
    """
    parts = urllib.parse.urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    try:
        valid = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid:
        raise UsageError(f"{redacted(url)} names no server; an address such as https://server/file was expected")
    header = "Basic " + base64.b64encode(urllib.parse.unquote(user).encode()).decode("ascii") if user else ""
    return urllib.parse.urlunsplit(parts._replace(netloc=host)), header


def _copied(source: str, target: Path) -> Path:
    path = Path(source).expanduser()
    if not path.is_file():
        raise UsageError(f"--from {redacted(source)}: neither an http address nor a file that exists")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.copy.part")
    try:
        shutil.copyfile(path, part)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    return part


def _md5_of(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _is_page(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(512).lstrip().lower().startswith((b"<!doctype", b"<html"))


@contextlib.contextmanager
def _progress(label: str, have: int, total: int) -> Iterator[Any]:
    """A progress bar on stderr, where someone looks at it."""
    from tqdm import tqdm

    with tqdm(
        total=total or None, initial=have, unit="B", unit_scale=True, desc=label, file=sys.stderr, disable=not sys.stderr.isatty()
    ) as bar:
        yield bar
