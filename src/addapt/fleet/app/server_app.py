"""The server's half, from the installed package."""

from addapt.fleet.server_app import app

__all__ = ["app"]
