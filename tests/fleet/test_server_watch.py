"""A device says when its server comes and goes."""

import socket

import pytest

pytest.importorskip("flwr")

from addapt.fleet import joining  # noqa: E402
from addapt.fleet.joining import ServerWatch  # noqa: E402
from addapt.fleet.link import Link  # noqa: E402
from addapt.fleet.processes import FlowerHome, free_port  # noqa: E402

HOST = "127.0.0.1"


def test_a_server_that_comes_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "LOOK_EVERY_S", 0.0)
    link = Link(HOST, free_port())
    with FlowerHome() as home:
        watch = ServerWatch(link, home)
        watch.look()
        assert list(home.news.latest()) == []
        with socket.create_server((HOST, link.port)):
            for _ in range(3):
                watch.look()
            assert list(home.news.latest()) == [{"server_is_there": True}]
        watch.look()
        assert list(home.news.latest()) == [{"server_is_there": False}]


def test_it_looks_from_time_to_time_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((HOST, 0)) as server, FlowerHome() as home:
        watch = ServerWatch(Link(HOST, server.getsockname()[1]), home)
        watch.look()
        monkeypatch.setattr(Link, "answers", lambda link: pytest.fail("it looked again"))
        watch.look()
