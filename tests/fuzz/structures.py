"""Changes of texts with a structure: JSON, JSON lines, YAML, CSV and lines of words."""

from __future__ import annotations

import csv
import functools
import io
import json
import random
import re
from collections.abc import Iterator
from typing import Any

from fuzz import tokens
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

_RAW = re.compile(r'"\\u0001(\d+)\\u0001"')
_NUMBER_KEY = re.compile(r'"(\d+)":')


def change_json(rng: random.Random, data: bytes) -> bytes:
    """Change one place of a JSON tree: its value, type, key or presence."""
    return _dump(_change_tree(rng, _parse_json(data))).encode()


def change_json_lines(rng: random.Random, data: bytes) -> bytes:
    """Change one place of one line, or the order and number of the lines."""
    lines = data.splitlines(keepends=True)
    if not lines:
        raise ValueError("no line")
    row = rng.randrange(len(lines))
    match rng.randrange(6):
        case 0:
            lines.insert(rng.randrange(len(lines) + 1), lines[row])
        case 1:
            del lines[row]
        case _:
            lines[row] = change_json(rng, lines[row]) + b"\n"
    return b"".join(lines)


def change_yaml(rng: random.Random, data: bytes) -> bytes:
    """Change one place of a YAML tree, which is then in flow style, or one line of the text."""
    if rng.random() < 0.5:
        text = _dump(_change_tree(rng, json.loads(_yaml_to_json(data))))
        return _NUMBER_KEY.sub(r"\1:", text).encode()
    lines = data.decode("utf-8", "replace").splitlines()
    row = rng.randrange(len(lines) or 1)
    if not lines:
        raise ValueError("no line")
    line = lines[row]
    key, separator, value = line.partition(": ")
    token = rng.choice(tokens.TEXTS + tokens.YAML_TEXTS)
    match rng.randrange(6):
        case 0:
            lines[row : row + 1] = [line, line]
        case 1:
            del lines[row]
        case 2:
            lines[row] = " " * rng.randrange(8) + line.lstrip()
        case 3:
            lines[row] = f"{token}{separator}{value}"
        case _:
            lines[row] = f"{key}: {token}"
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass")


def change_csv(rng: random.Random, data: bytes) -> bytes:
    """Change a cell, a row, a column or the dialect of a table."""
    rows = list(csv.reader(io.StringIO(data.decode("utf-8", "replace"), newline="")))
    rows = [row for row in rows if row]
    if not rows:
        raise ValueError("no row")
    row, column = rng.randrange(len(rows)), rng.randrange(min(map(len, rows)))
    separator = ","
    match rng.randrange(12):
        case 0:
            rows.insert(rng.randrange(len(rows) + 1), rows[row])
        case 1:
            del rows[row]
        case 2:
            rows = [cells[:column] + cells[column + 1 :] for cells in rows]
        case 3:
            rows = [[*cells, cells[column]] for cells in rows]
        case 4:
            rows[row] = rows[row][:column]
        case 5:
            rows[row] = rows[row] + rows[row]
        case 6:
            separator = rng.choice((";", "\t", "|", " "))
        case 7:
            rows[row][column] = rows[rng.randrange(len(rows))][column]
        case _:
            rows[row][column] = rng.choice(tokens.TEXTS)
    text = io.StringIO()
    quoting = rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONE))
    line_end = rng.choice(("\n", "\n", "\r\n", "\r"))
    writer = csv.writer(text, delimiter=separator, quoting=quoting, escapechar="\\", lineterminator=line_end)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "surrogatepass")


def change_text(rng: random.Random, data: bytes) -> bytes:
    """Replace, insert, repeat or remove a word, or a part between punctuation."""
    parts = re.split(r"([\s:/@|=?&;,]+)", data.decode("utf-8", "replace"))
    position = rng.randrange(len(parts))
    match rng.randrange(5):
        case 0:
            parts.insert(position, parts[rng.randrange(len(parts))])
        case 1:
            del parts[position]
        case 2:
            parts[position] *= rng.choice((2, 3, 2000))
        case _:
            parts[position] = rng.choice(tokens.TEXTS)
    return "".join(parts).encode("utf-8", "surrogatepass")


def _parse_json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


@functools.lru_cache(maxsize=16)
def _yaml_to_json(data: bytes) -> str:
    """Return YAML as JSON; a text that is no JSON if it has no such form. Parsing is slow, so examples are kept."""
    try:
        return json.dumps(YAML(typ="safe", pure=True).load(data.decode("utf-8", "replace")))
    except (YAMLError, TypeError, ValueError, RecursionError):
        return "no tree"


def _dump(tree: Any) -> str:
    """Return the tree as JSON, with the raw tokens in place of their marks."""
    try:
        return _RAW.sub(lambda match: tokens.RAW_JSON[int(match[1])], json.dumps(tree))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _change_tree(rng: random.Random, tree: Any) -> Any:
    root = [tree]
    places = list(_list_places(root))
    parent, key = rng.choice(places)
    value = parent[key]
    match rng.randrange(10):
        case 0 if parent is not root:
            del parent[key]
        case 1 if isinstance(parent, list) and parent is not root:
            parent.extend([value] * rng.choice((1, 1, 2, 300)))
        case 1 if isinstance(parent, dict):
            parent[rng.choice(tokens.TEXTS[:60])] = value
        case 2 if isinstance(parent, dict):
            parent[rng.choice(tokens.TEXTS)] = parent.pop(key)
        case 3:
            other_parent, other_key = rng.choice(places)
            parent[key] = json.loads(json.dumps(other_parent[other_key]))
        case 4:
            parent[key] = [value] if rng.random() < 0.5 else {"x": value}
        case 5 if isinstance(value, int | float) and not isinstance(value, bool):
            parent[key] = rng.choice((-value, value + 1, value - 1, value * 1000, value / 3, str(value), int(value)))
        case 5 | 6:
            parent[key] = f"\x01{rng.randrange(len(tokens.RAW_JSON))}\x01"
        case 7:
            parent[key] = rng.choice(tokens.TEXTS)
        case _:
            parent[key] = rng.choice(tokens.VALUES)
    return root[0]


def _list_places(root: list[Any]) -> Iterator[tuple[Any, Any]]:
    """Every container of the tree with each of its keys or positions."""
    containers: list[Any] = [root]
    while containers:
        container = containers.pop()
        for key in list(container) if isinstance(container, dict) else range(len(container)):
            yield container, key
            if isinstance(container[key], dict | list):
                containers.append(container[key])
