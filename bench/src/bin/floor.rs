//! The floor: a bare axum handler on the collector's route that parses the same JSON into owned structs
//! and answers. What the collector costs is told as a multiple of this.

use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use clap::Parser;
use serde::Deserialize;

/// The quickest that was found, quicker than the collector's: the floor is not to be flattered.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Parses and answers, nothing else.
#[derive(Debug, Parser)]
struct Arguments {
    /// Port to listen on.
    #[arg(long)]
    port: u16,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "parsed and dropped: that is the work")]
struct Event {
    event_name: String,
    event_id: Option<String>,
    event_params: Option<Vec<Param>>,
    user_id: Option<String>,
    user_properties: Option<Vec<Param>>,
    privacy_info: Option<PrivacyInfo>,
    ecommerce: Option<Ecommerce>,
    items: Option<Vec<Item>>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "parsed and dropped: that is the work")]
struct Param {
    key: String,
    value: Slots,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "parsed and dropped: that is the work")]
struct Slots {
    string_value: Option<String>,
    int_value: Option<i64>,
    float_value: Option<f64>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "parsed and dropped: that is the work")]
struct PrivacyInfo {
    ad_storage: Option<bool>,
    ad_user_data: Option<bool>,
    ad_personalization: Option<bool>,
    analytics_storage: Option<bool>,
    functionality_storage: Option<bool>,
    personalization_storage: Option<bool>,
    security_storage: Option<bool>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "parsed and dropped: that is the work")]
struct Ecommerce {
    transaction_id: Option<String>,
    currency: Option<String>,
    value: Option<f64>,
    coupon: Option<String>,
    payment_type: Option<String>,
    shipping_tier: Option<String>,
    total_item_quantity: Option<i64>,
    item_list_id: Option<String>,
    item_list_name: Option<String>,
    promotion_id: Option<String>,
    promotion_name: Option<String>,
    creative_name: Option<String>,
    creative_slot: Option<String>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "parsed and dropped: that is the work")]
struct Item {
    item_id: Option<String>,
    item_name: Option<String>,
    item_brand: Option<String>,
    item_category: Option<String>,
    item_variant: Option<String>,
    item_list_id: Option<String>,
    item_list_name: Option<String>,
    coupon: Option<String>,
    price: Option<f64>,
    discount: Option<f64>,
    quantity: Option<i64>,
    index: Option<i64>,
}

async fn receive(body: Bytes) -> impl IntoResponse {
    match serde_json::from_slice::<Event>(&body) {
        Ok(event) => {
            drop(std::hint::black_box(event));
            (
                StatusCode::OK,
                [(header::CONTENT_TYPE, "application/json")],
                r#"{"status":"ok"}"#,
            )
        }
        Err(_) => (
            StatusCode::BAD_REQUEST,
            [(header::CONTENT_TYPE, "application/json")],
            r#"{"status":"error"}"#,
        ),
    }
}

fn main() -> Result<(), real_streaming_bench::Failure> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let router = Router::new()
            .route("/api/v1/streaming/{stream_id}", post(receive))
            .route("/health", get(|| async { "ok" }));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", arguments.port)).await?;
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        axum::serve(listener, router).await?;
        Ok(())
    })
}
