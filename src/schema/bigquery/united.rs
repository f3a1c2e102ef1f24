//! A view that unites the predecessor's table and ours under the predecessor's names and types, so that queries go on working.
//!
//! Each column is written out for both sides, nested ones field by field: a union goes by position, and the order in which
//! fields stand in an old table is not known.

/// The column that tells the predecessor's two layouts apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldColumn {
    /// The newer layout.
    EventId,
    /// The older one.
    SyncedAtUtc,
}

/// Behind the name of the predecessor's table, beside which ours is.
pub const OURS_BESIDE: &str = "_ga4";

/// A column of an item that is a parameter of ours.
const DISCOUNT: &str = "discount";

const DEVICE: [&str; 11] = [
    "category",
    "mobile_brand_name",
    "mobile_model_name",
    "mobile_marketing_name",
    "mobile_os_hardware_model",
    "operating_system",
    "operating_system_version",
    "vendor_id",
    "advertising_id",
    "language",
    "is_limited_ad_tracking",
];

const CONSENT: [&str; 7] = [
    "ad_storage",
    "ad_user_data",
    "ad_personalization",
    "analytics_storage",
    "functionality_storage",
    "personalization_storage",
    "security_storage",
];

const APP_INFO: [&str; 5] = [
    "id",
    "version",
    "install_store",
    "firebase_app_id",
    "install_source",
];

const TRAFFIC_SOURCE: [&str; 12] = [
    "manual_campaign_id",
    "manual_campaign_name",
    "manual_source",
    "manual_medium",
    "manual_term",
    "manual_content",
    "manual_source_platform",
    "manual_creative_format",
    "manual_marketing_tactic",
    "gclid",
    "dclid",
    "srsltid",
];

/// Columns of the predecessor's `ecommerce` that are parameters of ours, all of them texts.
const ECOMMERCE_PARAMS: [&str; 10] = [
    "currency",
    "coupon",
    "payment_type",
    "shipping_tier",
    "item_list_id",
    "item_list_name",
    "promotion_id",
    "promotion_name",
    "creative_name",
    "creative_slot",
];

/// Columns of an item that both have.
const ITEM: [&str; 20] = [
    "item_id",
    "item_name",
    "affiliation",
    "coupon",
    "item_brand",
    "item_category",
    "item_category2",
    "item_category3",
    "item_category4",
    "item_category5",
    "item_list_id",
    "item_list_name",
    "item_variant",
    "location_id",
    "promotion_id",
    "promotion_name",
    "creative_name",
    "creative_slot",
    "price",
    "quantity",
];

/// The view `<old>_united` of both tables, given as `project.dataset.table`.
pub fn united_view(old: &str, has: OldColumn, ours: &str) -> String {
    let (old_columns, new_columns): (Vec<_>, Vec<_>) = columns(has)
        .into_iter()
        .map(|(name, old, new)| (format!("  {old} AS {name}"), format!("  {new} AS {name}")))
        .unzip();
    let (old_columns, new_columns) = (old_columns.join(",\n"), new_columns.join(",\n"));
    format!(
        "CREATE OR REPLACE VIEW `{old}_united` AS\nSELECT\n{old_columns}\nFROM `{old}`\nUNION ALL\nSELECT\n{new_columns}\nFROM `{ours}`;\n"
    )
}

/// Name, and what it is of the old table and of ours.
fn columns(has: OldColumn) -> Vec<(&'static str, String, String)> {
    let same = |name: &'static str| (name, name.to_owned(), name.to_owned());
    let (event_id, synced_at_utc) = match has {
        OldColumn::EventId => ("event_id", "CAST(NULL AS TIMESTAMP)"),
        OldColumn::SyncedAtUtc => ("CAST(NULL AS STRING)", "synced_at_utc_"),
    };
    vec![
        same("date"),
        same("event_timestamp"),
        same("event_name"),
        (
            "event_params",
            params("event_params", "p.value.float_value", &[]),
            new_params("event_params", &[]),
        ),
        same("user_id"),
        same("user_pseudo_id"),
        (
            "privacy_info",
            record(fields("privacy_info", &CONSENT)),
            record(fields("collector.consent", &CONSENT)),
        ),
        (
            "user_properties",
            params(
                "user_properties",
                "p.value.float_value",
                &["set_timestamp_micros"],
            ),
            new_params("user_properties", &["set_timestamp_micros"]),
        ),
        (
            "device",
            device("device.is_bot", "device.user_agent"),
            device("collector.bot.is_bot", "collector.user_agent"),
        ),
        (
            "geo",
            record(fields("geo", &["country", "region", "city"])),
            new_geo(),
        ),
        (
            "app_info",
            record(fields("app_info", &APP_INFO)),
            record(fields("app_info", &APP_INFO)),
        ),
        (
            "collected_traffic_source",
            traffic_source("collected_traffic_source.fbclid"),
            traffic_source(
                "(SELECT MAX(c.value) FROM UNNEST(collector.click_ids) AS c WHERE c.key = 'fbclid')",
            ),
        ),
        (
            "stream_id",
            "stream_id".to_owned(),
            "SAFE_CAST(stream_id AS INT64)".to_owned(),
        ),
        (
            "ecommerce",
            ecommerce(
                |name| format!("ecommerce.{name}"),
                "ecommerce.value".to_owned(),
            ),
            ecommerce(
                |name| {
                    format!(
                        "(SELECT MAX(p.value.string_value) FROM UNNEST(event_params) AS p WHERE p.key = '{name}')"
                    )
                },
                number("event_params", "value"),
            ),
        ),
        (
            "items",
            items("i.discount".to_owned(), "i.index"),
            items(
                number("i.item_params", DISCOUNT),
                "SAFE_CAST(i.item_list_index AS INT64)",
            ),
        ),
        same("ip"),
        ("event_id", event_id.to_owned(), "event_id".to_owned()),
        (
            "synced_at_utc_",
            synced_at_utc.to_owned(),
            "synced_at_utc_".to_owned(),
        ),
        same("synced_at_micros_"),
        same("subscription_name"),
        same("message_id"),
        same("publish_time"),
        same("attributes"),
    ]
}

