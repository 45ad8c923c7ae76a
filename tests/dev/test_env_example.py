"""What an operator copies must be what the services read."""

from __future__ import annotations

import re

from dev.env_example import render, service_names, settings_of
from shared.settings import declared
from tests.pipeline.harness import ROOT


def test_the_example_lists_every_setting_with_its_default() -> None:
    """`make env-example` writes it anew."""
    assert (ROOT / ".env.example").read_text() == render()


def test_every_declared_setting_is_in_it_once() -> None:
    names = {item.name for service in service_names() for item in declared(settings_of(service))}
    listed = re.findall(r"^#([A-Z0-9_]+)=", render(), re.MULTILINE)
    assert sorted(listed) == sorted(names)
