"""What a reply tells of what stands before a server: a cache that answered in its place, or a wall. Pure."""

from __future__ import annotations

from shared.numbers import whole
from shared.reply import Reply, http_date_ms, json_start

HITS = ("hit", "stale", "updating", "revalidated")  # words of X-Cache and CF-Cache-Status for an answer out of a cache


def cache_age_s(reply: Reply, now_ms: int) -> float | None:
    """How old the answer already was when it came out of a cache; None where nothing tells of a cache.

    A cache that does not say how old it is is judged by ``Date``, which is the server's; by that alone nothing is
    judged: it could as well be a clock that is off.
    """
    age_s = whole(reply.headers.get("age", "").strip())
    if age_s:
        return float(age_s)
    words = " ".join(reply.headers.get(name, "") for name in ("x-cache", "x-cache-status", "cf-cache-status")).lower()
    if not any(hit in words for hit in HITS):
        return None
    made_ms = http_date_ms(reply.headers.get("date", ""))
    return 0.0 if made_ms is None else max(0.0, (now_ms - made_ms) / 1000)


def past_caches(now_ms: int) -> dict[str, str]:
    """Parameters that make an address no cache holds yet; the backend looks at the path alone."""
    return {"at": str(now_ms)}


def wall(reply: Reply) -> str:
    """What stopped a request before it reached the server, in words; empty where the server itself seems to answer."""
    mitigated = reply.headers.get("cf-mitigated", "")
    if mitigated:
        return f"a bot wall at its edge (HTTP {reply.status}, cf-mitigated: {mitigated:.20})"
    html = "html" in reply.headers.get("content-type", "").lower() or reply.body.lstrip()[:1] == b"<"
    if reply.status in {401, 403, 429, 503} and html and not json_start(reply.body):
        return f"its edge (HTTP {reply.status} with a page of HTML, which the backend never sends)"
    return ""
