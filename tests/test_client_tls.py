from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest

from clients.connection import connect
from clients.errors import AddressError, CaptionsError
from streamer.events import Done
from tests.servers import running


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that only who is given it trusts, with its key in the same file."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", *subject]
    try:
        subprocess.run([*make, "-keyout", key, "-out", certificate, "-days", "1"], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl here to make a certificate")
    certificate.write_text(certificate.read_text() + key.read_text())
    return certificate


def serving(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


async def ends_well(url: str, tls: ssl.SSLContext | None = None) -> bool:
    async with connect(url, tls=tls) as captions:
        await captions.send(bytes(3200))
        await captions.stop()
        return isinstance([event async for event in captions][-1], Done)


async def test_a_certificate_that_is_trusted_is_enough(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(tls=serving(certificate)) as there:
        url = f"wss://localhost:{there.port}"
        assert await ends_well(url, ssl.create_default_context(cafile=certificate))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))  # the cure that the error names
        assert await ends_well(url)


async def test_one_that_is_not_says_how_to_trust_it(certificate: Path) -> None:
    async with running(tls=serving(certificate)) as there:
        with pytest.raises(AddressError, match=r"is not trusted \(.*\); set SSL_CERT_FILE to the certificate"):
            await ends_well(f"wss://localhost:{there.port}")


async def test_the_wrong_scheme_is_named(certificate: Path) -> None:
    async with running() as there:
        with pytest.raises(CaptionsError, match=r"try ws:// instead of wss://$"):
            await ends_well(f"wss://127.0.0.1:{there.port}")
    async with running(tls=serving(certificate)) as there:
        with pytest.raises(CaptionsError, match=r"wss://$"):
            await ends_well(f"ws://127.0.0.1:{there.port}")
