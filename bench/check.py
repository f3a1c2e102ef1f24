"""Holds a Delta table against what was answered to each event, and against the collector's own counts.

An independent reader: deltalake and DuckDB from PyPI, nothing of the collector. An event is known by its number: the
number says which body of bodies.jsonl and which browser of browsers.jsonl was sent, so every row can be checked whole.
Prints one line a check and exits with 1 if one failed. With `--self-test` it checks itself on tables that it breaks.
"""

import argparse
import json
import os
import re
import sys
import tempfile

import duckdb
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

HERE = os.path.dirname(os.path.abspath(__file__))
ACCEPTED, REFUSED, UNKNOWN = 1, 2, 3
CHECK_KEYS = ("check_number", "check_text")
STRINGS = ("item_id", "item_name", "item_brand", "item_category", "item_variant", "item_list_id", "item_list_name", "coupon")
SCRAMBLED = "((number * 7919 + 104729) % 1000000000000000)"


def lines(name):
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def value(con, query):
    return con.execute(query).fetchall()[0][0]


class Checks:
    """Counts what passed and notes what failed."""

    def __init__(self):
        self.passed, self.failed = 0, []

    def that(self, is_right, what, detail=""):
        if is_right:
            self.passed += 1
        else:
            self.failed.append(what)
        print(f"{'ok  ' if is_right else 'FAIL'} {what}{': ' if detail != '' else ''}{detail}")

    def none(self, con, what, query):
        """Passes if the query finds nothing; shows a few of what it finds."""
        found = con.execute(f"select * from ({query}) limit 5").fetchall()
        count = value(con, f"select count(*) from ({query})") if found else 0
        self.that(not found, what, f"{count}, such as {found}" if found else "")


