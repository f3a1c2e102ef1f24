//! The OpenAPI 3.1 description of the endpoints (<https://spec.openapis.org/oas/v3.1.0>): each route of
//! [`router`](super::router) with every status it can answer. Tests hold both against each other.

use serde_json::{Map, Value, json};

use super::assets;

mod schemas;

/// The description.
pub fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Real Streaming",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Collects web events. A 2xx means that the event is durable.\n\n\
                What is not HTTP, or has too long a head, is answered with 400, 414 or 431 without a body; \
                a method that a path does not take with 405 and `Allow`.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "This collector"}],
        "tags": [
            {"name": "events", "description": "Sending events"},
            {"name": "state", "description": "How the collector is"},
            {"name": "documentation", "description": "This description, and pages that draw it"},
        ],
        "paths": {
            "/api/v1/streaming/{stream_id}": streaming(),
            "/health": get("state", "health", "What runs, and how the destinations are", &[("200", json_answer(
                "It runs", &json!({
                    "type": "object", "required": ["status", "service", "version", "destinations"],
                    "properties": {
                        "status": {"const": "healthy"}, "service": {"type": "string"}, "version": {"type": "string"},
                        "destinations": destinations(),
                    },
                }),
            ))]),
            "/liveness": get("state", "liveness", "Whether the process answers", &[("200", json_answer(
                "It does", &json!({"type": "object", "required": ["status"], "properties": {"status": {"const": "alive"}}}),
            ))]),
            "/readiness": get("state", "readiness", "Whether an event would be taken now", &[
                ("200", json_answer("Yes", &readiness())),
                ("503", json_answer("No, or no answer in time", &json!({"anyOf": [readiness(), reference("schemas", "Error")]}))),
            ]),
            "/metrics": admin(get("state", "metrics", "Counts, as Prometheus text", &[("200", answer(
                "Every event that was sent, by its outcome", "text/plain", &json!({"type": "string"}),
            ))])),
            "/api/v1/events/{event_id}": event(),
            "/api/v1/dead_letters": dead_letters(),
            "/api/v1/dead_letters/replay": replay(),
            "/openapi.json": file("openapi", "This description", &["application/json"], &json!({"type": "object"})),
            "/docs": file("docs", "This description, drawn by Swagger UI", &["text/html"], &json!({"type": "string"})),
            "/redoc": file("redoc", "This description, drawn by ReDoc", &["text/html"], &json!({"type": "string"})),
            "/static/{file}": static_files(),
            "/api/v1/fetch/v6.js": file("v6", "The tracker, where the predecessor had it", &["text/javascript"], &json!({"type": "string"})),
        },
        "components": {
            "schemas": schemas::all(),
            "responses": refusals(),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "The admin token"},
                "password": {"type": "http", "scheme": "basic", "description": "The admin token as password, with any name"},
            },
        },
    })
}

fn streaming() -> Value {
    let stream_id = json!({
        "name": "stream_id", "in": "path", "required": true,
        "description": "Which of your sites or apps sends; becomes the column `stream_id`",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
        "example": "1",
    });
    // These look at nothing but the method.
    let any_stream_id = json!({
        "name": "stream_id", "in": "path", "required": true, "schema": {"type": "string"}, "example": "1",
    });
    let validate = json!({
        "name": "validate", "in": "query",
        "description": "With the admin token: answers what rows it would become, and stores nothing",
        "schema": {"enum": ["1", "true", "0", "false"]},
    });
    let explain = json!({
        "name": "explain", "in": "query",
        "description": "With `validate`: answers too what each step of enrichment saw, which rule decided, and what it filled; of the first 100 events",
        "schema": {"enum": ["1", "true", "0", "false"]},
    });
    let write_key = json!({
        "name": "X-Write-Key", "in": "header",
        "description": "Where the collector asks for a key; `write_key` in the query does as well",
        "schema": {"type": "string"},
    });
    let event = reference("schemas", "Event");
    json!({
        "post": {
            "tags": ["events"],
            "summary": "Collect one event, or an array of them",
            "description": "JSON under any content type, or a form; compressed or not (`gzip`, `br`, `zstd`, `deflate`). \
                In an array a wrong event costs its neighbours nothing: 422 names it, the others are stored. \
                Fields that nobody knows are ignored and listed in the column `collector.warnings`.",
            "operationId": "streaming",
            "parameters": [stream_id, validate, explain, write_key],
            "requestBody": {
                "required": true,
                "content": {"application/json": {
                    "schema": {"anyOf": [event, {"type": "array", "maxItems": 10_000, "items": event}]},
                    "examples": examples(),
                }},
            },
            "responses": responses(&[
                ("200", with_cookie(json_answer("Every event is durable", &json!({"anyOf": [
                    {"type": "object", "required": ["status"], "properties": {"status": {"const": "ok"}}},
                    validated(),
                ]})))),
                refusal("400"), refusal("401"), refusal("404"), refusal("408"), refusal("413"), refusal("415"), refusal("422"),
                refusal("429"),
            ]),
        },
        "get": {
            "tags": ["events"],
            "summary": "Collect one event from the query, for pixels and tags",
            "description": "Fields of an event as parameters, those that are objects or lists as their JSON; any other \
                parameter becomes an event parameter. The whole event may come in one: `dtcd` (JSON) or `dtdc` (base64 of JSON).",
            "operationId": "streamingPixel",
            "parameters": [stream_id, {
                "name": "event_name", "in": "query", "required": true,
                "schema": {"type": "string", "pattern": "\\S"}, "example": "page_view",
            }, validate, explain, write_key],
            "responses": responses(&[
                ("200", pixel()),
                refusal("400"), refusal("401"), refusal("404"), refusal("413"), refusal("422"), refusal("429"),
            ]),
        },
        "head": {
            "tags": ["events"],
            "summary": "As GET would be answered; collects nothing",
            "operationId": "streamingHead",
            "parameters": [any_stream_id],
            "responses": responses(&[("200", answer("What GET gives", "image/gif", &gif())), refusal("404")]),
        },
        "options": {
            "tags": ["events"],
            "summary": "Which methods there are; browsers ask so before a page may send",
            "operationId": "streamingOptions",
            "parameters": [any_stream_id],
            "responses": responses(&[
                ("204", json!({
                    "description": "The methods, in `Allow`; to a browser's question whether this page may use them",
                    "headers": {"Allow": {"schema": {"type": "string"}}},
                })),
                refusal("404"),
            ]),
        },
    })
}

