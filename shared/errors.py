"""The exceptions a caller acts on, by what to do next.

SettingsError       do not start: exit status 78
WireError           drop this one message, row or body, and count it
Transient           wait and try again; ``retry_after_s`` when the other side said how long
  RateLimited       every request to that host waits
    Banned          nothing at all is sent until ``until_ms``
Rejected            the same input fails again: drop it
Refused             no input will do until a person or the other side changes something: retry slowly, say the cause
"""

from __future__ import annotations

# What bytes that cannot be read raise: endless nesting the second, a number or a date beyond its type the third.
UNREADABLE = (ValueError, RecursionError, OverflowError)
UNWRITABLE = (*UNREADABLE, TypeError)  # and what a fact raises that cannot be encoded


class SettingsError(Exception):
    """A setting that cannot be used; the text names it and its value."""


class WireError(Exception):
    """Bytes from outside that cannot be trusted. ``reason`` is a short word, fit for a metric label."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class Transient(Exception):
    """The other side is away or busy; the same call may succeed later."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RateLimited(Transient):
    """Too many requests (HTTP 429)."""


class Banned(RateLimited):
    """The address is banned (HTTP 418) until ``until_ms``, Unix ms."""

    def __init__(self, message: str, retry_after_s: float, until_ms: int) -> None:
        super().__init__(message, retry_after_s)
        self.until_ms = until_ms


class Rejected(Exception):
    """The other side refuses this input for good; ``code`` is its own error number, 0 when it gave none."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class Refused(Exception):
    """The other side refuses everything from here: wrong key, blocked address, maintenance."""
