"""Copies are whole, checked and few; what is put back is what was copied, and loses nothing."""

import asyncio
import contextlib
import gzip
import sqlite3
import tarfile
import threading
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from executor.__main__ import main
from executor.errors import JournalError
from executor.journal.backup import Backups, Plan, Sources, kept, make, send
from executor.journal.restore import fetch, restore
from executor.journal.store import Journal
from executor.lease.lease import INSTANCE, FileLock
from executor.models.store import ModelStore
from features.errors import InputError
from tests.support.clocks import FakeClock
from tests.support.journaled import Journaled
from tests.support.trading import LONG_ROW, QUIET_ROW

NOW_MS = 1_735_689_600_000
HOUR_MS = 3_600_000


class Machine:
    """A machine with a journal, a model and a configuration, and an empty one beside it."""

    def __init__(self, folder: Path) -> None:
        self.plan = Plan(folder=folder / "backups", interval_ms=HOUR_MS, kept=3)
        self.here, self.there = self._sources(folder / "here"), self._sources(folder / "there")
        self.life = Journaled(self.here.journal, ("BTCUSDT",))
        for row in (QUIET_ROW, LONG_ROW, QUIET_ROW):
            self.life.close({"BTCUSDT": row}, {"BTCUSDT": 100.0})
        self.here.config.write_text("[trading]\nprofile = 'moderate'\n")
        store = ModelStore(self.here.models)
        store.put("a" * 64, {"manifest.json": b"{}", "symbols/BTCUSDT/booster.ubj": b"\x00\x01"})
        store.set_current({"bundle_sha256": "a" * 64})

    @staticmethod
    def _sources(folder: Path) -> Sources:
        return Sources(
            journal=folder / "journal.db", models=folder / "models", config=folder / "executor.toml"
        )

    def copied(self, now_ms: int = NOW_MS) -> Path:
        return make(self.here, self.plan, now_ms)


def content(journal: Path) -> list[str]:
    with sqlite3.connect(journal) as db:
        found = list(db.iterdump())
    db.close()
    return found


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_what_is_restored_equals_what_was_copied(machine: Machine) -> None:
    backup = machine.copied()
    lines = restore(backup, machine.there)
    here, there = machine.here, machine.there
    assert content(there.journal) == content(here.journal)
    assert ModelStore(there.models).get("a" * 64) == ModelStore(here.models).get("a" * 64)
    assert ModelStore(there.models).current() == {"bundle_sha256": "a" * 64}
    assert there.config.read_text() == here.config.read_text()
    assert [line.split(":")[0] for line in lines] == ["journal", "model", "configuration"]
    with Journal(there.journal) as journal:
        assert len(journal.planned()) == 1  # the entry of the long signal


def test_a_restored_journal_does_not_pass_for_the_original(machine: Machine) -> None:
    """By its name it would take the lease from an original that lives on another machine."""
    machine.life.journal.set_meta(INSTANCE, "host-1")
    restore(machine.copied(), machine.there)
    with Journal(machine.there.journal) as journal:
        assert journal.meta(INSTANCE) is None
    assert machine.life.journal.meta(INSTANCE) == "host-1"


def test_it_is_copied_while_somebody_writes(machine: Machine) -> None:
    """Each copy holds whole transactions, all up to some moment."""
    done = threading.Event()

    def write() -> None:
        with Journal(machine.here.journal) as journal:
            while not done.is_set():
                journal.set_meta("count", str(int(journal.meta("count") or "0") + 1))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        copies = [machine.copied(NOW_MS + k * 1000) for k in range(3)]
    finally:
        done.set()
        writer.join()
    for backup in copies:
        restore(backup, machine.there, force=True)
        assert len(content(machine.there.journal)) >= len(content(machine.here.journal)) - 1


def test_only_the_newest_are_kept_and_nothing_half_is_left(machine: Machine) -> None:
    made = [machine.copied(NOW_MS + hour * HOUR_MS) for hour in range(5)]
    assert kept(machine.plan.folder) == made[2:]
    assert sorted(machine.plan.folder.iterdir()) == made[2:]
    assert made[0].name == "tribar-20250101T000000Z.tar.gz"
    assert made[-1].stat().st_mode & 0o077 == 0


