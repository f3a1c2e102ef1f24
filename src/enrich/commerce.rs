//! E-commerce totals, from items and parameters, for all intakes alike.
//!
//! What the client sent in a column stays. Amounts in US dollars are known where the currency is
//! USD; no rates are applied, so they are null for other currencies.

use std::collections::HashSet;

use super::text_param;
use crate::schema::{Ecommerce, Event, Item};

/// Fills in what items and parameters tell.
pub(super) fn fill(event: &mut Event) {
    let is_purchase = matches!(
        event.event_name.as_deref(),
        Some("purchase" | "in_app_purchase")
    );
    let is_refund = event.event_name.as_deref() == Some("refund");
    let in_usd = text_param(event, "currency")
        .is_some_and(|currency| currency.trim().eq_ignore_ascii_case("USD"));
    let value = number_param(event, "value");
    if in_usd {
        event.event_value_in_usd = event.event_value_in_usd.or(value);
    }

    let mut totals = event.ecommerce.take().unwrap_or_default();
    if !event.items.is_empty() {
        totals.total_item_quantity = totals
            .total_item_quantity
            .or_else(|| Some(quantity(&event.items)));
        totals.unique_items = totals
            .unique_items
            .or_else(|| i64::try_from(distinct(&event.items)).ok());
    }
    if is_purchase || is_refund {
        totals.transaction_id = totals
            .transaction_id
            .or_else(|| id_param(event, "transaction_id"));
        totals.tax_value = totals.tax_value.or_else(|| number_param(event, "tax"));
        totals.shipping_value = totals
            .shipping_value
            .or_else(|| number_param(event, "shipping"));
    }
    if is_purchase {
        totals.purchase_revenue = totals.purchase_revenue.or(value);
    }
    if is_refund {
        totals.refund_value = totals.refund_value.or(value);
    }
    if in_usd {
        totals.purchase_revenue_in_usd = totals.purchase_revenue_in_usd.or(totals.purchase_revenue);
        totals.refund_value_in_usd = totals.refund_value_in_usd.or(totals.refund_value);
        totals.shipping_value_in_usd = totals.shipping_value_in_usd.or(totals.shipping_value);
        totals.tax_value_in_usd = totals.tax_value_in_usd.or(totals.tax_value);
    }
    event.ecommerce = (totals != Ecommerce::default()).then_some(totals);

    for item in &mut event.items {
        if is_purchase {
            item.item_revenue = item.item_revenue.or_else(|| amount(item));
        }
        if is_refund {
            item.item_refund = item.item_refund.or_else(|| amount(item));
        }
        if in_usd {
            item.price_in_usd = item.price_in_usd.or(item.price);
            item.item_revenue_in_usd = item.item_revenue_in_usd.or(item.item_revenue);
            item.item_refund_in_usd = item.item_refund_in_usd.or(item.item_refund);
        }
    }
}

/// Sum of the quantities; an item without one counts once.
fn quantity(items: &[Item]) -> i64 {
    let quantities = items.iter().map(|item| item.quantity.unwrap_or(1));
    quantities.fold(0, i64::saturating_add)
}

/// Number of different items, told by id, else by name.
fn distinct(items: &[Item]) -> usize {
    let key = |item: &Item| item.item_id.clone().or_else(|| item.item_name.clone());
    items.iter().map(key).collect::<HashSet<_>>().len()
}

/// Price by quantity, to a millionth: without the dust of binary fractions.
fn amount(item: &Item) -> Option<f64> {
    let exact = item.price? * item.quantity.unwrap_or(1) as f64;
    let rounded = (exact * 1e6).round() / 1e6;
    Some(if rounded.is_finite() { rounded } else { exact }).filter(|amount| amount.is_finite())
}

fn number_param(event: &Event, key: &str) -> Option<f64> {
    let of_key = |param: &&crate::schema::EventParam| param.key.as_deref() == Some(key);
    let value = event
        .event_params
        .iter()
        .rev()
        .find(of_key)?
        .value
        .as_ref()?;
    let whole = value.int_value.map(|whole| whole as f64);
    let text = || value.string_value.as_deref()?.trim().parse().ok();
    value
        .double_value
        .or(value.float_value)
        .or(whole)
        .or_else(text)
        .filter(|number: &f64| number.is_finite())
}

