"""What a GET finds beside the sockets: health, readiness, metrics, and the pages for people with what they load."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib import resources

from streamer.health import Health
from streamer.metrics import CONTENT_TYPE, Metrics

TEXT = "text/plain; charset=utf-8"
TYPES = {  # of the files of clients/web; others are not served
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
PEOPLE = {"/": "index.html", "/overlay": "overlay.html"}  # path: the page that stands there
# A page may load and connect to what comes from here, the socket included, and nothing else; nobody may frame it.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
PROTECTION = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self)",
}


@dataclass(frozen=True, slots=True)
class Page:
    """What is answered."""

    status: HTTPStatus
    body: bytes
    content_type: str = TEXT
    headers: Mapping[str, str] = field(default_factory=dict)


def pages(health: Health, metrics: Metrics) -> dict[str, Callable[[], Page]]:
    """Path to what it shows."""
    return {
        "/health": lambda: _state("broken" if health.broken else None),
        "/ready": lambda: _state(health.hindrance),
        "/metrics": lambda: Page(HTTPStatus.OK, metrics.page(), CONTENT_TYPE),
    }


def files() -> dict[str, Callable[[], Page]]:
    """Path to a file of clients/web. All are read here, so no path of a request ever touches the disk."""
    web = resources.files("clients") / "web"
    read = {file.name: _file(file.name, file.read_bytes()) for file in web.iterdir() if _suffix(file.name) in TYPES}
    parts = {f"/web/{name}": page for name, page in read.items() if _suffix(name) != "html"}
    return parts | {path: read[name] for path, name in PEOPLE.items()}


def _file(name: str, body: bytes) -> Callable[[], Page]:
    page = Page(HTTPStatus.OK, body, TYPES[_suffix(name)], PROTECTION)
    return lambda: page


def _suffix(name: str) -> str:
    return name.rpartition(".")[2]


def _state(hindrance: str | None) -> Page:
    if hindrance:
        return Page(HTTPStatus.SERVICE_UNAVAILABLE, f"{hindrance}\n".encode())
    return Page(HTTPStatus.OK, b"ok\n")
