"""A stand-in shared by the tests, forgotten between them; and a way to start one of one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.backend.browser import browser, page, services
from tests.backend.stand_in import Backend, start

__all__ = ["browser", "page", "services"]


@pytest.fixture(scope="session")
def shared_backend() -> Iterator[Backend]:
    backend = Backend(start())
    yield backend
    backend.close()


@pytest.fixture
def backend(shared_backend: Backend) -> Backend:
    shared_backend.http.post("/control/reset").raise_for_status()
    return shared_backend


@pytest.fixture
def start_backend() -> Iterator[Callable[..., Backend]]:
    started: list[Backend] = []

    def begin(**settings: str) -> Backend:
        started.append(Backend(start(**settings)))
        return started[-1]

    yield begin
    for backend in started:
        backend.close()
