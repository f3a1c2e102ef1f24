"""Google's own clients against the fake: one object of findings as JSON."""

import json
import os
import sys

import grpc
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import BigQueryWriteClient, types, writer
from google.cloud.bigquery_storage_v1.services.big_query_write.transports import BigQueryWriteGrpcTransport
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PATIENCE = 20
BATCHES, ROWS = 8, 25
# A day and a time in 2024, and one value of each other type.
TYPED = {
    "day": 20_000,
    "at": 1_728_000_000_123_456,
    "price": 19.5,
    "is_new": True,
    "document": '{"a": 1}',
    "tags": ["x", "y"],
}


def refused(act):
    """Name of the exception that an act raises."""
    try:
        act()
    except exceptions.GoogleAPICallError as error:
        return type(error).__name__
    return "done"


def tables(endpoint):
    client = bigquery.Client(
        project="p", credentials=AnonymousCredentials(), client_options={"api_endpoint": endpoint}
    )
    wanted = bigquery.Table(
        "p.d.judged",
        schema=[
            bigquery.SchemaField("id", "STRING", "REQUIRED", description="an id"),
            bigquery.SchemaField("day", "DATE"),
            bigquery.SchemaField("device", "RECORD", fields=[bigquery.SchemaField("name", "STRING")]),
        ],
    )
    wanted.time_partitioning = bigquery.TimePartitioning(field="day")
    wanted.clustering_fields = ["id"]
    wanted.labels = {"made_by": "judge"}
    made = client.create_table(wanted)
    found = {
        "schema": [field.name for field in made.schema],
        "partition": made.time_partitioning.field,
        "clustering": made.clustering_fields,
        "labels": made.labels,
        "again": refused(lambda: client.create_table(wanted)),
        "exists_ok": refused(lambda: client.create_table(wanted, exists_ok=True)),
        "elsewhere": refused(lambda: client.get_table("p.d.none")),
        "no_dataset": refused(lambda: client.get_dataset("p.none")),
        "dataset": client.get_dataset("p.d").dataset_id,
        "tables": [table.table_id for table in client.list_tables("p.d")],
    }
    mine, theirs = client.get_table("p.d.judged"), client.get_table("p.d.judged")
    mine.schema = [*mine.schema, bigquery.SchemaField("more", "INTEGER")]
    found["grown"] = [field.name for field in client.update_table(mine, ["schema"]).schema]
    theirs.description = "late"
    found["stale"] = refused(lambda: client.update_table(theirs, ["description"]))
    fresh = client.get_table("p.d.judged")
    fresh.schema = fresh.schema[1:]
    found["shrunk"] = refused(lambda: client.update_table(fresh, ["schema"]))
    return found


def row_class():
    """A message class of the table's columns, and its descriptor."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="row.proto", syntax="proto2")
    row = file.message_type.add(name="Row")
    row.field.add(name="id", number=1, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    row.field.add(name="day", number=2, type=kinds.TYPE_INT32, label=kinds.LABEL_OPTIONAL)
    row.field.add(name="at", number=3, type=kinds.TYPE_INT64, label=kinds.LABEL_OPTIONAL)
    row.field.add(name="number", number=4, type=kinds.TYPE_INT64, label=kinds.LABEL_OPTIONAL)
    row.field.add(name="price", number=5, type=kinds.TYPE_DOUBLE, label=kinds.LABEL_OPTIONAL)
    row.field.add(name="is_new", number=6, type=kinds.TYPE_BOOL, label=kinds.LABEL_OPTIONAL)
    row.field.add(name="document", number=7, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    row.field.add(name="tags", number=8, type=kinds.TYPE_STRING, label=kinds.LABEL_REPEATED)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("Row")), row


def appends(address):
    channel = grpc.insecure_channel(address)
    client = BigQueryWriteClient(transport=BigQueryWriteGrpcTransport(channel=channel))
    parent = "projects/p/datasets/d/tables/t"
    wanted = types.WriteStream(type_=types.WriteStream.Type.COMMITTED)
    stream = client.create_write_stream(parent=parent, write_stream=wanted).name
    row, descriptor = row_class()
    template = types.AppendRowsRequest(write_stream=stream)
    template.proto_rows.writer_schema.proto_descriptor = descriptor
    connection = writer.AppendRowsStream(client, template)

    def send(offset, values):
        request = types.AppendRowsRequest(write_stream=stream, offset=offset)
        request.proto_rows.rows.serialized_rows = [
            row(id=str(value), number=value, **TYPED).SerializeToString() for value in values
        ]
        return connection.send(request).result(timeout=PATIENCE)

    found = {"hidden": 0, "existed": 0, "offsets": []}
    for batch in range(BATCHES):
        offset = batch * ROWS
        values = range(offset, offset + ROWS)
        while True:
            try:
                found["offsets"].append(send(offset, values).append_result.offset)
            except exceptions.AlreadyExists:
                found["existed"] += 1
            except exceptions.GoogleAPICallError:
                found["hidden"] += 1
                continue
            break
    found["beyond"] = refused(lambda: send(BATCHES * ROWS + 1, [0]))
    found["finalized"] = client.finalize_write_stream(name=stream).row_count
    connection.close()
    return found


def listed(endpoint):
    client = bigquery.Client(
        project="p", credentials=AnonymousCredentials(), client_options={"api_endpoint": endpoint}
    )
    table = client.get_table("p.d.t")
    pages = client.list_rows(table, page_size=60)
    rows = list(pages)
    first = dict(rows[0].items())
    first["day"], first["at"] = first["day"].isoformat(), first["at"].isoformat()
    number = [field for field in table.schema if field.name == "number"]
    some = list(client.list_rows(table, selected_fields=number, start_index=150, max_results=10))
    return {
        "count": len(rows),
        "total": pages.total_rows,
        "pages": pages.page_number,
        "numbers": sorted(row["number"] for row in rows) == list(range(BATCHES * ROWS)),
        "first": first,
        "some": [list(row.values()) for row in some],
        "elsewhere": refused(lambda: list(client.list_rows("p.d.none", selected_fields=number))),
    }


found = {"tables": tables(sys.argv[1]), "appends": appends(sys.argv[2]), "listed": listed(sys.argv[1])}
print(json.dumps(found))
# Threads of gRPC may hang when the interpreter is torn down; the answer is whole by then.
sys.stdout.flush()
os._exit(0)