fn id_param(event: &Event, key: &str) -> Option<String> {
    let of_key = |param: &&crate::schema::EventParam| param.key.as_deref() == Some(key);
    let value = event
        .event_params
        .iter()
        .rev()
        .find(of_key)?
        .value
        .as_ref()?;
    value
        .string_value
        .clone()
        .or_else(|| value.int_value.map(|number| number.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{EventParam, Value};

    fn param(key: &str, value: Value) -> EventParam {
        EventParam {
            key: Some(key.to_owned()),
            value: Some(value),
        }
    }

    fn text(text: &str) -> Value {
        Value {
            string_value: Some(text.to_owned()),
            ..Value::default()
        }
    }

    fn double(value: f64) -> Value {
        Value {
            double_value: Some(value),
            ..Value::default()
        }
    }

    fn item(id: &str, price: f64, quantity: Option<i64>) -> Item {
        Item {
            item_id: Some(id.to_owned()),
            price: Some(price),
            quantity,
            ..Item::default()
        }
    }

    fn sale(name: &str, currency: &str) -> Event {
        let mut event = Event {
            event_name: Some(name.to_owned()),
            event_params: vec![
                param("currency", text(currency)),
                param("value", double(69.97)),
                param("tax", text("5.5")),
                param(
                    "shipping",
                    Value {
                        int_value: Some(4),
                        ..Value::default()
                    },
                ),
                param(
                    "transaction_id",
                    Value {
                        int_value: Some(77),
                        ..Value::default()
                    },
                ),
            ],
            items: vec![
                item("a", 19.99, Some(3)),
                item("b", 10.0, None),
                item("a", 1.0, Some(1)),
            ],
            ..Event::default()
        };
        fill(&mut event);
        event
    }

    #[test]
    fn a_purchase_has_its_totals() {
        let event = sale("purchase", "EUR");
        let totals = event.ecommerce.unwrap();
        assert_eq!(totals.total_item_quantity, Some(5));
        assert_eq!(totals.unique_items, Some(2));
        assert_eq!(totals.purchase_revenue, Some(69.97));
        assert_eq!(totals.tax_value, Some(5.5));
        assert_eq!(totals.shipping_value, Some(4.0));
        assert_eq!(totals.transaction_id.as_deref(), Some("77"));
        assert_eq!(totals.refund_value, None);
        assert_eq!(totals.purchase_revenue_in_usd, None);
        assert_eq!(event.event_value_in_usd, None);
        assert_eq!(event.items[0].item_revenue, Some(59.97));
        assert_eq!(event.items[1].item_revenue, Some(10.0));
        assert_eq!(event.items[0].item_refund, None);
    }

    #[test]
    fn amounts_in_dollars_are_known_in_dollars() {
        let event = sale("refund", "usd");
        let totals = event.ecommerce.unwrap();
        assert_eq!(
            (totals.refund_value, totals.refund_value_in_usd),
            (Some(69.97), Some(69.97))
        );
        assert_eq!(
            (totals.tax_value_in_usd, totals.shipping_value_in_usd),
            (Some(5.5), Some(4.0))
        );
        assert_eq!(totals.purchase_revenue, None);
        assert_eq!(event.event_value_in_usd, Some(69.97));
        assert_eq!(
            (
                event.items[0].item_refund,
                event.items[0].item_refund_in_usd
            ),
            (Some(59.97), Some(59.97))
        );
        assert_eq!(event.items[0].price_in_usd, Some(19.99));
    }

    #[test]
    fn what_was_sent_stays() {
        let mut event = Event {
            event_name: Some("purchase".to_owned()),
            event_params: vec![param("value", double(1.0))],
            ecommerce: Some(Ecommerce {
                purchase_revenue: Some(2.0),
                total_item_quantity: Some(9),
                unique_items: Some(8),
                ..Ecommerce::default()
            }),
            items: vec![item("a", 1.0, None)],
            ..Event::default()
        };
        let sent = event.ecommerce.clone();
        fill(&mut event);
        assert_eq!(event.ecommerce, sent);
    }

    #[test]
    fn other_events_have_totals_of_items_only() {
        let event = sale("add_to_cart", "EUR");
        let totals = event.ecommerce.unwrap();
        assert_eq!(totals.total_item_quantity, Some(5));
        assert_eq!(
            (totals.purchase_revenue, totals.transaction_id),
            (None, None)
        );
        assert_eq!(event.items[0].item_revenue, None);
        let mut plain = Event {
            event_name: Some("page_view".to_owned()),
            ..Event::default()
        };
        fill(&mut plain);
        assert_eq!(plain.ecommerce, None);
    }

    #[test]
    fn absurd_numbers_do_not_overflow() {
        let mut event = sale("purchase", "EUR");
        event.ecommerce = None;
        event.items = vec![
            item("a", f64::MAX, Some(i64::MAX)),
            item("b", 1.0, Some(i64::MAX)),
        ];
        fill(&mut event);
        assert_eq!(event.ecommerce.unwrap().total_item_quantity, Some(i64::MAX));
        assert_eq!(event.items[0].item_revenue, None);
    }
}
