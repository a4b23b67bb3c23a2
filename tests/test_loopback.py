"""The TCP door: this host's own address and no other."""

import socket

import pytest
from dlmd.serve.loopback import listen, parsed, url


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("127.0.0.1:8012", "127.0.0.1"),
        ("LocalHost:8012", "127.0.0.1"),
        ("[::1]:8012", "::1"),
    ],
)
def test_addresses_of_this_host(text: str, host: str) -> None:
    assert parsed(text) == (host, 8012)


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0:8012",
        ":8012",
        "8012",
        "[::]:8012",
        "192.168.0.1:80",
        "example.org:80",
        "127.0.0.1",
        "127.0.0.1:99999",
        "127.0.0.1:-1",
        "127.0.0.2:80",
        "",
        "localhost:x",
    ],
)
def test_nothing_wider_is_listened_on(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected 127\.0\.0\.1 and a port"):
        parsed(text)
    with pytest.raises(ValueError, match="no address that another host can reach"):
        listen(text)


def test_a_port_in_use_is_one_sentence() -> None:
    with listen("127.0.0.1:0") as first:
        port = first.getsockname()[1]
        assert url(first) == f"http://127.0.0.1:{port}"
        with pytest.raises(ValueError, match="--http"):
            listen(f"127.0.0.1:{port}")


def test_it_is_reached_on_loopback_alone() -> None:
    with listen("127.0.0.1:0") as door:
        host, port = door.getsockname()
        assert host == "127.0.0.1"
        socket.create_connection((host, port), timeout=5).close()
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.2", port), timeout=5)
