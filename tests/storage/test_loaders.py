"""The loaders: whatever is in place of a file, reading it ends in its content or in one error that names the file."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper

from synthcxr.errors import ArtifactError, DataError, SynthCXRError
from synthcxr.networks import safetensors_files, torch_files
from synthcxr.storage import (
    csv_files,
    guarded_files,
    json_files,
    numpy_files,
    onnx_files,
    parquet_files,
    tar_files,
    yaml_files,
)
from synthcxr.storage.numpy_files import ArrayType

FLOATS = ArrayType("f", (None, 3))
LOADERS: dict[str, Callable[[Path], object]] = {
    "text": guarded_files.read_text,
    "json": json_files.read_json,
    "yaml": yaml_files.read_yaml,
    "csv rows": lambda path: csv_files.read_rows(path, ["a"]),
    "csv table": lambda path: csv_files.read_table(path, columns=["a"]),
    "parquet": lambda path: parquet_files.read_table(path, {"a": "text"}),
    "npy": lambda path: numpy_files.read_npy(path, FLOATS),
    "npz": lambda path: numpy_files.read_npz(path, {"a": FLOATS}),
    "mapped npz": numpy_files.map_npz,
    "onnx": onnx_files.read_model,
    "safetensors": safetensors_files.load,
    "torch": lambda path: torch_files.read_state_dict(path, advice="download it again"),
}


def expect_one_line(load: Callable[[Path], object], path: Path, message: str = ".") -> None:
    """Loading raises one of our errors, of one line, that names the file."""
    with pytest.raises(SynthCXRError, match=message) as error_info:
        load(path)
    assert str(path) in str(error_info.value)
    assert "\n" not in str(error_info.value)


@pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS)
def test_what_is_not_a_regular_file_is_refused(tmp_path: Path, load: Callable[[Path], object]) -> None:
    """An absent file, a folder, a named pipe without writer and an endless device end at once."""
    expect_one_line(load, tmp_path / "absent", "no such file")
    expect_one_line(load, tmp_path, "is a folder")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        expect_one_line(load, tmp_path / "pipe", "pipe or a device")
    if Path("/dev/zero").exists():
        expect_one_line(load, Path("/dev/zero"), "pipe or a device")


@pytest.mark.parametrize("content", [b"", b"\0" * 64, b"\xff\xfe\x00", b"PK\x03\x04", b"\x93NUMPY", b"PAR1PAR1"])
@pytest.mark.parametrize("load", [load for name, load in LOADERS.items() if name not in {"text", "yaml"}])
def test_other_content_is_refused(tmp_path: Path, load: Callable[[Path], object], content: bytes) -> None:
    """An empty file, noise, and the start of another format are errors that name the file."""
    (tmp_path / "file").write_bytes(content)
    expect_one_line(load, tmp_path / "file")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested deeper"),
        ("[" * 500 + "]" * 500, "nested deeper"),
        ('{"a": ' * 70 + "1" + "}" * 70, "nested deeper"),
        ("NaN", "NaN"),
        ('{"a": [-Infinity]}', "-Infinity"),
        ("1e999", "not finite"),
        ("9" * 5000, "x.json"),
        ("9" * 400, "64 bits"),
        (r'"\ud800"', "not text"),
        (r'{"\u0000": 1}', "not text"),
        ("{", "not readable as JSON"),
    ],
)
def test_json_beyond_what_is_written_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """Depth, constants, huge numbers and characters that no UTF-8 file can hold are refused."""
    (tmp_path / "x.json").write_text(text, encoding="utf-8")
    expect_one_line(json_files.read_json, tmp_path / "x.json", message)


def test_json_with_duplicate_keys_and_large_seeds_is_read() -> None:
    """The last of equal keys counts, as in every JSON reader; integers of 64 bits are exact."""
    assert json_files.parse_json('{"a": 1, "a": 18446744073709551615}', "x") == {"a": 2**64 - 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x: " + "[" * 5000, "nested deeper"),
        ("x: &x [*x]", "contains itself"),
        ("a: &a [1, 1]\nb: &b [*a, *a]\n" + "".join(f"c{i}: &c{i} [*b, *b]\n" for i in range(3)), ""),
        (
            "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
            + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9)),
            "more than",
        ),
        ("a: !!python/object/apply:os.system [id]", "not readable as YAML"),
        ("a: 1\n--- \nb: 2", "not readable as YAML"),
        ("a: !!bool x", "not readable as YAML"),
        (f"a: {'9' * 5000}", "x.yaml"),
    ],
)
def test_yaml_bombs_are_refused(tmp_path: Path, text: str, message: str) -> None:
    """Nesting, aliases that multiply or contain themselves, foreign tags and several documents are refused."""
    (tmp_path / "x.yaml").write_text(text, encoding="utf-8")
    if not message:  # a few aliases are fine
        assert yaml_files.read_yaml(tmp_path / "x.yaml")["c2"] == [[[1, 1], [1, 1]]] * 2
        return
    expect_one_line(yaml_files.read_yaml, tmp_path / "x.yaml", message)


@pytest.mark.parametrize(
    "text",
    ["a,b\n1\n", "a,b\n1,2,3\n", "a,a\n1,2\n", "b\n1\n", 'a\n"1\n', "a\n1\0\n", "a\n" + "1" * 2**21, "a\n\ud800"],
)
def test_a_table_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    """Rows of another length, columns twice or absent, open quotes, NUL, long lines and other encodings are refused."""
    (tmp_path / "x.csv").write_bytes(text.encode("utf-8", "surrogatepass"))
    expect_one_line(lambda path: csv_files.read_rows(path, ["a"]), tmp_path / "x.csv")


def test_a_compressed_table_that_never_ends_a_line_is_refused(tmp_path: Path) -> None:
    """A small file that expands to one long line is refused after one MiB of it."""
    import gzip

    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(b"0" * 50_000_000))
    expect_one_line(lambda file: csv_files.read_rows(file, ["a"]), path, "has a line above")


def test_rows_are_read_by_column(tmp_path: Path) -> None:
    """A byte order mark, quotes and blank lines are as spreadsheets write them."""
    (tmp_path / "x.csv").write_bytes('\ufeffa,b\r\n"1,5",2\r\n\r\n'.encode())
    assert csv_files.read_rows(tmp_path / "x.csv", ["a"]) == [{"a": "1,5", "b": "2"}]


def write_npy_header(shape: tuple[int, ...], descr: str = "<f8", *, n_bytes: int = 0) -> bytes:
    """An npy file of a header, which may lie, and `n_bytes` of data."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue() + bytes(n_bytes)


