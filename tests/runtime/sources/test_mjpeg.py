"""Motion JPEG as RFC 2046 allows it and as cameras send it, and the ways to a camera's address: Digest, Basic, redirects."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest

from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.sources.camera import Lost
from posetrt.runtime.sources.mjpeg import Mjpeg
from posetrt.runtime.sources.multipart import Parts, boundary_of
from posetrt.runtime.sources.picture_header import check_size, is_picture, jpeg_end, size_wh
from tests.mjpeg_server import picture

Handle = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def serving(handle: Handle) -> Iterator[str]:
    """A server whose answer to every GET a test writes; gives its host and port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            handle(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answer(request: BaseHTTPRequestHandler, body: bytes, content_type: str = "multipart/x-mixed-replace; boundary=cut") -> None:
    request.send_response(200)
    request.send_header("Content-Type", content_type)
    request.end_headers()
    request.wfile.write(body)


def stream(parts: int = 3) -> bytes:
    return b"".join(b"--cut\r\nContent-Type: image/jpeg\r\n\r\n" + picture(number) + b"\r\n" for number in range(parts)) + b"--cut--\r\n"


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/x-mixed-replace; boundary=cut", b"cut"),
        ('Multipart/X-Mixed-Replace;Boundary = "cut here"', b"cut here"),
        ("multipart/x-mixed-replace;charset=x;  BOUNDARY=--cut", b"cut"),
        (r'multipart/mixed; boundary="a\"b"', b'a"b'),
        ("image/jpeg", None),
        ("multipart/x-mixed-replace", None),
    ],
)
def test_a_boundary_is_read_in_any_case_spacing_and_quotes(content_type: str, boundary: bytes | None) -> None:
    assert boundary_of(content_type) == boundary


LONG_EXIF = b"\xff\xd8\xff\xfe\x00\x0e\r\n--cut\r\nabc" + picture(0)[2:]
"""A JPEG whose comment holds a line that looks like the end of the part."""


@pytest.mark.parametrize("chunk", [1, 7, 100_000])
@pytest.mark.parametrize(
    "part",
    [
        b"--cut\r\nContent-Type: image/jpeg\r\n\r\n%s\r\n",
        b"--cut\nCONTENT-TYPE:image/jpeg\n\n%s\n",
        b"----cut \t\r\ncontent-type :  image/jpeg\r\ncontent-length : LENGTH\r\n\r\n%s\r\n",
        b"\r\n--cut\r\nContent-Length: LENGTH\r\n\r\n%s",
        b"--cut\r\nContent-Type: image/jpeg\r\n\r\n%s" + b"\0" * 300 + b"\r\n",
        b"--cut\r\nContent-Length: LENGTH\r\n\r\n%s" + b"\0" * 300 + b"\r\n",
        b"--cut\r\nContent-Length: 17\r\n\r\n%s\r\n",
        b"--cut\r\nContent-Length: 99999999\r\nContent-Type: image/jpeg\r\n\r\n%s\r\n",
        b"--cut\r\n%s\r\n",
        b"--cut\r\n\r\nContent-Type: image/jpeg\r\n\r\n%s\r\n",
    ],
)
def test_every_picture_comes_whole_however_a_camera_writes_its_parts(part: bytes, chunk: int) -> None:
    pictures = [picture(number) for number in range(4)]
    body = b"".join(part.replace(b"LENGTH", str(len(each)).encode()).replace(b"%s", each) for each in pictures) + b"--cut--\r\n"
    pieces = iter([body[place : place + chunk] for place in range(0, len(body), chunk)])
    parts = Parts(b"cut", lambda: next(pieces, b""))
    for each in pictures:
        content = parts.next()[1]
        start = content.index(b"\xff\xd8")
        assert content[start : jpeg_end(content, start)] == each
    with pytest.raises(Lost, match="ended the stream"):
        parts.next()


