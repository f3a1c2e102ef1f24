//! E-commerce totals, from items and parameters, for all intakes alike; amounts in US dollars by a table of rates.
//!
//! What the client sent in a column stays. US dollars are known where the currency is USD, or where the operator gives a
//! table that has the currency; else they are null. Nothing is fetched, and a rate is that of now, not of the event's day.

use std::collections::{HashMap, HashSet};

use super::explain::{Explanation, Step};
use super::text_param;
use crate::schema::{Ecommerce, Event, Item};

/// US dollars per unit of a currency.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rates(HashMap<String, f64>);

/// The text is no table of rates.
#[derive(Debug, thiserror::Error)]
pub enum BadRates {
    /// It is no JSON object of numbers.
    #[error("it must be a JSON object of numbers, such as {{\"EUR\": 1.08}}: {0}")]
    Json(#[from] serde_json::Error),
    /// There is none in it.
    #[error("there is no currency in it")]
    Empty,
    /// One is wrong.
    #[error(
        "{0}: must be a currency of three letters, with a number of US dollars above 0 (USD: 1)"
    )]
    Rate(String),
}

impl Rates {
    /// Reads a JSON object: currency (ISO 4217) → US dollars per unit.
    ///
    /// # Errors
    /// It is none.
    pub fn read(text: &[u8]) -> Result<Self, BadRates> {
        let given: HashMap<String, f64> = serde_json::from_slice(text)?;
        if given.is_empty() {
            return Err(BadRates::Empty);
        }
        let mut rates = HashMap::with_capacity(given.len());
        for (currency, rate) in given {
            let is_currency =
                currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_alphabetic());
            let code = currency.to_ascii_uppercase();
            let is_rate = rate.is_finite() && rate > 0.0 && (code != "USD" || rate == 1.0);
            if !is_currency || !is_rate || rates.insert(code, rate).is_some() {
                return Err(BadRates::Rate(currency.chars().take(16).collect()));
            }
        }
        Ok(Self(rates))
    }
}

/// US dollars per unit of this currency, and what told so.
fn rate(currency: &str, rates: Option<&Rates>) -> (Option<f64>, &'static str) {
    let code = currency.trim().to_ascii_uppercase();
    if code == "USD" {
        return (Some(1.0), "amounts are in US dollars");
    }
    let known = rates.and_then(|rates| rates.0.get(&code)).copied();
    let rule = match (known, rates) {
        (Some(_), _) => "rate of the currency",
        (None, Some(_)) => "no rate of the currency",
        (None, None) => "no rates are configured",
    };
    (known, rule)
}

/// Fills in what items and parameters tell.
pub(super) fn fill(event: &mut Event, rates: Option<&Rates>, explanation: &mut Explanation) {
    let is_purchase = matches!(
        event.event_name.as_deref(),
        Some("purchase" | "in_app_purchase")
    );
    let is_refund = event.event_name.as_deref() == Some("refund");
    let currency = text_param(event, "currency");
    let (rate, rule) = currency.map_or((None, "no currency"), |currency| rate(currency, rates));
    let in_usd = |amount: Option<f64>| Some(rounded(amount? * rate?)).filter(|usd| usd.is_finite());
    let value = number_param(event, "value");
    event.event_value_in_usd = event.event_value_in_usd.or(in_usd(value));

    for item in &mut event.items {
        if is_purchase {
            item.item_revenue = item.item_revenue.or_else(|| amount(item));
            item.item_revenue_in_usd = item.item_revenue_in_usd.or(in_usd(item.item_revenue));
        }
        if is_refund {
            item.item_refund = item.item_refund.or_else(|| amount(item));
            item.item_refund_in_usd = item.item_refund_in_usd.or(in_usd(item.item_refund));
        }
        item.price_in_usd = item.price_in_usd.or(in_usd(item.price));
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
        let of_items = || sum(event.items.iter().map(|item| item.item_revenue));
        totals.purchase_revenue = totals.purchase_revenue.or(value).or_else(of_items);
    }
    if is_refund {
        let of_items = || sum(event.items.iter().map(|item| item.item_refund));
        totals.refund_value = totals.refund_value.or(value).or_else(of_items);
    }
    for (amount, usd) in [
        (totals.purchase_revenue, &mut totals.purchase_revenue_in_usd),
        (totals.refund_value, &mut totals.refund_value_in_usd),
        (totals.shipping_value, &mut totals.shipping_value_in_usd),
        (totals.tax_value, &mut totals.tax_value_in_usd),
    ] {
        *usd = usd.or(in_usd(amount));
    }
    explanation.step(|| explained(event, &totals, rule));
    event.ecommerce = (totals != Ecommerce::default()).then_some(totals);
}

fn explained(event: &Event, totals: &Ecommerce, rule: &'static str) -> Step {
    let items = Some(event.items.len()).filter(|items| *items > 0);
    Step::new("commerce", rule)
        .saw("currency", text_param(event, "currency"))
        .saw("value", number_param(event, "value"))
        .saw("items", items)
        .filled("event_value_in_usd", event.event_value_in_usd)
        .filled("ecommerce.total_item_quantity", totals.total_item_quantity)
        .filled("ecommerce.unique_items", totals.unique_items)
        .filled("ecommerce.purchase_revenue", totals.purchase_revenue)
        .filled(
            "ecommerce.purchase_revenue_in_usd",
            totals.purchase_revenue_in_usd,
        )
        .filled("ecommerce.refund_value", totals.refund_value)
        .filled("ecommerce.refund_value_in_usd", totals.refund_value_in_usd)
        .filled("ecommerce.tax_value", totals.tax_value)
        .filled("ecommerce.shipping_value", totals.shipping_value)
        .filled("ecommerce.transaction_id", totals.transaction_id.as_ref())
}