def test_a_damaged_journal_is_not_copied(machine: Machine) -> None:
    backup = machine.copied()
    machine.life.journal.__exit__(None, None, None)
    data = bytearray(machine.here.journal.read_bytes())
    data[4096 : len(data) // 2] = b"\xff" * (len(data) // 2 - 4096)
    machine.here.journal.with_name("journal.db-wal").unlink(missing_ok=True)
    machine.here.journal.write_bytes(data)
    with pytest.raises(JournalError, match=r"damaged|malformed|no backup"):
        machine.copied(NOW_MS + HOUR_MS)
    assert kept(machine.plan.folder) == [backup]


def damaged(backup: bytes, place: float) -> bytes:
    """Return it with one bit flipped that tells: in a run of zeros, two codes may say the same."""
    content = gzip.decompress(backup)
    for at in range(int(place * len(backup)), len(backup)):
        data = bytearray(backup)
        data[at] ^= 0x10
        try:
            is_same = gzip.decompress(data) == content
        except (OSError, EOFError, zlib.error):
            is_same = False
        if not is_same:
            return bytes(data)
    raise AssertionError("no bit of it tells")


@pytest.mark.parametrize("place", [0.05, 0.5, 0.95])
def test_a_damaged_backup_replaces_nothing(machine: Machine, place: float) -> None:
    backup = machine.copied()
    backup.write_bytes(damaged(backup.read_bytes(), place))
    with pytest.raises(JournalError):
        restore(backup, machine.there)
    assert not machine.there.journal.exists()


def test_a_file_from_elsewhere_is_refused(machine: Machine, tmp_path: Path) -> None:
    wicked = tmp_path / "wicked.tar.gz"
    with tarfile.open(wicked, "w:gz") as archive:
        archive.add(machine.here.config, "../../outside.toml")
    with pytest.raises(JournalError):
        restore(wicked, machine.there)
    with pytest.raises(InputError, match="there is no backup"):
        restore(tmp_path / "absent", machine.there)


def test_a_journal_in_the_way_is_moved_aside_only_when_told(machine: Machine) -> None:
    backup = machine.copied()
    before = content(machine.here.journal)
    machine.life.close({"BTCUSDT": QUIET_ROW}, {"BTCUSDT": 101.0})
    machine.here.config.write_text("[trading]\nprofile = 'aggressive'\n")
    with pytest.raises(InputError, match="--force moves it aside"):
        restore(backup, machine.here)
    machine.life.journal.__exit__(None, None, None)
    restore(backup, machine.here, force=True)
    assert content(machine.here.journal) == before
    aside = machine.here.journal.with_name(f"journal.db.before-{NOW_MS}")
    assert len(content(aside)) > len(before)
    assert "aggressive" in machine.here.config.read_text()
    assert "moderate" in machine.here.config.with_name("executor.toml.restored").read_text()


def test_not_under_a_running_executor(machine: Machine) -> None:
    backup = machine.copied()
    with FileLock(machine.there.journal.with_name("journal.db.lock")) as lock:
        assert lock.try_lock()
        with pytest.raises(InputError, match="an executor uses"):
            restore(backup, machine.there)


class OneHour(FakeClock):
    """Lets a bounded number of waits pass."""

    def __init__(self, waits: int) -> None:
        super().__init__(NOW_MS)
        self.waits = waits

    async def sleep(self, seconds: float) -> None:
        if len(self.sleeps) >= self.waits:
            await asyncio.Event().wait()
        await super().sleep(seconds)


async def ran(machine: Machine, clock: OneHour, *, copies: int, kept_max: int = 3) -> Backups:
    plan = Plan(folder=machine.plan.folder, interval_ms=HOUR_MS, kept=kept_max)
    backups = Backups(machine.here, plan, clock, lambda: True)
    task = asyncio.create_task(backups.run())
    async with asyncio.timeout(30.0):
        while len(clock.sleeps) < clock.waits and not task.done():  # noqa: ASYNC110 - a thread works
            await asyncio.sleep(0.01)
        while len(kept(plan.folder)) < copies:  # noqa: ASYNC110 - a thread works
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return backups


async def test_copies_are_made_by_the_hour_the_first_soon(machine: Machine) -> None:
    clock = OneHour(waits=3)
    await ran(machine, clock, copies=3)
    assert clock.sleeps == [60.0, 3600.0, 3600.0]


async def test_a_restart_does_not_copy_before_the_hour_is_over(machine: Machine) -> None:
    machine.copied(NOW_MS - HOUR_MS // 2)
    clock = OneHour(waits=1)
    await ran(machine, clock, copies=2)
    assert clock.sleeps == [1800.0]


async def test_what_fails_is_said_and_tried_again_soon(machine: Machine) -> None:
    machine.plan.folder.parent.mkdir(exist_ok=True)
    machine.plan.folder.write_text("in the way")
    clock = OneHour(waits=2)
    backups = await ran(machine, clock, copies=0)
    assert "no backup in" in backups.problem
    assert clock.sleeps == [60.0, 300.0]


async def test_none_are_made_where_none_are_kept(machine: Machine) -> None:
    clock = OneHour(waits=1)
    await ran(machine, clock, copies=0, kept_max=0)
    assert not machine.plan.folder.exists()


def test_the_command_line_restores_and_replays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a copy alone: put back on an empty machine, and the day derived again there."""
    machine = Machine(tmp_path)
    machine.here.config.write_text(
        '[venue]\nurl = "http://127.0.0.1:1"\nws_url = "ws://127.0.0.1:1"\n'
        'api_key = "paper"\napi_secret = "paper"\n'
        f'[journal]\npath = "{machine.there.journal}"\n'
        f'[model]\nstore = "{machine.there.models}"\n'
        f'[backup]\nfolder = "{machine.plan.folder}"\n'
    )
    machine.copied()
    monkeypatch.setattr("executor.past.kept_model", lambda _store, _sha: machine.life.desk.model)
    config = str(machine.here.config)
    assert main(["replay", "--config", config, "--day", "2024-01-01"]) == 2
    assert "there is no journal" in capsys.readouterr().err
    assert main(["restore", "--config", config]) == 0
    assert f"journal: {machine.there.journal}" in capsys.readouterr().out
    assert main(["replay", "--config", config, "--day", "2024-01-01"]) == 0
    assert "3 closes" in capsys.readouterr().out
    assert main(["restore", "--config", config]) == 2
    assert "--force" in capsys.readouterr().err
    with sqlite3.connect(machine.there.journal) as db:
        db.execute("UPDATE decisions SET body = json_set(body, '$.probability', 0.9)")
    db.close()
    assert main(["replay", "--config", config, "--day", "2024-01-01"]) == 1
    assert "probability" in capsys.readouterr().out


class Shelf:
    """A server that keeps what is put on it."""

    def __init__(self, status: int = 201) -> None:
        self.status = status
        self.kept: dict[str, bytes] = {}

    async def put(self, request: web.Request) -> web.Response:
        self.kept[request.path] = await request.read()
        return web.Response(status=self.status)

    async def get(self, request: web.Request) -> web.Response:
        found = self.kept.get(request.path)
        return web.Response(body=found) if found else web.Response(status=404)


@contextlib.asynccontextmanager
async def serving(shelf: Shelf) -> AsyncIterator[str]:
    app = web.Application(client_max_size=1 << 26)
    app.router.add_put("/{name:.*}", shelf.put)
    app.router.add_get("/{name:.*}", shelf.get)
    async with TestServer(app) as server:
        yield str(server.make_url("/shelf"))


async def test_a_copy_is_put_at_an_address_and_comes_back_from_there(machine: Machine) -> None:
    backup, shelf = machine.copied(), Shelf()
    async with serving(shelf) as url:
        await send(backup, url + "/")
        assert shelf.kept == {f"/shelf/{backup.name}": backup.read_bytes()}
        fetched = await fetch(f"{url}/{backup.name}", machine.plan.folder)
        restore(fetched, machine.there)
        with pytest.raises(InputError, match="says 404"):
            await fetch(f"{url}/other.tar.gz", machine.plan.folder)
    assert content(machine.there.journal) == content(machine.here.journal)


async def test_an_address_that_fails_is_said_without_its_secret(machine: Machine) -> None:
    backup = machine.copied()
    async with serving(Shelf(507)) as url:
        with pytest.raises(JournalError, match=r"this machine only: the server says 507"):
            await send(backup, url)
    with pytest.raises(JournalError, match="this machine only") as said:
        await send(backup, "http://user:hidden@127.0.0.1:1/shelf")
    assert "hidden" not in str(said.value)
