"""The running pipeline that tests/pipeline has, for the commands that look at one."""

from tests.pipeline.conftest import pipeline, running

__all__ = ["pipeline", "running"]
