"""A device's half, from the installed package."""

from addapt.fleet.client_app import app

__all__ = ["app"]
