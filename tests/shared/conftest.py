"""Properties are judged by their answers, not by how fast a shared machine gives them."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("answers", deadline=None)
settings.load_profile("answers")
