"""Measures how soon after its 200 an event is visible to a reader that opens the Delta table afresh.

One thread sends probes over HTTP, the other polls: it opens the table anew each time and looks for the probes in the
files that it has not seen yet. Now and then it counts all rows through an independent reader: that must never fail and
never find fewer than before. Says "ready" once it sends, ends when its standard input closes, and then prints one
summary. Exits with 1 if a probe never appeared, a reader failed, or a bar was missed.
"""

import argparse
import http.client
import os
import sys
import threading
import time
from urllib.parse import unquote, urlparse

import pyarrow.dataset as ds
import pyarrow.parquet as pq
from deltalake import DeltaTable

PATIENCE = 60.0


class Probes:
    """Probes under way, shared by both threads."""

    def __init__(self, options):
        self.options = options
        self.lock = threading.Lock()
        self.pending = {}  # id -> when it was answered, None while it is not
        self.seen_early = set()  # visible before they were answered
        self.latencies = []
        self.faults = []
        self.is_over = threading.Event()

    def send_all(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.options.port, timeout=30)
        number = 0
        with open(self.options.probes, "w", encoding="utf-8") as file:
            while not self.is_over.is_set():
                number += 1
                event_id = f"probe_{self.options.run}_{number:06}"
                with self.lock:
                    self.pending[event_id] = None
                body = f'{{"event_name":"probe","event_id":"{event_id}"}}'
                try:
                    connection.request("POST", "/api/v1/streaming/1", body, {"content-type": "application/json"})
                    answer = connection.getresponse()
                    answer.read()
                except (OSError, http.client.HTTPException) as error:
                    self.faults.append(f"probe {event_id}: {error!r}")
                    return
                now = time.monotonic()
                if answer.status != 200:
                    self.faults.append(f"probe {event_id}: {answer.status}")
                    return
                file.write(event_id + "\n")
                with self.lock:
                    if event_id in self.seen_early:
                        self.latencies.append(0.0)
                    else:
                        self.pending[event_id] = now
                self.is_over.wait(1 / self.options.rate)

    def found(self, ids):
        now = time.monotonic()
        with self.lock:
            for event_id in self.pending.keys() & ids:
                answered = self.pending.pop(event_id)
                if answered is None:
                    self.seen_early.add(event_id)
                else:
                    self.latencies.append(now - answered)


def data_path(uri):
    return unquote(urlparse(uri).path) if uri.startswith("file:") else uri


class Reader:
    """Opens the table afresh each time."""

    def __init__(self, options):
        self.options = options
        self.known = set()
        self.most_files = self.opens = self.full_reads = self.rows = self.version = 0

    def new_ids(self):
        if not os.path.isdir(os.path.join(self.options.table, "_delta_log")):
            return set()
        table = DeltaTable(self.options.table)
        files = {data_path(uri) for uri in table.file_uris()}
        self.opens += 1
        self.version = table.version()
        self.most_files = max(self.most_files, len(files))
        ids = set()
        for path in files - self.known:
            ids.update(pq.ParquetFile(path).read(columns=["event_id"]).column(0).to_pylist())
        self.known = files
        return ids

    def count_all(self):
        dataset = DeltaTable(self.options.table).to_pyarrow_dataset()
        count = dataset.count_rows(filter=ds.field("event_id").is_valid())
        self.full_reads += 1
        fewer, self.rows = count < self.rows, count
        if fewer:
            raise ValueError(f"only {count} rows, there were more before")


def poll(probes, reader):
    next_count = time.monotonic() + 5
    end = None
    while True:
        start = time.monotonic()
        try:
            probes.found(reader.new_ids())
            if start >= next_count and reader.opens:
                reader.count_all()
                next_count = time.monotonic() + 10
        except Exception as error:  # whatever a reader says is a finding
            probes.faults.append(f"reader: {error!r}")
        if probes.is_over.is_set():
            end = end or start + PATIENCE
            with probes.lock:
                answered = [event_id for event_id, at in probes.pending.items() if at is not None]
            if not answered:
                return
            if start > end:
                probes.faults.append(f"{len(answered)} probes not visible after {PATIENCE:.0f} s, such as {answered[0]}")
                return
        time.sleep(max(0.0, 0.1 - (time.monotonic() - start)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", required=True)
    parser.add_argument("--run", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--probes", required=True, help="file for the ids of accepted probes")
    parser.add_argument("--rate", type=float, default=5.0, help="probes a second")
    parser.add_argument("--most-files", type=int, help="bar: most data files of one version")
    parser.add_argument("--most-p99", type=float, help="bar: p99 of visibility, seconds")
    options = parser.parse_args()
    probes, reader = Probes(options), Reader(options)
    sender = threading.Thread(target=probes.send_all, daemon=True)
    sender.start()
    threading.Thread(target=lambda: (sys.stdin.read(), probes.is_over.set()), daemon=True).start()
    print("ready", flush=True)
    poll(probes, reader)
    sender.join(timeout=PATIENCE)
    sorted_latencies = sorted(probes.latencies) or [float("inf")]
    p50, p99 = (sorted_latencies[min(len(sorted_latencies) - 1, int(len(sorted_latencies) * q))] for q in (0.5, 0.99))
    print(
        f"visible after p50 {p50:.2f} s, p99 {p99:.2f} s, most {sorted_latencies[-1]:.2f} s ({len(probes.latencies)} probes, "
        f"{reader.opens} fresh readers, {reader.full_reads} full reads, version {reader.version}, at most {reader.most_files} data files)"
    )
    if options.most_files and reader.most_files > options.most_files:
        probes.faults.append(f"{reader.most_files} data files, more than {options.most_files}")
    if options.most_p99 and p99 > options.most_p99:
        probes.faults.append(f"p99 {p99:.2f} s, more than {options.most_p99} s")
    for fault in probes.faults[:20]:
        print(f"FAIL {fault}")
    sys.exit(1 if probes.faults else 0)


if __name__ == "__main__":
    main()
