"""One running pipeline for the tests of a module; faults are cleared between them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.pipeline.harness import Pipeline


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pipeline]:
    pipeline = Pipeline(tmp_path_factory.mktemp("pipeline"))
    pipeline.start()
    try:
        await pipeline.next_verified()
        yield pipeline
    finally:
        await pipeline.close()


@pytest_asyncio.fixture(loop_scope="module")
async def pipeline(running: Pipeline) -> AsyncIterator[Pipeline]:
    yield running
    for child in running.children.values():
        if child.status() is not None:
            child.start()
    await running.fault("exchange", {}, "/control/reset")
    await running.fault("backend", {"faults": [], "cacheMode": "merge"})
