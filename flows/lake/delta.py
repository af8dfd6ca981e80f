"""Delta Lake tables in a folder or an object store: open, create, commit, compact.

Decides how a commit is made safe: every commit of a series carries that series' transaction
number, so of two writers that read the same state one fails and reads again (compare and set),
while writers of different series never disturb each other. Never knows what a candle is.
Rule: deltalake is imported here and nowhere else; its errors leave as one-line ``LakeError``.
"""

import errno
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import stamina
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from flows.lake.errors import LakeError, lake_error
from flows.lake.tables import INTERVAL, INTERVAL_MS, SYMBOL, VENUE, Series

PACKED = 3  # candles as Parquet take a third of their size in memory, or a little more
SPARE_BYTES = 65_536
COMMIT_ATTEMPTS = 20
COMMIT_SECONDS = 60.0
CONFIGURATION = {
    # A pinned version stays readable this long after it was overwritten and vacuumed.
    "delta.deletedFileRetentionDuration": "interval 30 days",
    "delta.logRetentionDuration": "interval 365 days",
}


class CommitConflictError(Exception):
    """Another writer committed the same series first; read again and retry."""


@contextmanager
def storage_errors(action: str, uri: str) -> Iterator[None]:
    """Turn what storage raises into one line, and a lost race into :class:`CommitConflictError`."""
    try:
        yield
    except CommitFailedError as error:
        raise CommitConflictError(str(error)) from error
    except (DeltaError, OSError, pl.exceptions.PolarsError) as error:
        raise lake_error(action, uri, error) from error


def until_committed(uri: str) -> Iterator[stamina.Attempt]:
    """Yield bounded attempts for a read-compute-commit cycle that may lose a race."""
    try:
        yield from stamina.retry_context(
            on=CommitConflictError,
            attempts=COMMIT_ATTEMPTS,
            timeout=COMMIT_SECONDS,
            wait_initial=0.01,
            wait_max=0.5,
            wait_jitter=0.1,
        )
    except CommitConflictError as error:
        raise LakeError(
            f"cannot write {uri}: other writers of the same symbol kept it busy "
            f"({COMMIT_ATTEMPTS} attempts); stop the second ingestion and run again"
        ) from error


def quoted(value: str) -> str:
    """Return ``value`` as an SQL literal."""
    return "'" + value.replace("'", "''") + "'"


