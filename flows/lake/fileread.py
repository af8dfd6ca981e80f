"""One file of market data as rows of the lake.

Decides which columns of a foreign file mean what and in which unit its stamps are. Never guesses a
time zone: a stamp without one is refused unless the caller says that it is UTC. Rule: everything
that is wrong is one line that names the file and what to do; nothing is stored here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from features.errors import InputError
from features.intervals import INTERVALS_MS
from features.suggest import unknown_name
from flows.lake.filenames import Kind
from flows.lake.rows import ascends
from flows.lake.tables import CANDLES, FUNDING, MARK, TableSpec

SPECS: dict[Kind, TableSpec] = {"candles": CANDLES, "mark": MARK, "funding": FUNDING}
# Names by which files call our columns, without case, blanks and underscores.
NAMES: dict[str, tuple[str, ...]] = {
    "time": (
        "openms", "timems", "timestamp", "opentime", "time", "date", "datetime", "ts", "unix",
        "timestampms", "starttime", "start", "calctime", "fundingtime", "fundingratetimestamp",
    ),
    "open": ("open", "o"),
    "high": ("high", "h"),
    "low": ("low", "l"),
    "close": ("close", "c"),
    "volume": ("volume", "v", "vol", "basevolume", "volumebase"),
    "rate": ("rate", "fundingrate", "lastfundingrate", "open"),
}  # fmt: skip
# Largest stamp of each unit that means a year before 2200, and what makes milliseconds of it.
UNITS = ((7.3e9, 1000.0), (7.3e12, 1.0), (7.3e15, 1e-3), (7.3e18, 1e-6))
SAME_STEP_RUN = 8  # as many equal steps in a row are another interval, not outages
ZONED = r"(Z|[+-]\d{2}:?\d{2})$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How files are read: names of columns that are called otherwise, and what naive stamps mean.

    ``columns`` maps time, open, high, low, close, volume or rate to a column of the file.
    ``naive_is_utc`` also vouches for a file whose gaps look like a clock going forward.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    naive_is_utc: bool = False
    now_ms: int | None = None  # no stamp may lie after it; None: not asked


def read_rows(path: Path, kind: Kind, reading: Reading) -> pl.DataFrame:
    """Return the rows of one file with the columns of its table, stamps in UTC milliseconds.

    Raises
    ------
    InputError
        Where the file cannot be read, lacks a column, or its stamps have no time zone.
    """
    return _read(path, SPECS[kind], reading, SPECS[kind].values)


def read_times(path: Path, kind: Kind, reading: Reading) -> pl.Series:
    """Return the stamps of one file in UTC milliseconds, its other columns checked.

    A column that holds numbers by its type is not read; one of texts is.
    """
    spec = SPECS[kind]
    schema = _open(path).collect_schema()
    read = [
        name
        for name in spec.values
        if not schema[_column(path, schema.names(), name, reading)].is_numeric()
        or not path.name.endswith((".parquet", ".feather"))
    ]
    return _read(path, spec, reading, tuple(read))[spec.time]


def read_closes(path: Path, kind: Kind, reading: Reading) -> pl.DataFrame:
    """Return stamps and closes of a file of candles or mark prices, ascending."""
    spec = SPECS[kind]
    return _read(path, spec, reading, ("close",)).unique(spec.time, keep="last").sort(spec.time)


def _read(path: Path, spec: TableSpec, reading: Reading, names: tuple[str, ...]) -> pl.DataFrame:
    lazy = _open(path)
    present = lazy.collect_schema().names()
    chosen = {name: _column(path, present, name, reading) for name in ("time", *names)}
    try:
        frame = lazy.select(pl.col(column).alias(name) for name, column in chosen.items()).collect()
        values = frame.select(pl.col(name).cast(pl.Float64) for name in names)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{path.name}: {_line(error)}") from error
    times = _milliseconds(path, frame["time"], reading).rename(spec.time)
    return pl.DataFrame([times, *values.get_columns()])


def check_interval(path: Path, times_ms: pl.Series, interval: str) -> None:
    """Refuse stamps that are not bars of ``interval``: another interval, mixed, off the grid."""
    step_ms = INTERVALS_MS[interval]
    times = times_ms if ascends(times_ms) else times_ms.unique().sort()
    steps = times.diff().drop_nulls()
    if steps.is_empty():
        return
    usual = int(steps.mode().sort()[0])
    if usual != step_ms:
        names = {length: name for name, length in INTERVALS_MS.items()}
        found = names.get(usual, f"{usual} ms")
        raise InputError(f"{path.name}: the name says {interval}, the bars are {found} apart")
    other = steps.filter(steps != step_ms)
    off = other.filter(other % step_ms != 0)
    if not off.is_empty():
        raise InputError(
            f"{path.name}: mixed intervals: {off.len()} steps are no multiple of {interval}"
        )
    if int(times[0]) % step_ms:
        raise InputError(
            f"{path.name}: stamps are not on the {interval} grid in UTC (first {times[0]}); they "
            "must be each bar's open: local time, or the close?"
        )
    runs = (
        pl.DataFrame({"step": steps})
        .group_by(run=pl.col("step").rle_id())
        .agg(pl.col("step").first(), pl.len())
    )
    foreign = runs.filter((pl.col("step") != step_ms) & (pl.col("len") >= SAME_STEP_RUN))
    if not foreign.is_empty():
        raise InputError(
            f"{path.name}: mixed intervals: {foreign['len'][0]} bars in a row are "
            f"{foreign['step'][0] // 60_000} minutes apart in a file of {interval}"
        )


def _open(path: Path) -> pl.LazyFrame:
    try:
        if path.name.endswith(".parquet"):
            lazy = pl.scan_parquet(path)
        elif path.name.endswith(".feather"):
            lazy = pl.scan_ipc(path)
        else:
            lazy = _open_csv(path)
        lazy.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{path.name}: cannot be read: {_line(error)}") from error
    return lazy


def _open_csv(path: Path) -> pl.LazyFrame:
    """Open a CSV file; without a header line the columns are those of Binance's archive."""
    head = pl.read_csv(path, has_header=False, n_rows=1, infer_schema=False)
    if head.is_empty() or re.fullmatch(r"[\d.eE+-]+", str(head.row(0)[0])) is None:
        return pl.scan_csv(path, infer_schema_length=10_000)
    names = ["open_time", "open", "high", "low", "close", "volume"]
    lazy = pl.scan_csv(path, has_header=False, infer_schema_length=10_000)
    columns = lazy.collect_schema().names()
    return lazy.rename(dict(zip(columns, names, strict=False)))


