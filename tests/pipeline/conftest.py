"""One running pipeline for the tests of a module; faults are cleared between them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.pipeline.harness import Pipeline


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pipeline]:
    async with Pipeline(tmp_path_factory.mktemp("pipeline")) as pipeline:
        pipeline.start()
        await pipeline.next_verified()
        yield pipeline


@pytest_asyncio.fixture(loop_scope="module")
async def pipeline(running: Pipeline) -> AsyncIterator[Pipeline]:
    yield running
    await running.heal()
