//! `ecommerce` and `items`, in the original's flat form and in GA4's own.
//!
//! What GA4 has no column for in `ecommerce` becomes an event parameter of the same name, and in an
//! item an item parameter. Totals are not computed here: `enrich::commerce` does so for all intakes.

use super::input::{Fault, Input, Path, fault};
use super::json::Kind;
use super::params;
use crate::schema::{Ecommerce, EventParam, Item, Value};

/// What an `ecommerce` object said.
#[derive(Debug, Default)]
pub(super) struct Commerce {
    /// GA4's columns.
    pub(super) columns: Ecommerce,
    /// Members that GA4 has as event parameters.
    pub(super) params: Vec<EventParam>,
    /// The items in it, if it held any.
    pub(super) items: Vec<Item>,
}

/// Reads `ecommerce`; `None` for null.
pub(super) fn ecommerce(input: &mut Input<'_>, at: &Path<'_>) -> Result<Option<Commerce>, Fault> {
    if !input.object(at)? {
        return Ok(None);
    }
    let mut commerce = Commerce::default();
    let columns = &mut commerce.columns;
    while let Some(name) = input.json.next_key()? {
        let at = at.field(&name);
        match name.as_ref() {
            "transaction_id" => columns.transaction_id = input.text(at)?,
            "total_item_quantity" => columns.total_item_quantity = input.integer(at)?,
            "unique_items" => columns.unique_items = input.integer(at)?,
            "purchase_revenue" => columns.purchase_revenue = input.number(at)?,
            "purchase_revenue_in_usd" => columns.purchase_revenue_in_usd = input.number(at)?,
            "refund_value" => columns.refund_value = input.number(at)?,
            "refund_value_in_usd" => columns.refund_value_in_usd = input.number(at)?,
            "shipping_value" => columns.shipping_value = input.number(at)?,
            "shipping_value_in_usd" => columns.shipping_value_in_usd = input.number(at)?,
            "tax_value" => columns.tax_value = input.number(at)?,
            "tax_value_in_usd" => columns.tax_value_in_usd = input.number(at)?,
            "tax" => {
                columns.tax_value = input.number(at)?;
                number_param(&mut commerce.params, &name, columns.tax_value);
            }
            "shipping" => {
                columns.shipping_value = input.number(at)?;
                number_param(&mut commerce.params, &name, columns.shipping_value);
            }
            "value" => number_param(&mut commerce.params, &name, input.number(at)?),
            "currency" | "coupon" | "payment_type" | "shipping_tier" | "affiliation"
            | "item_list_id" | "item_list_name" | "promotion_id" | "promotion_name"
            | "creative_name" | "creative_slot" => {
                let string_value = input.text(at)?;
                if string_value.is_some() {
                    let value = Value {
                        string_value,
                        ..Value::default()
                    };
                    commerce.params.push(params::param(&name, value));
                }
            }
            "items" => commerce.items = items(input, &at)?,
            _ => input.ignore(&at)?,
        }
    }
    params::keep_last(&mut commerce.params, |param| param.key.as_deref());
    Ok(Some(commerce))
}

fn number_param(others: &mut Vec<EventParam>, key: &str, double_value: Option<f64>) {
    if double_value.is_some() {
        let value = Value {
            double_value,
            ..Value::default()
        };
        others.push(params::param(key, value));
    }
}

/// Reads `items`.
pub(super) fn items(input: &mut Input<'_>, at: &Path<'_>) -> Result<Vec<Item>, Fault> {
    let mut items = Vec::new();
    if !input.array(at)? {
        return Ok(items);
    }
    let mut index = 0;
    while input.json.next_element()? {
        let at = at.index(index);
        index += 1;
        match input.json.peek()? {
            Kind::Object => items.push(item(input, &at)?),
            Kind::Null => {
                input.json.skip()?;
                input.warn(&at, "was ignored: it is null");
            }
            _ => return Err(fault(&at, "must be an object")),
        }
    }
    Ok(items)
}

fn item(input: &mut Input<'_>, at: &Path<'_>) -> Result<Item, Fault> {
    let mut item = Item::default();
    let mut others = Vec::new();
    input.json.enter();
    while let Some(name) = input.json.next_key()? {
        let at = at.field(&name);
        match name.as_ref() {
            "item_id" => item.item_id = input.text(at)?,
            "item_name" => item.item_name = input.text(at)?,
            "item_brand" => item.item_brand = input.text(at)?,
            "item_variant" => item.item_variant = input.text(at)?,
            "item_category" => item.item_category = input.text(at)?,
            "item_category2" => item.item_category2 = input.text(at)?,
            "item_category3" => item.item_category3 = input.text(at)?,
            "item_category4" => item.item_category4 = input.text(at)?,
            "item_category5" => item.item_category5 = input.text(at)?,
            "price_in_usd" => item.price_in_usd = input.number(at)?,
            "price" => item.price = input.number(at)?,
            "quantity" => item.quantity = input.integer(at)?,
            "item_revenue_in_usd" => item.item_revenue_in_usd = input.number(at)?,
            "item_revenue" => item.item_revenue = input.number(at)?,
            "item_refund_in_usd" => item.item_refund_in_usd = input.number(at)?,
            "item_refund" => item.item_refund = input.number(at)?,
            "coupon" => item.coupon = input.text(at)?,
            "affiliation" => item.affiliation = input.text(at)?,
            "location_id" => item.location_id = input.text(at)?,
            "item_list_id" => item.item_list_id = input.text(at)?,
            "item_list_name" => item.item_list_name = input.text(at)?,
            "item_list_index" | "index" => item.item_list_index = input.text(at)?,
            "promotion_id" => item.promotion_id = input.text(at)?,
            "promotion_name" => item.promotion_name = input.text(at)?,
            "creative_name" => item.creative_name = input.text(at)?,
            "creative_slot" => item.creative_slot = input.text(at)?,
            "item_params" => item.item_params = params::event_params(input, &at)?,
            _ => {
                if let Some(value) = params::value(input, &at)? {
                    others.push(params::param(&name, value));
                }
            }
        }
    }
    params::keep_last(&mut others, |param| param.key.as_deref());
    item.item_params.append(&mut others);
    Ok(item)
}
