"""What venue_poller can be told."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from services.venue_poller.venues import VENUES
from shared import agreed
from shared.settings import CommonSettings, metrics_port, parse_url, setting, take


def venues(value: str) -> tuple[str, ...]:
    """Comma-separated names, in the order told; ``all`` for every one; empty: none."""
    names = [name for part in value.split(",") if (name := part.strip().lower())]
    if names == ["all"]:
        return tuple(VENUES)
    unknown = [name for name in names if name not in VENUES]
    if unknown:
        raise ValueError(f"{', '.join(unknown)} is not of {', '.join(VENUES)}, or all")
    return tuple(dict.fromkeys(names))


def origins(value: str) -> dict[str, str]:
    """``venue=http://host:port/path,...``"""
    found = {}
    for part in filter(None, (part.strip() for part in value.split(","))):
        name, _, url = part.partition("=")
        if name not in VENUES:
            raise ValueError(f"{part!r:.60} must be venue=url, with a venue of {', '.join(VENUES)}")
        parsed = parse_url(url, ("https", "http"))
        if parsed.query or parsed.fragment or "@" in urlsplit(url).netloc:
            raise ValueError(f"{name}: must be scheme://host:port/path and no more")
        found[name] = url.rstrip("/")
    return found


@dataclass(frozen=True)
class Settings(CommonSettings):
    venues: tuple[str, ...] = take(
        agreed.VENUES._replace(parse=venues, about=f"{agreed.VENUES.about}. Known: {', '.join(VENUES)}")
    )
    origins: dict[str, str] = setting(
        "VENUE_URLS", "", origins, "venue=url, comma-separated, in place of a venue's own address; empty: its own"
    )
    metrics_port: int = metrics_port(agreed.METRICS_PORTS["venue_poller"])