def series_predicate(series: Series, alias: str = "") -> str:
    """Return the SQL condition that names one series (never by ``interval``, a keyword)."""
    dot = f"{alias}." if alias else ""
    return (
        f"{dot}{VENUE} = {quoted(series.venue)} AND {dot}{SYMBOL} = {quoted(series.symbol)} "
        f"AND {dot}{INTERVAL_MS} = {series.interval_ms}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaStore:
    """Where tables lie: a local folder or an object-store URL with its options."""

    root: str
    options: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, int] = field(default_factory=dict)  # pinned; others are read as they are

    def uri(self, name: str) -> str:
        """Return where table ``name`` lies."""
        return f"{self.root.rstrip('/')}/{name}"

    def open(self, name: str) -> DeltaTable | None:
        """Return the table, or None where it does not exist yet."""
        uri = self.uri(name)
        with storage_errors("read", uri):
            try:
                return DeltaTable(
                    uri, version=self.versions.get(name), storage_options=dict(self.options)
                )
            except TableNotFoundError:
                return None

    def open_or_create(self, name: str, schema: Mapping[str, pl.DataType]) -> DeltaTable:
        """Return the table, made empty first where it does not exist; safe against a race."""
        table = self.open(name)
        if table is not None:
            return table
        uri = self.uri(name)
        with storage_errors("create", uri):
            if "://" not in self.root:
                Path(uri).mkdir(parents=True, exist_ok=True)
            partitions = [c for c in (VENUE, SYMBOL, INTERVAL) if c in schema]
            DeltaTable.create(
                uri,
                schema=pl.DataFrame(schema=dict(schema)).to_arrow().schema,
                mode="ignore",
                partition_by=partitions if len(partitions) == 3 else partitions[:1],
                configuration=CONFIGURATION,
                storage_options=dict(self.options),
            )
            return DeltaTable(uri, storage_options=dict(self.options))

    def scan(self, name: str) -> pl.LazyFrame | None:
        """Return a lazy scan of the table (pinned version where one is), or None without table."""
        table = self.open(name)
        return None if table is None else pl.scan_delta(table)

    def append(self, table: DeltaTable, frame: pl.DataFrame, transaction_id: str) -> None:
        """Append rows; fails with a conflict if the series was committed since ``table``."""
        self._check_room(table, frame)
        with storage_errors("write", table.table_uri):
            write_deltalake(
                table,
                frame,
                mode="append",
                commit_properties=_transaction(table, transaction_id),
            )

    def merge(self, table: DeltaTable, frame: pl.DataFrame, series: Series, time: str) -> None:
        """Replace rows by key and insert the others, in one commit."""
        first, last = int(frame[time][0]), int(frame[time][-1])  # ascending
        predicate = (
            f"{series_predicate(series, 't')} AND t.{time} >= {first} AND t.{time} <= {last} "
            f"AND t.{time} = s.{time}"
        )
        self._check_room(table, frame)
        with storage_errors("write", table.table_uri):
            (
                table.merge(
                    frame,
                    predicate,
                    source_alias="s",
                    target_alias="t",
                    commit_properties=_transaction(table, series.name),
                )
                .when_matched_update_all()
                .when_not_matched_insert_all()
                .execute()
            )

    def replace(
        self, name: str, schema: Mapping[str, pl.DataType], series: Series, frame: pl.DataFrame
    ) -> None:
        """Let ``frame`` be all rows of the series in table ``name``, in one commit."""
        for attempt in until_committed(self.uri(name)):
            with attempt:
                table = self.open_or_create(name, schema)
                with storage_errors("write", table.table_uri):
                    write_deltalake(
                        table,
                        frame.select(pl.col(c).cast(t) for c, t in schema.items()),
                        mode="overwrite",
                        predicate=series_predicate(series),
                    )

    def _check_room(self, table: DeltaTable, frame: pl.DataFrame) -> None:
        """Refuse what cannot fit before the first byte: delta-rs would panic half-way."""
        if "://" in self.root:
            return
        free = shutil.disk_usage(self.root).free
        if free < frame.estimated_size() / PACKED + SPARE_BYTES:
            full = OSError(errno.ENOSPC, "No space left on device")
            raise lake_error("write", table.table_uri, full)

    def compact(self, name: str, files_max: int = 1) -> int:
        """Merge the small files of partitions above ``files_max`` files; return how many went."""
        compacted = 0
        for attempt in until_committed(self.uri(name)):
            with attempt:
                table = self.open(name)
                if table is None:
                    return 0
                counts: dict[tuple[str, ...], int] = {}
                for path in table.file_uris():
                    key = tuple(part for part in path.split("/") if "=" in part)
                    counts[key] = counts.get(key, 0) + 1
                if max(counts.values(), default=0) <= files_max:
                    return 0
                with storage_errors("compact", table.table_uri):
                    metrics = table.optimize.compact()
                compacted = int(metrics["numFilesRemoved"])
        return compacted

    def vacuum(self, name: str, retention_hours: int | None) -> int:
        """Delete files no version within the retention needs; return how many."""
        table = self.open(name)
        if table is None:
            return 0
        with storage_errors("vacuum", table.table_uri):
            # By position: the second says that files are deleted, not only listed.
            removed = table.vacuum(retention_hours, False, retention_hours is None)
        return len(removed)


def _transaction(table: DeltaTable, transaction_id: str) -> CommitProperties:
    """Return the commit properties that make a commit of one series compare-and-set."""
    number = (table.transaction_version(transaction_id) or 0) + 1
    return CommitProperties(app_transactions=[Transaction(transaction_id, number)])