def load(con, options, bodies):
    """Tables `rows` (one a row of the Delta table), `answers` (one a number) and `probes`."""
    keys = sorted({p["key"] for body in bodies for p in body["event_params"]} - set(CHECK_KEYS))
    con.register("events", DeltaTable(options.table).to_pyarrow_dataset())
    con.execute(
        f"""create table rows as
        with named as (
            select *, try_cast(regexp_extract(event_id, '^{options.run}_([0-9]{{12}})$', 1) as bigint) as number from events
        )
        select event_id, number, user_pseudo_id,
            list_filter(event_params, lambda p: p.key = 'check_number')[1].value.int_value as check_number,
            list_filter(event_params, lambda p: p.key = 'check_text')[1].value.string_value as check_text,
            collector.user_agent as user_agent,
            hash(event_name, stream_id, user_id, items, ecommerce, privacy_info,
                list_filter(event_params, lambda p: list_contains({keys}, p.key)),
                list_transform(user_properties, lambda p: [p.key, p.value.string_value, p.value.int_value::varchar])) as rest
        from named"""
    )
    with open(options.oracle, "rb") as file:
        data = file.read()
    records = pa.Array.from_buffers(pa.uint64(), len(data) // 8, [None, pa.py_buffer(data)])
    con.register("records", pa.table({"record": records}))
    con.execute(
        """create table answers as
        select (record >> 8)::bigint as number,
            bool_or((record & 255) = 1) as is_accepted, bool_or((record & 255) <> 2) as may_be_stored, count(*) as times
        from records group by 1"""
    )
    probes = []
    if options.probes:
        with open(options.probes, encoding="utf-8") as file:
            probes = file.read().split()
    con.register("probes", pa.table({"event_id": pa.array(probes, pa.string())}))


def check_ids(con, checks, options):
    stored, accepted = (value(con, q) for q in ("select count(*) from rows", "select count(*) from answers where is_accepted"))
    print(f"     {stored} rows, {accepted} numbered events accepted")
    checks.none(con, "every accepted event is stored", "select number from answers where is_accepted except select number from rows")
    checks.none(con, "every accepted probe is stored", "select event_id from probes except select event_id from rows")
    checks.none(con, "no event is stored twice", "select event_id, count(*) as times from rows group by 1 having times > 1")
    checks.none(
        con,
        "nothing is stored that was never sent",
        f"""select event_id from rows where event_id is null or (number is null and event_id not in (select event_id from probes))
        or number >= {options.numbers} or (number is not null and number not in (select number from answers))""",
    )
    late = metric(options, "events_late_total") or 0
    refused = value(con, "select count(*) from rows join answers using (number) where not may_be_stored")
    checks.that(refused <= late, "refused events are not stored, but those counted late", f"{refused} stored, {late:.0f} late")
    if options.all_accepted:
        checks.none(con, "every event sent was accepted in the end", "select number from answers where not is_accepted")
        sent = value(con, "select count(*) from answers")
        checks.that(sent == options.numbers, "every event has an answer", f"{sent} of {options.numbers}")


def check_payloads(con, checks, bodies, browsers):
    checks.none(
        con,
        "check_number and check_text are those of the id",
        f"""select event_id, check_number, check_text from rows where number is not null
        and (check_number is distinct from 1000000000000 + number or check_text is distinct from 'c' || lpad({SCRAMBLED}::varchar, 15, '0'))""",
    )
    checks.none(
        con,
        "user_pseudo_id is the cookie's",
        f"""select event_id, user_pseudo_id from rows where number is not null
        and user_pseudo_id is distinct from '00000000-0000-4000-8000-000' || lpad(({SCRAMBLED} % 200000)::varchar, 9, '0')""",
    )
    checks.none(
        con,
        "all rows of one body are equal in all that the body says",
        f"select number % {len(bodies)} as body, count(distinct rest) as different from rows where number is not null group by 1 having different > 1",
    )
    con.register("agents", pa.table({"browser": list(range(len(browsers))), "sent": [b["user-agent"] for b in browsers]}))
    checks.none(
        con,
        "user_agent is the browser's",
        f"""select event_id, user_agent from rows join agents on browser = (number // {len(bodies)}) % {len(browsers)}
        where user_agent is distinct from sent""",
    )
    ids = con.execute(f"select number % {len(bodies)}, any_value(event_id) from rows where number is not null group by 1").fetchall()
    wanted = dict(ids)
    con.register("wanted", pa.table({"event_id": pa.array(list(wanted.values()), pa.string())}))
    names = ("event_id", "event_name", "stream_id", "user_id", "event_params", "user_properties", "items", "ecommerce", "privacy_info")
    result = con.execute(f"select {', '.join(names)} from events where event_id in (select event_id from wanted)")
    by_id = {}
    for values in result.fetchall():
        row = dict(zip(names, values))
        by_id[row["event_id"]] = row
    faults = [f"body {body}: {fault}" for body, event_id in wanted.items() for fault in differences(bodies[body], by_id[event_id])]
    checks.that(not faults, f"one row of each body is what was sent ({len(wanted)} bodies)", "; ".join(faults[:5]))


def slot(value):
    """The value that is set, whichever slot it is in."""
    given = [value.get(name) for name in ("string_value", "int_value", "double_value", "float_value")]
    return next((v for v in given if v is not None), None)


def differences(body, row):
    """What a row should hold of its body and does not."""
    faults = []

    def same(what, sent, stored):
        if sent != stored or (sent is not None and isinstance(sent, str) != isinstance(stored, str)):
            faults.append(f"{what} is {stored!r}, not {sent!r}")

    same("event_name", body["event_name"], row["event_name"])
    same("stream_id", "1", row["stream_id"])
    same("user_id", body.get("user_id"), row["user_id"])
    for column in ("event_params", "user_properties"):
        stored = {p["key"]: slot(p["value"]) for p in row[column] or []}
        for p in body[column] or []:
            if p["key"] not in CHECK_KEYS:
                same(f"{column} {p['key']}", slot(p["value"]), stored.get(p["key"]))
    sent_items, stored_items = body.get("items") or [], row["items"] or []
    same("number of items", len(sent_items), len(stored_items))
    for sent, stored in zip(sent_items, stored_items):
        for name in STRINGS + ("price", "quantity"):
            same(f"items {name}", sent.get(name), stored[name])
    ecommerce = body.get("ecommerce")
    if ecommerce:
        stored = row["ecommerce"] or {}
        same("ecommerce.transaction_id", ecommerce["transaction_id"], stored.get("transaction_id"))
        if body["event_name"] == "purchase":
            same("ecommerce.purchase_revenue", ecommerce["value"], stored.get("purchase_revenue"))
    if body.get("privacy_info"):
        same("privacy_info.analytics_storage", "Yes", (row["privacy_info"] or {}).get("analytics_storage"))
    return faults


def metric(options, family, label=""):
    """Sum of a family's samples with this label; None if there is none. The only reader of metric names here."""
    if not options.metrics:
        return None
    values = []
    with open(options.metrics, encoding="utf-8") as file:
        for line in file:
            found = re.match(r"([a-z_]+)(?:\{(.*)\})? (\S+)$", line.strip())
            if found and found[1] == family and label in (found[2] or ""):
                values.append(float(found[3]))
    return sum(values) if values else None


def check_ledger(con, checks, options):
    rows = value(con, "select count(*) from rows")
    received = (metric(options, "events_received_total") or 0) + (metric(options, "events_synthesised_total") or 0)
    outcomes = metric(options, "events_outcome_total")
    checks.that(received == outcomes, "ledger: received = sum of outcomes", f"{received:.0f} = {outcomes}")
    appended = metric(options, "events_outcome_total", 'outcome="appended"')
    settled = (metric(options, "delivery_outcome_total") or 0) + (metric(options, "delivery_pending") or 0)
    checks.that(appended == settled, "ledger: appended = stored + dead-lettered + expired + lost + pending", f"{appended} = {settled}")
    stored = metric(options, "delivery_outcome_total", 'outcome="stored"')
    checks.that(stored == rows, "ledger: stored = rows in the table", f"{stored} = {rows}")
    if options.one_process:
        sent = value(con, "select sum(times) from answers") or 0
        probes = value(con, "select count(*) from probes")
        checks.that(received == sent + probes, "ledger: received = sent", f"{received:.0f} = {sent + probes}")
        checks.that(appended == rows, "ledger: appended = rows in the table", f"{appended} = {rows}")


def check(options):
    bodies, browsers = lines("bodies.jsonl"), lines("browsers.jsonl")
    con = duckdb.connect()
    checks = Checks()
    load(con, options, bodies)
    check_ids(con, checks, options)
    check_payloads(con, checks, bodies, browsers)
    check_ledger(con, checks, options)
    print(f"{checks.passed} passed, {len(checks.failed)} failed")
    return checks.failed


def right_row(run, number, bodies, browsers):
    """The row that a right collector stores, as far as this script looks at it."""
    body = bodies[number % len(bodies)]
    scrambled = (number * 7919 + 104729) % 10**15
    derived = {"check_number": {"int_value": 10**12 + number}, "check_text": {"string_value": f"c{scrambled:015}"}}

    def param(p):
        value = derived.get(p["key"], p["value"])
        return {"key": p["key"], "value": {"string_value": value.get("string_value"), "int_value": value.get("int_value"), "double_value": value.get("float_value")}}

    ecommerce = body.get("ecommerce") or {}
    return {
        "event_id": f"{run}_{number:012}",
        "event_name": body["event_name"],
        "stream_id": "1",
        "user_id": body.get("user_id"),
        "user_pseudo_id": f"00000000-0000-4000-8000-000{scrambled % 200000:09}",
        "event_params": [param(p) for p in body["event_params"]],
        "user_properties": [param(p) for p in body["user_properties"] or []],
        "items": [{name: item.get(name) for name in STRINGS + ("price", "quantity")} for item in body.get("items") or []],
        "ecommerce": {"transaction_id": ecommerce.get("transaction_id"), "purchase_revenue": ecommerce.get("value") if body["event_name"] == "purchase" else None},
        "privacy_info": {"analytics_storage": "Yes" if body.get("privacy_info") else "Unset"},
        "collector": {"user_agent": browsers[number // len(bodies) % len(browsers)]["user-agent"]},
    }


def row_type():
    slots = pa.struct({"string_value": pa.string(), "int_value": pa.int64(), "double_value": pa.float64()})
    params = pa.list_(pa.struct({"key": pa.string(), "value": slots}))
    item = pa.struct({**dict.fromkeys(STRINGS, pa.string()), "price": pa.float64(), "quantity": pa.int64()})
    text = dict.fromkeys(("event_id", "event_name", "stream_id", "user_id", "user_pseudo_id"), pa.string())
    return pa.schema({
        **text,
        "event_params": params,
        "user_properties": params,
        "items": pa.list_(item),
        "ecommerce": pa.struct({"transaction_id": pa.string(), "purchase_revenue": pa.float64()}),
        "privacy_info": pa.struct({"analytics_storage": pa.string()}),
        "collector": pa.struct({"user_agent": pa.string()}),
    })


def self_test():
    """A right table passes; each breach is found by the check that is for it."""
    bodies, browsers = lines("bodies.jsonl"), lines("browsers.jsonl")
    run, count = 1000000000007, 600

    def drop(rows, answers):
        rows.pop(77)

    def double(rows, answers):
        rows.append(rows[5])

    def unknown(rows, answers):
        rows[3]["event_id"] = f"{run}_{count:012}"

    def foreign(rows, answers):
        rows[3]["event_id"] = "somebody-else"

    def refused(rows, answers):
        answers[9] = [REFUSED]

    def refused_then_unknown(rows, answers):
        answers[9] = [REFUSED, UNKNOWN, ACCEPTED]

    def number(rows, answers):
        rows[8]["event_params"], rows[32]["event_params"] = rows[32]["event_params"], rows[8]["event_params"]

    def swapped(rows, answers):
        rows[50]["event_params"][3]["value"]["string_value"] += " "

    def price(rows, answers):
        for row in rows:
            for item in row["items"]:
                item["price"] = float(pa.scalar(item["price"], pa.float32()).as_py())

    def agent(rows, answers):
        rows[1]["collector"]["user_agent"] = None

    cases = [
        (None, None),
        (refused_then_unknown, None),
        (drop, "every accepted event is stored"),
        (double, "no event is stored twice"),
        (unknown, "nothing is stored that was never sent"),
        (foreign, "nothing is stored that was never sent"),
        (refused, "refused events are not stored, but those counted late"),
        (number, "check_number and check_text are those of the id"),
        (swapped, "all rows of one body are equal in all that the body says"),
        (price, "one row of each body is what was sent"),
        (agent, "user_agent is the browser's"),
    ]
    wrong = 0
    for breach, expected in cases:
        rows = [right_row(run, n, bodies, browsers) for n in range(count)]
        answers = {n: [ACCEPTED] for n in range(count)}
        if breach:
            breach(rows, answers)
        print(f"--- {breach.__name__ if breach else 'a right table'}")
        with tempfile.TemporaryDirectory() as folder:
            table, oracle, metrics = (os.path.join(folder, name) for name in ("table", "oracle", "metrics"))
            write_deltalake(table, pa.Table.from_pylist(rows, row_type()))
            records = [n << 8 | answer for n, given in answers.items() for answer in given]
            with open(oracle, "wb") as file:
                file.write(b"".join(record.to_bytes(8, "little") for record in records))
            sent = len(records)
            with open(metrics, "w", encoding="utf-8") as file:
                file.write(f'events_received_total {sent}\nevents_outcome_total{{outcome="appended",reason=""}} {count}\n')
                file.write(f'events_outcome_total{{outcome="duplicate",reason=""}} {sent - count}\n')
                file.write(f'delivery_outcome_total{{destination="t",outcome="stored"}} {count}\ndelivery_pending{{destination="t"}} 0\n')
            failed = check(argparse.Namespace(table=table, oracle=oracle, metrics=metrics, probes=None, run=run, numbers=count, all_accepted=True, one_process=True))
        if (expected is None and failed) or (expected and not any(what.startswith(expected) for what in failed)):
            print(f"SELF-TEST: failed was {failed}, not {expected}")
            wrong += 1
    print(f"self-test: {len(cases) - wrong} passed, {wrong} failed")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("--table")
    parser.add_argument("--oracle", help="file of answers")
    parser.add_argument("--run", type=int, help="digits that begin the run's event ids")
    parser.add_argument("--numbers", type=int, help="how many events were sent")
    parser.add_argument("--metrics", help="the collector's /metrics once all was delivered")
    parser.add_argument("--probes", help="file of further event ids that were accepted")
    parser.add_argument("--one-process", action="store_true", help="the collector was never killed: its counts must be exact")
    parser.add_argument("--all-accepted", action="store_true", help="events were sent until accepted")
    options = parser.parse_args()
    sys.exit(1 if (self_test() if options.self_test else check(options)) else 0)


if __name__ == "__main__":
    main()
