"""parquet files: the schema and the declared size are checked before the rows are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from synthcxr.errors import DataError
from synthcxr.storage import guarded_files
from synthcxr.storage.guarded_files import ErrorType, RefusedContentError

ColumnType = Literal["text", "integer", "number"]
MAX_BYTES, MAX_ROWS = 2**30, 20_000_000
_MAX_METADATA_BYTES = 64 * guarded_files.MIB


def read_table(
    path: Path,
    columns: Mapping[str, ColumnType],
    *,
    optional: Mapping[str, ColumnType] | None = None,
    error: ErrorType = DataError,
    advice: str = "",
) -> pd.DataFrame:
    """Read the given columns, and those of the `optional` ones that the file has. Text and integers have no gaps.

    `error` where the file is absent, damaged or too large, or lacks a column or has another type of it.
    """
    with guarded_files.report_failure(path, "parquet", error=error, advice=advice):
        guarded_files.require_regular(path, MAX_BYTES)
        with pq.ParquetFile(
            path,
            thrift_string_size_limit=_MAX_METADATA_BYTES,
            thrift_container_size_limit=MAX_ROWS,
        ) as file:
            _require_size(file.metadata)
            names = set(file.schema_arrow.names)
            columns = {**columns, **{name: kind for name, kind in (optional or {}).items() if name in names}}
            _require_schema(file.schema_arrow, columns)
            n_rows = file.metadata.num_rows
        table = pd.read_parquet(path, columns=list(columns))
        _require_columns(table.columns, columns)  # damaged pandas metadata rename columns
        if len(table) != n_rows:
            raise RefusedContentError(f"declares {n_rows:,} rows, but has {len(table):,}")
        for name, kind in columns.items():
            if kind != "number" and table[name].isna().any():
                raise RefusedContentError(f"column {name} has missing values")
        return table


def _require_size(metadata: pq.FileMetaData) -> None:
    n_bytes = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
    if not 0 <= metadata.num_rows <= MAX_ROWS or not 0 <= n_bytes <= MAX_BYTES:
        raise RefusedContentError(
            f"declares {metadata.num_rows:,} rows of {n_bytes:,} bytes, more than {MAX_ROWS:,} or {MAX_BYTES:,}"
        )


def _require_columns(names: Iterable[str], columns: Mapping[str, ColumnType]) -> None:
    missing = columns.keys() - set(names)
    if missing:
        raise RefusedContentError(f"columns missing: {', '.join(name for name in columns if name in missing)}")


def _require_schema(schema: pa.Schema, columns: Mapping[str, ColumnType]) -> None:
    _require_columns(schema.names, columns)
    for name, kind in columns.items():
        stored = schema.field(name).type
        fits = {
            "text": pa.types.is_string(stored) or pa.types.is_large_string(stored),
            "integer": pa.types.is_integer(stored),
            "number": pa.types.is_floating(stored) or pa.types.is_integer(stored),
        }
        if not fits[kind]:
            raise RefusedContentError(f"column {name} holds {stored}, expected {kind}")