@pytest.mark.parametrize(
    "content",
    [
        write_npy_header((10**12, 3)),
        write_npy_header((10**300, 3)),
        write_npy_header((-1, 3), n_bytes=8),
        write_npy_header((2, 3), n_bytes=47),
        write_npy_header((2, 3), "|O", n_bytes=48),
        write_npy_header((2, 4), n_bytes=64),
        write_npy_header((2, 3), "<i8", n_bytes=48),
        write_npy_header((2, 3), n_bytes=40) + np.float64(np.nan).tobytes(),
    ],
)
def test_an_array_that_is_not_as_expected_is_refused(tmp_path: Path, content: bytes) -> None:
    """A header that declares more than the file has, objects, and another type or shape are refused, also in npz."""
    (tmp_path / "x.npy").write_bytes(content)
    expect_one_line(lambda path: numpy_files.read_npy(path, FLOATS), tmp_path / "x.npy")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("a.npy", content)
    expect_one_line(lambda path: numpy_files.read_npz(path, {"a": FLOATS}), tmp_path / "x.npz")


def test_the_expected_arrays_of_an_archive_are_read(tmp_path: Path) -> None:
    """Extra members are not read, whatever they hold; an absent array is named."""
    np.savez(tmp_path / "x.npz", a=np.ones((2, 3)), b=np.array(["text"]))
    with zipfile.ZipFile(tmp_path / "x.npz", "a") as archive:
        archive.writestr("readme.txt", "not an array")
    assert set(numpy_files.read_npz(tmp_path / "x.npz", {"a": FLOATS})) == {"a"}
    expect_one_line(lambda path: numpy_files.read_npz(path, {"c": FLOATS}), tmp_path / "x.npz", "lacks the arrays c")


def test_a_zip_bomb_is_refused(tmp_path: Path) -> None:
    """A member that expands to more than its header needs is refused before it is expanded."""
    with (
        zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.npy", "w") as member,
    ):
        member.write(write_npy_header((2, 3)))
        for _ in range(64):
            member.write(bytes(2**20))
    expect_one_line(lambda path: numpy_files.read_npz(path, {"a": FLOATS}), tmp_path / "x.npz", "declares 48 bytes")


