//! The ledger as metrics: the only place where their names are written.

use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::{DestinationTotals, IntakeTotals, Ledger, Outcomes as _};

impl Ledger {
    /// All counts in the Prometheus text format (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
    pub fn render(&self) -> String {
        let mut out = String::new();
        let mut page = Page { out: &mut out };
        self.render_intake(&mut page);
        self.render_requests(&mut page);
        self.render_destinations(&mut page);
        out
    }

    fn render_intake(&self, page: &mut Page<'_>) {
        let totals = self.intake();
        page.family(
            "events_received_total",
            "Events that clients sent.",
            "counter",
        );
        page.sample("events_received_total", "", totals.received);
        page.family(
            "events_synthesised_total",
            "Events that the collector made itself.",
            "counter",
        );
        page.sample("events_synthesised_total", "", totals.synthesised);
        page.family(
            "events_replayed_total",
            "Events of a dead letter that were appended again.",
            "counter",
        );
        page.sample("events_replayed_total", "", totals.replayed);
        page.family(
            "events_outcome_total",
            "What became of each event at the intake.",
            "counter",
        );
        for ((outcome, reason), value) in IntakeTotals::NAMES.iter().zip(totals.counts()) {
            if ["received", "synthesised", "replayed"].contains(outcome) {
                continue;
            }
            let reason = reason.unwrap_or_default();
            page.sample(
                "events_outcome_total",
                &format!("outcome=\"{outcome}\",reason=\"{reason}\""),
                value,
            );
        }
        page.family(
            "events_late_total",
            "Events settled after their request had been given up.",
            "counter",
        );
        page.sample(
            "events_late_total",
            "",
            self.counters.late.load(Ordering::Relaxed),
        );
        page.family("log_size_bytes", "Bytes that the log holds.", "gauge");
        let (size_bytes, max_bytes) = self.log_bytes();
        page.sample("log_size_bytes", "", size_bytes);
        page.family(
            "log_max_bytes",
            "Bytes that the log may hold; beyond, events are refused.",
            "gauge",
        );
        page.sample("log_max_bytes", "", max_bytes);
    }

    fn render_requests(&self, page: &mut Page<'_>) {
        page.family(
            "requests_refused_total",
            "Requests refused before they were parsed.",
            "counter",
        );
        for (reason, count) in self.requests_refused() {
            page.sample(
                "requests_refused_total",
                &format!("reason=\"{reason}\""),
                count,
            );
        }
        page.family(
            "requests_unlisted_origin_total",
            "Requests by scripts of origins that may not read the answer.",
            "counter",
        );
        page.sample(
            "requests_unlisted_origin_total",
            "",
            self.counters
                .requests_unlisted_origin
                .load(Ordering::Relaxed),
        );
    }

    fn render_destinations(&self, page: &mut Page<'_>) {
        let destinations = self.destinations();
        let read: Vec<(String, DestinationTotals, u64, bool)> = destinations
            .iter()
            .map(|d| {
                (
                    format!("destination=\"{}\"", escape(d.name())),
                    d.totals(),
                    d.pending(),
                    d.is_healthy(),
                )
            })
            .collect();
        page.family(
            "delivery_outcome_total",
            "What became of each appended event at each destination.",
            "counter",
        );
        for (label, totals, _, _) in &read {
            for ((outcome, _), value) in DestinationTotals::NAMES.iter().zip(totals.counts()) {
                page.sample(
                    "delivery_outcome_total",
                    &format!("{label},outcome=\"{outcome}\""),
                    value,
                );
            }
        }
        page.family(
            "delivery_pending",
            "Appended events that a destination has not settled yet.",
            "gauge",
        );
        for (label, _, pending, _) in &read {
            page.sample("delivery_pending", label, *pending);
        }
        page.family(
            "delivery_lag_seconds",
            "For how long the next event of a destination has waited, since the process started at most.",
            "gauge",
        );
        let now = Instant::now();
        for (destination, (label, ..)) in destinations.iter().zip(&read) {
            page.sample(
                "delivery_lag_seconds",
                label,
                destination.lag(now).as_secs(),
            );
        }
        page.family(
            "delivery_healthy",
            "Whether the last attempt to write succeeded.",
            "gauge",
        );
        for (label, _, _, healthy) in &read {
            page.sample("delivery_healthy", label, u64::from(*healthy));
        }
        page.family(
            "delivery_write_failures_total",
            "Attempts to write that failed.",
            "counter",
        );
        for destination in &destinations {
            let label = format!("destination=\"{}\"", escape(destination.name()));
            page.sample(
                "delivery_write_failures_total",
                &label,
                destination.failures(),
            );
        }
    }
}

/// Text under construction.
struct Page<'a> {
    out: &'a mut String,
}

impl Page<'_> {
    fn family(&mut self, name: &str, help: &str, kind: &str) {
        self.out
            .push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn sample(&mut self, name: &str, labels: &str, value: u64) {
        let braces = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{labels}}}")
        };
        self.out.push_str(&format!("{name}{braces} {value}\n"));
    }
}

/// A label value with what the format reserves escaped.
fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
