"""The venues: a module for each, found by being here. docs/venues.md tells what one must bring."""

from __future__ import annotations

import importlib
import pkgutil

from services.venue_poller.venue import Venue


def _found() -> dict[str, Venue]:
    modules = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name: importlib.import_module(f"{__name__}.{name}").VENUE for name in modules}


VENUES: dict[str, Venue] = _found()