fn pixel() -> Value {
    let mut pixel = with_cookie(answer(
        "The event is durable; a transparent pixel",
        "image/gif",
        &gif(),
    ));
    pixel["content"]["application/json"] = json!({"schema": validated()});
    pixel
}

/// The answer to `validate`.
fn validated() -> Value {
    json!({
        "type": "object", "required": ["status", "events"],
        "properties": {
            "status": {"const": "valid"},
            "events": {"type": "array", "items": {"type": "object", "required": ["row", "warnings"], "properties": {
                "row": {"type": "object", "description": "The row, its columns as docs/columns.md says"},
                "warnings": {"type": "array", "items": {"type": "string"}},
                "added": {"type": "array", "description": "Rows that the collector would add before it", "items": {"type": "object"}},
                "steps": {"type": "array", "description": "With `explain`", "items": step()},
            }}},
        },
    })
}

/// A step of enrichment: pairs of what it looked at and filled, and their values.
fn step() -> Value {
    let pair = json!({"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2});
    json!({
        "type": "object", "required": ["step", "saw", "rule", "filled"],
        "properties": {
            "step": {"type": "string", "examples": ["session"]},
            "saw": {"type": "array", "items": pair},
            "rule": {"type": "string"},
            "filled": {"type": "array", "items": pair},
        },
    })
}

/// What became of an event.
fn event() -> Value {
    let state = json!({
        "type": "object", "required": ["state"],
        "properties": {
            "state": {"enum": ["pending", "stored", "settled", "dead_lettered"]},
            "reason": {"type": "string", "description": "Why the destination will never take it"},
            "dead_letter": {"type": "string", "description": "`settled` is stored, or rejected and kept here, where nobody looked"},
        },
    });
    let found = json_answer(
        "All events of this id, oldest first",
        &json!({
            "type": "object", "required": ["status", "events"],
            "properties": {
                "status": {"const": "ok"},
                "events": {"type": "array", "minItems": 1, "items": {
                    "type": "object", "required": ["sequence", "destinations"],
                    "properties": {
                        "sequence": {"type": "integer", "description": "Its number in the log"},
                        "stream_id": {"type": "string"},
                        "event_name": {"type": "string"},
                        "received_at_micros": {"type": "integer"},
                        "destinations": {"type": "object", "additionalProperties": state},
                    },
                }},
            },
        }),
    );
    let mut path = admin(get(
        "state",
        "event",
        "What became of an event",
        &[
            ("200", found),
            refusal("400"),
            (
                "404",
                json_answer(
                    "Neither the log nor a dead letter holds it; a log on disk keeps events for some minutes after their delivery",
                    &reference("schemas", "Error"),
                ),
            ),
        ],
    ));
    path["get"]["parameters"] = json!([{
        "name": "event_id", "in": "path", "required": true, "schema": {"type": "string", "minLength": 1},
    }]);
    path
}

/// What waits in the dead letters.
fn dead_letters() -> Value {
    let group = json!({
        "type": "object", "required": ["destination", "reason", "count"],
        "properties": {
            "destination": {"type": "string"},
            "reason": {"type": "string"},
            "count": {"type": "integer", "minimum": 1},
            "first": {"type": "string", "format": "date-time", "description": "When the first was rejected, as far as it is known"},
            "last": {"type": "string", "format": "date-time"},
        },
    });
    let listed = json_answer(
        "Rows that wait to be replayed",
        &json!({
            "type": "object", "required": ["status", "dead_letters"],
            "properties": {"status": {"const": "ok"}, "dead_letters": {"type": "array", "items": group}},
        }),
    );
    let answers = [
        ("200", listed),
        refusal("400"),
        no_such_destination(),
        refusal("409"),
    ];
    let mut path = admin(get(
        "state",
        "deadLetters",
        "What destinations rejected, by destination and reason",
        &answers,
    ));
    path["get"]["parameters"] = selection();
    path
}

/// Sends it once more.
fn replay() -> Value {
    let done = json_answer(
        "What was done in the time of one request",
        &json!({
            "type": "object", "required": ["status", "replayed", "is_complete", "damaged"],
            "properties": {
                "status": {"const": "ok"},
                "replayed": {"type": "integer", "description": "Rows that are in the log once more, durably"},
                "is_complete": {"type": "boolean", "description": "Whether nothing is left; otherwise ask again"},
                "damaged": {"type": "integer", "description": "Rows that cannot be replayed: their line is damaged"},
            },
        }),
    );
    let answers = [
        ("200", done),
        refusal("400"),
        no_such_destination(),
        refusal("409"),
    ];
    admin(json!({"post": {
        "tags": ["state"],
        "summary": "Send rows once more to the destination that rejected them, each once",
        "operationId": "replay",
        "parameters": selection(),
        "responses": responses(&answers),
    }}))
}

fn no_such_destination() -> (&'static str, Value) {
    let error = reference("schemas", "Error");
    ("404", json_answer("There is no such destination", &error))
}

/// Which rows of the dead letters.
fn selection() -> Value {
    let parameter = |name: &str, description: &str, schema: Value| json!({"name": name, "in": "query", "description": description, "schema": schema});
    let time = json!({"anyOf": [
        {"type": "string", "format": "date-time"},
        {"type": "string", "pattern": "^[0-9]{1,6}[smhd]$"},
    ]});
    json!([
        parameter(
            "since",
            "Rejected since then, or so long ago at the most",
            time.clone()
        ),
        parameter(
            "until",
            "Rejected until then, or so long ago at the least",
            time
        ),
        parameter(
            "reason",
            "Whose reason contains this text",
            json!({"type": "string"})
        ),
        parameter(
            "destination",
            "Rejected by this destination",
            json!({"type": "string"})
        ),
    ])
}

/// A path for which the admin token is needed.
fn admin(mut path: Value) -> Value {
    let method = if path["get"].is_null() { "post" } else { "get" };
    path[method]["security"] = json!([{"token": []}, {"password": []}]);
    let responses = &mut path[method]["responses"];
    let (status, refusal) = refusal("401");
    responses[status] = refusal;
    if let Some(responses) = responses.as_object_mut() {
        responses.sort_keys();
    }
    path
}

/// The first one is what `/docs` offers to try.
fn examples() -> Value {
    let page_view = json!({
        "event_name": "page_view",
        "event_params": [
            {"key": "page_location", "value": {"string_value": "https://example.com/?utm_source=newsletter"}},
            {"key": "page_title", "value": {"string_value": "Home"}},
        ],
    });
    let purchase = json!({
        "event_name": "purchase",
        "event_id": "T-1",
        "event_params": [{"key": "page_location", "value": {"string_value": "https://example.com/cart"}}],
        "privacy_info": {"ad_storage": "denied", "analytics_storage": "granted"},
        "ecommerce": {"transaction_id": "T-1", "value": 39.98, "currency": "EUR"},
        "items": [{"item_id": "SKU-1", "item_name": "Mug", "price": 19.99, "quantity": 2}],
    });
    json!({
        "page_view": {"summary": "A page view", "value": page_view},
        "purchase": {"summary": "A purchase", "value": purchase},
        "several": {"summary": "Several events", "value": [page_view, purchase]},
    })
}

fn gif() -> Value {
    json!({"type": "string", "contentMediaType": "image/gif"})
}

fn readiness() -> Value {
    json!({
        "type": "object", "required": ["status", "destinations"],
        "properties": {"status": {"type": "string"}, "destinations": destinations()},
    })
}

fn destinations() -> Value {
    json!({"type": "array", "items": {
        "type": "object", "required": ["name", "healthy", "pending", "pending_seconds"],
        "properties": {
            "name": {"type": "string"}, "healthy": {"type": "boolean"},
            "pending": {"type": "integer", "description": "Events that it has not taken yet"},
            "pending_seconds": {"type": "integer", "description": "For how long the first of them has waited, since the process started at most"},
            "error": {"type": "string", "description": "Why the last attempt to write failed; with the admin token only"},
        },
    }})
}

/// A file that browsers keep.
fn file(id: &str, summary: &str, media_types: &[&str], schema: &Value) -> Value {
    let content: Map<String, Value> = media_types
        .iter()
        .map(|media_type| ((*media_type).to_owned(), json!({"schema": schema})))
        .collect();
    let header = |description| json!({"description": description, "schema": {"type": "string"}});
    let headers = json!({
        "ETag": header("Changes with the content"),
        "Cache-Control": header("For how long it may be kept"),
    });
    get(
        "documentation",
        id,
        summary,
        &[
            (
                "200",
                json!({"description": "The file, compressed as Accept-Encoding says", "content": content, "headers": headers}),
            ),
            (
                "304",
                json!({"description": "The client has it: If-None-Match names its ETag", "headers": headers}),
            ),
        ],
    )
}

fn static_files() -> Value {
    let media_types = ["text/javascript", "text/css", "image/png", "text/plain"];
    let mut path = file(
        "static",
        "The tracker; scripts and styles of the pages",
        &media_types,
        &json!({"type": "string"}),
    );
    path["get"]["parameters"] = json!([{
        "name": "file", "in": "path", "required": true,
        "schema": {"type": "string", "enum": assets::names()},
    }]);
    path["get"]["responses"]["200"]["content"]["application/json"] =
        json!({"schema": {"type": "object"}});
    path["get"]["responses"]["404"] = refusal("404").1;
    path
}

fn get(tag: &str, id: &str, summary: &str, answers: &[(&str, Value)]) -> Value {
    json!({"get": {"tags": [tag], "summary": summary, "operationId": id, "responses": responses(answers)}})
}

/// These answers, and those that every path can give.
fn responses(answers: &[(&str, Value)]) -> Value {
    let everywhere = ["403", "500", "503"].map(refusal);
    let mut responses = Map::new();
    for (status, answer) in everywhere.iter().chain(answers) {
        responses.insert((*status).to_owned(), answer.clone());
    }
    responses.sort_keys();
    Value::Object(responses)
}

/// What the statuses of errors mean.
const REFUSALS: [(&str, &str); 12] = [
    ("400", "It cannot be read; nothing is stored"),
    ("401", "A right key or the admin token is needed"),
    (
        "403",
        "Not for this sender: the page's origin or the stream is not listed, and those are refused; or admin routes are not for this host",
    ),
    ("404", "There is nothing at this path"),
    ("408", "The body did not come in time; send it again"),
    (
        "409",
        "The dead letter is a topic, which cannot be read here, or another collector replays it now",
    ),
    ("413", "The body or an event is too large"),
    ("415", "The body is compressed in a way that is not known"),
    (
        "422",
        "An event has a wrong field, or a destination will never take it: `details` says which and why; in an array the others are stored",
    ),
    (
        "429",
        "The sender sends more than it may; send it again after Retry-After",
    ),
    ("500", "A fault of the collector; send it again"),
    (
        "503",
        "Nothing can be made durable now, or not in time; send it again after Retry-After",
    ),
];

fn refusals() -> Value {
    let mut refusals = Map::new();
    for (status, meaning) in REFUSALS {
        let mut refusal = json_answer(meaning, &reference("schemas", "Error"));
        if ["429", "503"].contains(&status) {
            let seconds =
                json!({"description": "Seconds", "required": true, "schema": {"type": "integer"}});
            refusal["headers"] = json!({"Retry-After": seconds});
        }
        refusals.insert(status.to_owned(), refusal);
    }
    Value::Object(refusals)
}

fn refusal(status: &'static str) -> (&'static str, Value) {
    (status, reference("responses", status))
}

fn reference(kind: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{kind}/{name}")})
}

fn json_answer(description: &str, schema: &Value) -> Value {
    answer(description, "application/json", schema)
}

fn answer(description: &str, media_type: &str, schema: &Value) -> Value {
    json!({"description": description, "content": {media_type: {"schema": schema}}})
}

fn with_cookie(mut answer: Value) -> Value {
    answer["headers"] = json!({"Set-Cookie": {
        "description": "`__uid__`, by which the visitor is known again; not if an event denies `analytics_storage`",
        "schema": {"type": "string"},
    }});
    answer
}
