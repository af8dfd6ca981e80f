"""The commands that only look: `tribar status` and `tribar doctor`.

Decides how their findings are shown. Never starts or changes anything.
Rule: each problem comes with the next step.
"""

import redis as redis_client
from rich.text import Text

from executor.core.contract import Keys
from flows.commands.frame import JsonFile, console, table, write_json
from flows.doctor import Level, examine
from flows.settings import Settings, load_settings
from flows.system.processes import records
from flows.system.services import Service, answers, known

MARKS = {Level.GOOD: ("✓", "green"), Level.NOTE: ("·", "yellow"), Level.BAD: ("✗", "red")}
PREFIX = "bot:"


def status(*, json: JsonFile = None) -> int:
    """Say which servers and programs run, and how the executor is.

    Exit code 0 where everything that is configured answers, 1 otherwise.
    """
    settings = load_settings()
    servers = [
        {"name": s.title, "url": s.page, "origin": s.origin, "answers": answers(s, 3.0)}
        for s in known(settings)
    ]
    names = {s.name for s in known(settings)}
    programs = [
        {"name": r.name, "url": r.url, "process": r.child}
        for r in records(settings.paths.run)
        if r.name not in names
    ]
    executor = _executor(settings)
    write_json(json, {"servers": servers, "programs": programs, "executor": executor})
    out = console()
    if not servers and not programs:
        out.print(
            "Nothing runs. Start everything with [bold]tribar up[/], or try [bold]tribar demo[/]."
        )
        return 0
    rows = [(s["name"], s["url"], s["origin"], "yes" if s["answers"] else "NO") for s in servers]
    out.print(table("Servers", ("server", "address", "origin", "answers"), rows))
    if programs:
        out.print(
            table(
                "Programs",
                ("program", "address", "process"),
                [(p["name"], p["url"], str(p["process"])) for p in programs],
            )
        )
    if executor:
        out.print(table("Executor", ("key", "value"), list(executor.items())))
    return 0 if all(s["answers"] for s in servers) else 1


def doctor(*, json: JsonFile = None) -> int:
    """Check this machine and the configuration; each problem comes with the next step.

    Exit code 0 where the demo can run, 1 where something must be repaired first.
    """
    findings = examine()
    out = console()
    for finding in findings:
        mark, colour = MARKS[finding.level]
        line = Text.assemble((f" {mark} ", colour), (f"{finding.subject:<22}", "bold"))
        out.print(line + Text(finding.found), soft_wrap=True)
        if finding.next_step:
            out.print(Text(f"{'':<25}→ {finding.next_step}", style=colour), soft_wrap=True)
    bad = [finding for finding in findings if finding.level is Level.BAD]
    write_json(
        json,
        [
            {
                "subject": f.subject,
                "level": f.level.value,
                "found": f.found,
                "next_step": f.next_step,
            }
            for f in findings
        ],
    )
    out.print(f"\n{len(bad)} to repair." if bad else "\nAll good: try [bold]tribar demo[/].")
    return 1 if bad else 0


def _executor(settings: Settings) -> dict[str, str]:
    """Return what the executor has published; nothing where there is no Redis."""
    found: dict[str, str] = {}
    for service in known(settings):
        if service.name == "redis":
            found = _published(service)
    return found


def _published(service: Service) -> dict[str, str]:
    keys = Keys(PREFIX)
    wanted = {
        "status": keys.status,
        "heartbeat": keys.heartbeat,
        "last update": keys.last_update,
        "trades": keys.trade_count,
    }
    client = redis_client.Redis.from_url(service.url, decode_responses=True, socket_timeout=3.0)
    try:
        values = client.mget(list(wanted.values()))
    except (redis_client.RedisError, OSError):
        return {}
    finally:
        client.close()
    if not any(values):
        return {}
    found = {name: str(value or "none") for name, value in zip(wanted, values, strict=True)}
    if found["heartbeat"] == "none":
        found["heartbeat"] = "none: the executor is not running, or is stuck"
    return found