/// Sum of the items' amounts; `None` where one of them is not known.
fn sum(amounts: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let mut amounts = amounts.peekable();
    amounts.peek()?;
    let sum = amounts.sum::<Option<f64>>()?;
    Some(rounded(sum)).filter(|sum| sum.is_finite())
}

/// Sum of the quantities; an item without one counts once.
fn quantity(items: &[Item]) -> i64 {
    let quantities = items.iter().map(|item| item.quantity.unwrap_or(1));
    quantities.fold(0, i64::saturating_add)
}

/// Number of different items, told by id, else by name.
fn distinct(items: &[Item]) -> usize {
    fn key(item: &Item) -> Option<&str> {
        item.item_id.as_deref().or(item.item_name.as_deref())
    }
    items.iter().map(key).collect::<HashSet<_>>().len()
}

/// Price by quantity, without the dust of binary fractions.
fn amount(item: &Item) -> Option<f64> {
    let exact = item.price? * item.quantity.unwrap_or(1) as f64;
    Some(rounded(exact)).filter(|amount| amount.is_finite())
}

/// To a millionth, where that can be said.
fn rounded(exact: f64) -> f64 {
    let rounded = (exact * 1e6).round() / 1e6;
    if rounded.is_finite() { rounded } else { exact }
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
        fill(&mut event, None, &mut Explanation::unasked());
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

    fn sold(name: &str, currency: &str, rates: &str) -> Event {
        let rates = Rates::read(rates.as_bytes()).unwrap();
        let mut event = sale(name, "");
        event.ecommerce = None;
        event.event_params[0] = param("currency", text(currency));
        let mut explanation = Explanation::asked();
        fill(&mut event, Some(&rates), &mut explanation);
        assert_eq!(explanation.into_steps()[0].step, "commerce");
        event
    }

    #[test]
    fn other_currencies_are_in_dollars_by_their_rate() {
        let event = sold("purchase", " eur ", r#"{"EUR": 1.25, "jpy": 0.0065}"#);
        let totals = event.ecommerce.unwrap();
        assert_eq!(event.event_value_in_usd, Some(87.4625));
        assert_eq!(totals.purchase_revenue, Some(69.97));
        assert_eq!(totals.purchase_revenue_in_usd, Some(87.4625));
        assert_eq!(totals.tax_value_in_usd, Some(6.875));
        assert_eq!(totals.shipping_value_in_usd, Some(5.0));
        assert_eq!(totals.refund_value_in_usd, None);
        assert_eq!(event.items[0].price_in_usd, Some(24.9875));
        assert_eq!(event.items[0].item_revenue_in_usd, Some(74.9625));
        assert_eq!(event.items[0].item_refund_in_usd, None);

        let event = sold("refund", "JPY", r#"{"EUR": 1.25, "jpy": 0.0065}"#);
        assert_eq!(event.items[1].item_refund_in_usd, Some(0.065));
        assert_eq!(event.ecommerce.unwrap().refund_value_in_usd, Some(0.454805));

        let event = sold("purchase", "GBP", r#"{"EUR": 1.25}"#);
        assert_eq!(event.event_value_in_usd, None);
        assert_eq!(event.ecommerce.unwrap().purchase_revenue_in_usd, None);
        assert_eq!(event.items[0].price_in_usd, None);
    }

    #[test]
    fn what_is_no_table_of_rates_is_told() {
        for (text, told) in [
            ("", "JSON"),
            ("[1]", "JSON"),
            (r#"{"EUR": "1"}"#, "JSON"),
            (r#"{"EUR": 1e999}"#, "JSON"),
            ("{}", "no currency"),
            (r#"{"EUR": 0}"#, "EUR"),
            (r#"{"EUR": -1}"#, "EUR"),
            (r#"{"EURO": 1}"#, "EURO"),
            (r#"{"E1R": 1}"#, "E1R"),
            (r#"{"USD": 1.1}"#, "USD"),
            (r#"{"eur": 1, "EUR": 1}"#, "three letters"),
        ] {
            let error = Rates::read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
        assert!(Rates::read(br#"{"USD": 1, "EUR": 1.1}"#).is_ok());
    }

    #[test]
    fn totals_are_those_of_the_items_where_no_value_is_sent() {
        for (name, revenue, refund) in [
            ("purchase", Some(70.97), None),
            ("refund", None, Some(70.97)),
            ("add_to_cart", None, None),
        ] {
            let mut event = sale(name, "USD");
            event.ecommerce = None;
            event.event_params.truncate(1);
            fill(&mut event, None, &mut Explanation::unasked());
            let totals = event.ecommerce.unwrap();
            assert_eq!(
                (totals.purchase_revenue, totals.refund_value),
                (revenue, refund)
            );
            assert_eq!(totals.purchase_revenue_in_usd, revenue);
        }
        let mut event = sale("purchase", "EUR");
        event.ecommerce = None;
        event.event_params.truncate(1);
        event.items[1] = Item::default();
        fill(&mut event, None, &mut Explanation::unasked());
        let totals = event.ecommerce.unwrap();
        assert_eq!(
            totals.purchase_revenue, None,
            "the price of one is not known"
        );
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
        fill(&mut event, None, &mut Explanation::unasked());
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
        fill(&mut plain, None, &mut Explanation::unasked());
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
        fill(&mut event, None, &mut Explanation::unasked());
        assert_eq!(event.ecommerce.unwrap().total_item_quantity, Some(i64::MAX));
        assert_eq!(event.items[0].item_revenue, None);
    }
}
