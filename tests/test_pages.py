"""The pages for people, as a browser asks for them."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from streamer.access import Access, digest
from streamer.pages import files
from streamer.server import Server
from tests.servers import WAIT_SECONDS, running

WEB = Path(__file__).parent.parent / "clients" / "web"


async def ask(port: int, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body; the path goes out as it is, which no ordinary client would do."""
    async with asyncio.timeout(WAIT_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    assert len(headers) == len(lines), "no header comes twice"
    return int(status.split()[1]), headers, body


@pytest.mark.parametrize(
    ("path", "file", "content_type"),
    [
        ("/", "index.html", "text/html; charset=utf-8"),
        ("/overlay?channel=x", "overlay.html", "text/html; charset=utf-8"),
        ("/web/page.js", "page.js", "text/javascript; charset=utf-8"),
        ("/web/page.css", "page.css", "text/css; charset=utf-8"),
        ("/web/icon.svg", "icon.svg", "image/svg+xml"),
    ],
)
async def test_a_file_comes_whole_with_its_type(path, file, content_type):
    async with running() as here:
        status, headers, body = await ask(here.port, path)
        assert (status, headers["content-type"], body) == (200, content_type, (WEB / file).read_bytes())
        _, of_head, nothing = await ask(here.port, path, "HEAD")
        assert nothing == b""
        assert of_head["content-length"] == headers["content-length"] == str(len(body))


async def test_every_file_is_served_so_that_nothing_but_itself_is_loaded():
    async with running() as here:
        for path in files():
            _, headers, _ = await ask(here.port, path)
            policy = dict(rule.split(" ", 1) for rule in headers["content-security-policy"].split("; "))
            assert policy.pop("default-src") == "'none'"
            assert policy["frame-ancestors"] == "'none'"
            assert set(policy.values()) == {"'self'", "'none'"}, "no other origin, nothing inline, no eval"
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["permissions-policy"] == "microphone=(self)"
            assert headers["cache-control"] == "no-store", "a new version must not meet an old script"


@pytest.mark.parametrize(
    "path",
    [
        "/web/none.js",
        "/web/",
        "/web/index.html",
        "/web/../address.py",
        "/web/%2e%2e/address.py",
        "/web/..%2faddress.py",
        "/web//etc/passwd",
        "/../../etc/passwd",
        "//etc/passwd",
        "/WEB/page.js",
    ],
)
async def test_nothing_else_is_served(path):
    async with running() as here:
        status, _, body = await ask(here.port, path)
        assert status == 404
        assert body.startswith(b"no such path")


async def test_pages_need_no_token_and_figures_do():
    async with running(Server(Access(frozenset([digest("0123456789abcdef")])))) as here:
        for path in files():
            assert (await ask(here.port, path))[0] == 200
        assert (await ask(here.port, "/metrics"))[0] == 401
        assert (await ask(here.port, "/metrics", "HEAD"))[0] == 401, (
            "the page asks like this whether its token is right"
        )


def test_pages_load_only_files_that_are_served_and_nothing_inline():
    served = files()
    for page in WEB.glob("*.html"):
        text = page.read_text()
        assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", text), f"the policy forbids it: {page}"
        for target in re.findall(r"(?:src|href)=\"([^\"]+)\"", text):
            assert target in served, f"{page.name} asks for {target}"
    for script in WEB.glob("*.js"):
        for target in re.findall(r"from \"\./([^\"]+)\"|addModule\(\"/web/([^\"]+)\"\)", script.read_text()):
            assert f"/web/{''.join(target)}" in served, f"{script.name} asks for {target}"
