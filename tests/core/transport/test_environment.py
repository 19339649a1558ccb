"""What the environment says of proxies, read at the first call."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from langchain_qwen_vl import ChatQwenVL
from llama_index.llms.qwen_vl import QwenVL
from qwen_vl.errors import APIConnectionError, ConfigurationError
from qwen_vl.process_local import ProcessLocal
from qwen_vl.transport import connections


@pytest.mark.parametrize(
    ("variable", "value", "named", "remedy"),
    [
        ("ALL_PROXY", "socks5://ada:secret@127.0.0.1:7897", "ALL_PROXY", r"httpx2\[socks\]"),
        ("all_proxy", "socks5h://127.0.0.1:7897", "ALL_PROXY", r"httpx2\[socks\]"),
        ("HTTPS_PROXY", "socks4://127.0.0.1:1", "HTTPS_PROXY", "http://host:port"),
        ("HTTPS_PROXY", "foo://ada:secret@127.0.0.1:1", "HTTPS_PROXY", "http://host:port"),
        ("HTTP_PROXY", "http://127.0.0.1:port", "HTTP_PROXY", "http://host:port"),
        ("HTTP_PROXY", "http://", "HTTP_PROXY", "http://host:port"),
        ("https_proxy", "http://[::1", "HTTPS_PROXY", "http://host:port"),
        ("NO_PROXY", "localhost,fd00::/8", "NO_PROXY", "fd00::/8"),
        ("no_proxy", "2001:db8::/32", "NO_PROXY", "2001:db8::/32"),
    ],
)
@pytest.mark.parametrize("kind", [ChatQwenVL, QwenVL])
def test_setting_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, kind: Any, variable: str, value: str, named: str, remedy: str
) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv(variable, value)
    model = kind(base_url="http://127.0.0.1:9/v1", api_key="sk-1")
    ask = model.invoke if kind is ChatQwenVL else model.complete
    aask = model.ainvoke if kind is ChatQwenVL else model.acomplete
    with pytest.raises(ConfigurationError, match=f"{named}.*{remedy}") as caught:
        ask("Hello")
    assert "secret" not in str(caught.value)
    with pytest.raises(ConfigurationError, match=f"{named}.*{remedy}"):
        asyncio.run(_await(aask))


@pytest.mark.parametrize(
    ("no_proxy", "ending"),
    [
        ("", "the network. The environment has a proxy: 127.0.0.1:9."),
        ("vision.invalid", "the network."),
    ],
)
def test_proxy_that_cannot_be_reached_is_named(
    monkeypatch: pytest.MonkeyPatch, no_proxy: str, ending: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://ada:p@ss@127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    model = ChatQwenVL(base_url="https://vision.invalid/v1", api_key="sk-1", max_retries=0)
    for ask in (model.invoke, lambda text: asyncio.run(model.ainvoke(text))):
        with pytest.raises(APIConnectionError, match="cannot be reached") as caught:
            ask("Hello")
        assert str(caught.value).endswith(ending)
        assert "ss@" not in str(caught.value)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_certificates_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    monkeypatch.setattr(connections, "_tls_context", ProcessLocal(connections._read_certificates))
    model = ChatQwenVL(base_url="https://127.0.0.1:9/v1", api_key="sk-1")
    for ask in (model.invoke, lambda text: asyncio.run(model.ainvoke(text))):
        with pytest.raises(ConfigurationError, match="SSL_CERT_FILE in the environment"):
            ask("Hello")


async def _await(aask: Any) -> None:
    await aask("Hello")