def test_a_length_that_was_right_is_believed_also_where_the_picture_holds_the_boundary() -> None:
    body = b"".join(b"--cut\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(each), each) for each in (picture(1), LONG_EXIF, picture(2)))
    pieces = iter([body])
    parts = Parts(b"cut", lambda: next(pieces, b""))
    assert [parts.next()[1] for _ in range(3)] == [picture(1), LONG_EXIF, picture(2)]


def test_a_picture_with_its_length_does_not_wait_for_the_next_one() -> None:
    """Else everything that is found in it would be a frame's time older."""
    part = b"--cut\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(picture(1)), picture(1))
    pieces = [part, part, part[:-2]]
    parts = Parts(b"cut", lambda: pieces.pop(0))
    for _ in range(3):
        assert parts.next()[1] == picture(1)
    assert not pieces


def test_a_jpeg_ends_at_its_own_marker_and_not_at_its_thumbnails() -> None:
    inner = picture(1)
    with_thumbnail = b"\xff\xd8\xff\xe1" + (len(inner) + 2).to_bytes(2, "big") + inner + picture(0)[2:]
    assert jpeg_end(with_thumbnail + b"anything") == len(with_thumbnail)
    assert jpeg_end(with_thumbnail[:-40]) is None


def test_digest_is_answered_as_rfc_7616_has_it_and_the_password_never_leaves() -> None:
    seen: list[str] = []

    def handle(request: BaseHTTPRequestHandler) -> None:
        given = request.headers.get("Authorization", "")
        seen.append(given)
        fields = dict(re.findall(r'(\w+)="?([^",]+)"?', given))
        if given.startswith("Digest"):
            first = hashlib.sha256(b"robot:cam:s3 cret").hexdigest()
            second = hashlib.sha256(f"GET:{request.path}".encode()).hexdigest()
            whole = ":".join([first, "n0nce", fields["nc"], fields["cnonce"], "auth", second])
            if hashlib.sha256(whole.encode()).hexdigest() == fields["response"]:
                return answer(request, stream())
        request.send_response(401)
        request.send_header("WWW-Authenticate", 'Basic realm="cam"')
        request.send_header("WWW-Authenticate", 'Digest realm="cam", nonce="n0nce", qop="auth", algorithm=SHA-256')
        request.end_headers()
        return None

    with serving(handle) as host:
        camera = Mjpeg(f"http://robot:s3%20cret@{host}/video?x=1")
        assert camera.read() is not None
        camera.close()
        with pytest.raises(PosetrtError, match="refuses user and password"):
            Mjpeg(f"http://robot:wrong@{host}/video")
        with pytest.raises(PosetrtError, match="refuses user and password"):
            Mjpeg(f"http://{host}/video")
    assert not any("Basic" in given for given in seen)
    assert len(seen) == 5


def test_a_redirect_is_followed_and_another_host_is_not_told_the_password() -> None:
    elsewhere: list[str | None] = []

    def other(request: BaseHTTPRequestHandler) -> None:
        elsewhere.append(request.headers.get("Authorization"))
        request.send_response(401)
        request.send_header("WWW-Authenticate", 'Basic realm="cam"')
        request.end_headers()

    with serving(other) as other_host:

        def handle(request: BaseHTTPRequestHandler) -> None:
            if request.path == "/video":
                answer(request, stream())
            else:
                request.send_response(int(request.path[1:4]))
                request.send_header("Location", {"o": f"http://{other_host}/", "f": "file:///etc/passwd"}.get(request.path[4:], "/video"))
                request.end_headers()

        with serving(handle) as host:
            for code in (301, 302, 307, 308):
                camera = Mjpeg(f"http://robot:s3cret@{host}/{code}")
                assert camera.read() is not None
                camera.close()
            with pytest.raises(PosetrtError, match="refuses user and password"):
                Mjpeg(f"http://robot:s3cret@{host}/302o")
            with pytest.raises(Lost, match="is not allowed"):
                Mjpeg(f"http://robot:s3cret@{host}/302f")
    assert elsewhere == [None]


def test_a_picture_too_large_for_memory_is_refused_before_it_is_decoded() -> None:
    huge = bytearray(picture(1))
    place = huge.index(b"\xff\xc0") + 5
    huge[place : place + 4] = (60000).to_bytes(2, "big") * 2
    body = b"--cut\r\nContent-Length: %d\r\n\r\n%s\r\n--cut\r\n" % (len(huge), huge)
    with serving(lambda request: answer(request, body)) as host:
        camera = Mjpeg(f"http://{host}/")
        with pytest.raises(PosetrtError, match="60000x60000, 3600 megapixels, and at most 100"):
            camera.read()
        camera.close()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".webp", ".ppm", ".pgm", ".jp2", ".gif", ".avif"])
def test_a_headers_size_is_that_of_the_decoded_picture(suffix: str) -> None:
    try:
        written, data = cv2.imencode(suffix, np.full((37, 53, 3), 90, np.uint8))
    except cv2.error:
        written = False
    if not written:
        pytest.skip(f"this OpenCV does not write {suffix}")
    assert size_wh(data.tobytes()) == (53, 37)
    assert is_picture(data.tobytes()[:32]) or suffix in (".ppm", ".pgm")
    with pytest.raises(PosetrtError, match="max-megapixels"):
        check_size(data.tobytes(), "it", most_megapixels=0.001)
