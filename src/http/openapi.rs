//! The OpenAPI 3.1 description of the endpoints (<https://spec.openapis.org/oas/v3.1.0>).

use serde_json::{Value, json};

/// The description.
pub fn document() -> Value {
    let error = json!({"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}});
    let answer = |description: &str| {
        let mut answer = error.clone();
        answer["description"] = json!(description);
        answer
    };
    let probe = |summary: &str| json!({"get": {"summary": summary, "responses": {"200": {"description": "OK"}}}});
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Real Streaming",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Collects web events. A 2xx means that the event is durable.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "This collector"}],
        "paths": {
            "/api/v1/streaming/{stream_id}": {
                "post": {
                    "summary": "Collect one event, or an array of them",
                    "operationId": "streaming",
                    "parameters": [stream_id()],
                    "requestBody": {
                        "required": true,
                        "description": "JSON under any content type; compressed as Content-Encoding says",
                        "content": {"application/json": {
                            "schema": {"oneOf": [
                                {"$ref": "#/components/schemas/Event"},
                                {"type": "array", "items": {"$ref": "#/components/schemas/Event"}},
                            ]},
                            "example": example(),
                        }},
                    },
                    "responses": {
                        "200": {
                            "description": "Every event is durable",
                            "content": {"application/json": {"schema": {
                                "type": "object", "required": ["status"],
                                "properties": {"status": {"const": "ok"}},
                            }}},
                        },
                        "400": answer("The body is not JSON, or the path is wrong"),
                        "403": answer("The page's origin is not listed, and those are refused"),
                        "408": answer("The body did not come in time"),
                        "413": answer("The body or an event is too large"),
                        "415": answer("The body is compressed in a way that is not known"),
                        "422": answer("An event has a wrong field; in an array the others are stored"),
                        "500": answer("A fault of the collector; send it again"),
                        "503": answer("Nothing can be made durable now; send it again after Retry-After"),
                    },
                },
                "get": {
                    "summary": "Collect one event from the query, for pixels and tags",
                    "operationId": "streamingPixel",
                    "parameters": [stream_id(), {
                        "name": "event_name", "in": "query", "required": true,
                        "schema": {"type": "string", "minLength": 1}, "example": "page_view",
                    }],
                    "responses": {
                        "200": {
                            "description": "The event is durable; a transparent pixel",
                            "content": {"image/gif": {"schema": {"type": "string", "contentMediaType": "image/gif"}}},
                        },
                        "400": answer("The query or the path is wrong"),
                        "403": answer("The page's origin is not listed, and those are refused"),
                        "413": answer("The event is too large"),
                        "422": answer("The event has a wrong field"),
                        "500": answer("A fault of the collector; send it again"),
                        "503": answer("Nothing can be made durable now; send it again after Retry-After"),
                    },
                },
            },
            "/health": probe("What runs"),
            "/liveness": probe("Whether the process answers"),
            "/readiness": {"get": {"summary": "Whether an event would be taken now", "responses": {
                "200": {"description": "Yes"}, "503": {"description": "No"},
            }}},
            "/metrics": probe("Counts, as Prometheus text"),
        },
        "components": {"schemas": schemas()},
    })
}

fn stream_id() -> Value {
    json!({
        "name": "stream_id", "in": "path", "required": true,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
        "example": "1",
    })
}

fn example() -> Value {
    json!({
        "event_name": "page_view",
        "event_params": [
            {"key": "page_location", "value": {"string_value": "https://example.com/?utm_source=newsletter"}},
            {"key": "page_title", "value": {"string_value": "Home"}},
        ],
    })
}

fn schemas() -> Value {
    let text = || json!({"type": ["string", "null"]});
    let number = || json!({"type": ["number", "null"]});
    let integer = || json!({"type": ["integer", "null"]});
    let object = |texts: &[&str], numbers: &[&str], integers: &[&str]| {
        let mut properties = serde_json::Map::new();
        properties.extend(texts.iter().map(|name| ((*name).to_owned(), text())));
        properties.extend(numbers.iter().map(|name| ((*name).to_owned(), number())));
        properties.extend(integers.iter().map(|name| ((*name).to_owned(), integer())));
        json!({"type": ["object", "null"], "properties": properties})
    };
    let states = [
        "ad_storage",
        "ad_user_data",
        "ad_personalization",
        "analytics_storage",
        "functionality_storage",
        "personalization_storage",
        "security_storage",
    ];
    let consent: serde_json::Map<String, Value> = states
        .iter()
        .map(|state| {
            (
                (*state).to_owned(),
                json!({"type": ["boolean", "string", "null"]}),
            )
        })
        .collect();
    let params =
        json!({"type": ["array", "null"], "items": {"$ref": "#/components/schemas/Param"}});
    json!({
        "Event": {
            "type": "object",
            "required": ["event_name"],
            "properties": {
                "event_name": {"type": "string", "minLength": 1},
                "event_id": {"type": ["string", "null"], "maxLength": 512, "description": "Events with the same stream_id, event_name and event_id are stored once"},
                "event_params": params,
                "user_id": text(),
                "user_properties": params,
                "privacy_info": {"type": ["object", "null"], "properties": consent},
                "app_info": object(&["id", "firebase_app_id", "install_source", "install_store", "version"], &[], &[]),
                "ecommerce": object(
                    &["transaction_id", "currency", "coupon", "payment_type", "shipping_tier", "item_list_id", "item_list_name",
                      "promotion_id", "promotion_name", "creative_name", "creative_slot"],
                    &["value", "tax", "shipping"], &["total_item_quantity"]),
                "items": {"type": ["array", "null"], "items": object(
                    &["item_id", "item_name", "affiliation", "coupon", "item_brand", "item_category", "item_category2",
                      "item_category3", "item_category4", "item_category5", "item_list_id", "item_list_name", "item_variant",
                      "location_id", "promotion_id", "promotion_name", "creative_name", "creative_slot"],
                    &["discount", "price"], &["index", "quantity"])},
                "timestamp_micros": {"type": ["integer", "null"], "description": "Client's time, microseconds since 1970-01-01 UTC; counts within the last 72 hours"},
            },
        },
        "Param": {
            "type": "object",
            "required": ["key"],
            "properties": {
                "key": {"type": "string"},
                "value": object(&["string_value"], &["float_value", "double_value"], &["int_value"]),
            },
        },
        "Error": {
            "type": "object",
            "required": ["status", "code", "message", "details"],
            "properties": {
                "status": {"const": "error"},
                "code": {"type": "string"},
                "message": {"type": "string"},
                "details": {"type": "array", "items": {"type": "object", "properties": {
                    "index": {"type": "integer"}, "path": {"type": "string"}, "message": {"type": "string"},
                }}},
            },
        },
    })
}
