"""Runs a view of BigQuery in DuckDB: tables of given schemas with given rows, what the view shows of them, and the types.

stdin: {"view": SQL, "tables": {name: {"fields": [...], "rows": [...]}}}; stdout: {"columns": {name: type}, "rows": [...]}
"""

import json
import sys

import duckdb
import sqlglot
from sqlglot import exp

TYPES = {
    "STRING": "VARCHAR",
    "INTEGER": "BIGINT",
    "FLOAT": "DOUBLE",
    "BOOLEAN": "BOOLEAN",
    "DATE": "DATE",
    "TIMESTAMP": "TIMESTAMPTZ",
    "JSON": "JSON",
}


def typed(field):
    kind = TYPES.get(field["type"])
    if kind is None:
        kind = "STRUCT(%s)" % ", ".join(f'"{inner["name"]}" {typed(inner)}' for inner in field["fields"])
    return kind + "[]" if field.get("mode") == "REPEATED" else kind


def whole(value, field, is_one=False):
    """A value in which nothing is left out: DuckDB takes no struct that lacks a field."""
    if value is None:
        return None
    if field.get("mode") == "REPEATED" and not is_one:
        return [whole(one, field, is_one=True) for one in value]
    if field["type"] == "RECORD":
        return {inner["name"]: whole(value.get(inner["name"]), inner) for inner in field["fields"]}
    return value


def main():
    given = json.load(sys.stdin)
    database = duckdb.connect()
    for name, table in given["tables"].items():
        columns = ", ".join(f'"{field["name"]}" {typed(field)}' for field in table["fields"])
        database.execute(f'CREATE TABLE "{name}" ({columns})')
        for row in table["rows"]:
            fields = [field for field in table["fields"] if field["name"] in row]
            columns = ", ".join(f'"{field["name"]}"' for field in fields)
            # As text the JSON of a text would keep its quotes.
            is_nested = [field["type"] == "RECORD" for field in fields]
            values = ", ".join(
                f"CAST(CAST(? AS JSON) AS {typed(field)})" if nested else f"CAST(? AS {typed(field)})"
                for field, nested in zip(fields, is_nested)
            )
            arguments = [
                json.dumps(whole(row[field["name"]], field)) if nested else row[field["name"]]
                for field, nested in zip(fields, is_nested)
            ]
            database.execute(f'INSERT INTO "{name}" ({columns}) VALUES ({values})', arguments)
    view = sqlglot.parse_one(given["view"], read="bigquery")
    for table in view.find_all(exp.Table):
        table.replace(exp.to_table(table.sql(dialect="duckdb").replace('"', "").split(".")[-1]))
    query = view.expression.sql(dialect="duckdb")
    columns = {row[0]: row[1] for row in database.execute(f"DESCRIBE {query}").fetchall()}
    shown = database.execute(f"SELECT to_json(shown) FROM ({query}) AS shown").fetchall()
    json.dump({"columns": columns, "rows": [json.loads(row[0]) for row in shown]}, sys.stdout)


main()