def _column(path: Path, present: list[str], name: str, reading: Reading) -> str:
    """Return the file's column that means ``name``."""
    if name in reading.columns:
        column = reading.columns[name]
        if column not in present:
            raise InputError(f"{path.name}: {unknown_name('column', column, present)}")
        return column
    plain = {re.sub(r"[\s_]", "", column).lower(): column for column in reversed(present)}
    for known in NAMES[name]:
        if known in plain:
            return plain[known]
    raise InputError(
        f"{path.name}: no column for {name}; it has {', '.join(present)} "
        f"(name it: --columns {name}=COLUMN)"
    )


def _milliseconds(path: Path, times: pl.Series, reading: Reading) -> pl.Series:
    """Return stamps as UTC milliseconds."""
    if times.null_count():
        raise InputError(f"{path.name}: {times.null_count()} rows have no time")
    if times.dtype == pl.String:
        times = _parsed(path, times, reading)
    elif isinstance(times.dtype, pl.Datetime):
        if times.dtype.time_zone is None and not reading.naive_is_utc:
            raise InputError(_naive(path))
        times = times.dt.replace_time_zone(None) if times.dtype.time_zone is None else times
        times = times.dt.epoch("ms")
    elif times.dtype == pl.Date:
        times = times.cast(pl.Datetime("ms")).dt.epoch("ms")
    elif times.dtype.is_numeric():
        largest = float(times.cast(pl.Float64).abs().to_numpy().max(initial=0.0))
        factor = next((f for bound, f in UNITS if largest < bound), 0.0)
        if factor == 0.0:
            raise InputError(f"{path.name}: {largest:.0f} is no time in s, ms, µs or ns")
        if factor >= 1.0:
            times = (times * factor).cast(pl.Int64)
        else:
            times = times.cast(pl.Int64) // round(1 / factor)
    else:
        raise InputError(f"{path.name}: a column of {times.dtype} is no time")
    return times.cast(pl.Int64)


def _parsed(path: Path, times: pl.Series, reading: Reading) -> pl.Series:
    """Return the milliseconds that texts mean; every text has a zone, or none has."""
    zoned = times.str.contains(ZONED)
    if not zoned.all() and not reading.naive_is_utc:
        raise InputError(_naive(path))
    complete = times + pl.select(pl.when(zoned).then(pl.lit("")).otherwise(pl.lit("Z"))).to_series()
    try:
        parsed = complete.str.replace(" ", "T", literal=True).str.to_datetime(
            time_unit="ms", time_zone="UTC", strict=True
        )
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path.name}: a time cannot be read: {_line(error)}") from error
    return parsed.dt.epoch("ms")


def _naive(path: Path) -> str:
    return (
        f"{path.name}: stamps without a time zone may be local time; say --naive-is-utc if they "
        "are UTC"
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