def test_arrays_round_trip(tmp_path: Path) -> None:
    """Arrays are read as they were written: mapped, in Fortran order, and empty."""
    values = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    np.save(tmp_path / "x.npy", values)
    for memory_map in (False, True):
        assert np.array_equal(numpy_files.read_npy(tmp_path / "x.npy", FLOATS, memory_map=memory_map), values)
    np.save(tmp_path / "empty.npy", values[:0])
    assert numpy_files.read_npy(tmp_path / "empty.npy", FLOATS, memory_map=True).shape == (0, 3)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pd.DataFrame({"b": ["x"]}), "columns missing: a"),
        (pd.DataFrame({"a": [1.5]}), "expected text"),
        (pd.DataFrame({"a": ["x", None]}), "missing values"),
    ],
)
def test_a_parquet_table_of_another_schema_is_refused(tmp_path: Path, table: pd.DataFrame, message: str) -> None:
    """Absent columns, other types and missing text are named."""
    table.to_parquet(tmp_path / "x.parquet")
    expect_one_line(LOADERS["parquet"], tmp_path / "x.parquet", message)


def test_pandas_metadata_that_rename_a_column_are_refused(tmp_path: Path) -> None:
    """The schema has the column, but pandas reads it as an index."""
    pd.DataFrame({"a": ["x"], "b": [1]}).set_index("a").to_parquet(tmp_path / "x.parquet")
    expect_one_line(LOADERS["parquet"], tmp_path / "x.parquet", "columns missing: a")


def test_flipped_bytes_of_parquet_are_one_line_or_the_table(tmp_path: Path) -> None:
    """Wherever a byte differs, reading ends in a table or in one of our errors."""
    path = tmp_path / "x.parquet"
    pd.DataFrame({"a": ["x", "yy"] * 50}).to_parquet(path)
    content = path.read_bytes()
    for position in range(0, len(content), 3):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0xFF]) + content[position + 1 :])
        try:
            LOADERS["parquet"](path)
        except DataError as error:
            assert str(path) in str(error)


def test_only_regular_members_of_a_tar_file_are_indexed(tmp_path: Path) -> None:
    """Links and devices are left out, and a size that is cut off or leads backwards ends the index."""
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as tar:
        for name, kind in (("a", tarfile.REGTYPE), ("link", tarfile.SYMTYPE), ("b", tarfile.REGTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, "/etc/passwd", 4 if kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(b"data"))
    content = path.read_bytes()
    with path.open("rb") as file:
        index = tar_files.index_members(file, path)
    assert {name: content[offset : offset + size] for name, (offset, size) in index.items()} == dict.fromkeys(
        "ab", b"data"
    )
    for size in (-4, -512, 2**40):
        last = tarfile.TarInfo("b")
        last.size = size
        path.write_bytes(content[: content.index(b"b\0\0")] + last.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
        with path.open("rb") as file:
            assert set(tar_files.index_members(file, path)) == {"a"}


def build_model(*, external: str = "", in_branch: bool = False) -> bytes:
    """An ONNX file whose weight is in the file or in an `external` one, at the top or in a branch of an If."""
    weight = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    if external:
        weight.ClearField("float_data")
        weight.data_location = TensorProto.EXTERNAL
        weight.external_data.add(key="location", value=external)
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    constant = helper.make_node("Constant", [], ["y"], value=weight)
    branch = helper.make_graph([constant], "branch", [], [out])
    condition = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    graph = helper.make_graph([node] if in_branch else [constant], "graph", [condition] if in_branch else [], [out])
    return helper.make_model(graph).SerializeToString()


@pytest.mark.parametrize("in_branch", [False, True])
@pytest.mark.parametrize("external", ["../../secret.bin", "/etc/passwd", "weights.bin"])
def test_weights_in_other_files_are_refused(tmp_path: Path, external: str, in_branch: bool) -> None:
    """An ONNX file names no other file, at any depth of its graph."""
    path = tmp_path / "x.onnx"
    path.write_bytes(build_model(in_branch=in_branch))
    assert isinstance(onnx_files.read_model(path), onnx.ModelProto)
    path.write_bytes(build_model(external=external, in_branch=in_branch))
    expect_one_line(onnx_files.read_model, path, "in another file")


def test_a_long_safetensors_header_is_refused(tmp_path: Path) -> None:
    """A header that declares more than 16 MiB is refused before it is read."""
    (tmp_path / "x").write_bytes((2**40).to_bytes(8, "little") + b"{}")
    expect_one_line(safetensors_files.load, tmp_path / "x", "not a safetensors file")


def test_an_error_has_the_type_and_the_advice_of_its_caller(tmp_path: Path) -> None:
    """The caller chooses the error and says what to do."""
    with pytest.raises(ArtifactError, match=r"x\.json: no such file; export the models again$"):
        json_files.read_json(tmp_path / "x.json", error=ArtifactError, advice="export the models again")
