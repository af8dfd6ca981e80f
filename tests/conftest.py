"""Fixtures that every test may ask for: real servers, started once a session."""

pytest_plugins = ("tests.support.servers",)