type Field = (String, String);

fn fields(of: &str, names: &[&str]) -> Vec<Field> {
    let names = names.iter();
    names
        .map(|name| ((*name).to_owned(), format!("{of}.{name}")))
        .collect()
}

fn field(name: &str, value: impl Into<String>) -> Field {
    (name.to_owned(), value.into())
}

fn record(fields: Vec<Field>) -> String {
    let fields: Vec<String> = fields
        .into_iter()
        .map(|(name, value)| format!("{value} AS {name}"))
        .collect();
    format!("STRUCT({})", fields.join(", "))
}

fn list(of: &str, name: &str, fields: Vec<Field>) -> String {
    let fields: Vec<String> = fields
        .into_iter()
        .map(|(name, value)| format!("{value} AS {name}"))
        .collect();
    format!(
        "ARRAY(SELECT AS STRUCT {} FROM UNNEST({of}) AS {name} WITH OFFSET AS place ORDER BY place)",
        fields.join(", ")
    )
}

fn params(of: &str, fraction: &str, others: &[&str]) -> String {
    let mut value = fields("p.value", &["string_value", "int_value"]);
    value.push(field("float_value", fraction));
    value.extend(fields("p.value", others));
    list(
        of,
        "p",
        vec![field("key", "p.key"), field("value", record(value))],
    )
}

fn new_params(of: &str, others: &[&str]) -> String {
    params(
        of,
        "COALESCE(p.value.double_value, p.value.float_value)",
        others,
    )
}

/// A parameter that is a number.
fn number(of: &str, key: &str) -> String {
    format!(
        "(SELECT MAX(COALESCE(p.value.double_value, p.value.float_value, CAST(p.value.int_value AS FLOAT64))) FROM UNNEST({of}) AS p WHERE p.key = '{key}')"
    )
}

fn device(is_bot: &str, user_agent: &str) -> String {
    let mut device = fields("device", &DEVICE);
    device.push(field(
        "web_info",
        record(fields("device.web_info", &["browser", "browser_version"])),
    ));
    device.push(field("is_bot", is_bot));
    device.push(field("user_agent", user_agent));
    record(device)
}

/// The predecessor had the codes, as a load balancer of Google's brings them: `UA`, `UA77`.
fn new_geo() -> String {
    record(vec![
        field(
            "country",
            "COALESCE(collector.geo.country_code, geo.country)",
        ),
        field(
            "region",
            "COALESCE(REPLACE(collector.geo.region_code, '-', ''), geo.region)",
        ),
        field("city", "geo.city"),
    ])
}

fn traffic_source(fbclid: &str) -> String {
    let mut source = fields("collected_traffic_source", &TRAFFIC_SOURCE);
    source.push(field("fbclid", fbclid));
    record(source)
}

fn ecommerce(param: impl Fn(&str) -> String, value: String) -> String {
    let mut totals = vec![field("transaction_id", "ecommerce.transaction_id")];
    totals.extend(ECOMMERCE_PARAMS.iter().map(|name| field(name, param(name))));
    totals.push(field("value", value));
    totals.push(field(
        "total_item_quantity",
        "ecommerce.total_item_quantity",
    ));
    record(totals)
}

fn items(discount: String, index: &str) -> String {
    let mut item = fields("i", &ITEM);
    item.push(field(DISCOUNT, discount));
    item.push(field("index", index));
    list("items", "i", item)
}
