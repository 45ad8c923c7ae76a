"""Write ``.env.example`` from what the services declare: every setting, its default, one line.

``python -m dev.env_example > .env.example``; a test holds the file to it.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import services
from shared.settings import CommonSettings, Setting, declared

HEAD = """\
# Every setting of oi-pipeline with its default. Copy to .env (or /etc/oi-pipeline/oi-pipeline.env) and uncomment what
# you change. An empty value counts as not set. `python -m services.<name> --help` lists one service's settings.
"""


def settings_of(service: str) -> type[Any]:
    module = importlib.import_module(f"services.{service}.settings")
    settings: type[Any] = module.Settings
    return settings


def service_names() -> list[str]:
    return sorted(m.name for m in pkgutil.iter_modules(services.__path__) if m.ispkg)


def line(item: Setting) -> str:
    also = f" (also read: {', '.join(item.aliases)})" if item.aliases else ""
    required = " Required." if item.default is None else ""
    return f"# {item.about}{also}.{required}\n#{item.name}={item.default or ''}\n"


def render() -> str:
    """Settings that several services share stand once, under the first heading that has them."""
    seen = {"METRICS_PORT"}
    sections = ["# --- every service\n"]
    sections += [line(item) for item in declared(CommonSettings) if item.name not in seen]
    seen |= {item.name for item in declared(CommonSettings)}
    ports = []
    for name in service_names():
        own = declared(settings_of(name))
        ports.append(next(f"{item.default} {name}" for item in own if item.name == "METRICS_PORT"))
        fresh = [item for item in own if item.name not in seen]
        seen |= {item.name for item in fresh}
        if fresh:
            sections.append(f"# --- {name}\n")
            sections += [line(item) for item in fresh]
    port = "# port of /metrics and /healthz, one for each service; 0 takes a free one. Defaults: " + ", ".join(ports)
    sections.insert(len(declared(CommonSettings)), f"{port}\n#METRICS_PORT=\n")
    return HEAD + "\n" + "\n".join(sections)


if __name__ == "__main__":
    print(render(), end="")
