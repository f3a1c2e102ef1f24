//! Reads variables as what they should be, and gathers every fault instead of stopping at the first.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::Invalid;
use super::variables::{ACCEPTED, PREFIX, VARIABLES};

/// What is wrong with one variable. Never shows the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Name of the variable.
    pub variable: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.variable, self.message)
    }
}

/// The variables as they were set, and the faults found so far.
#[derive(Debug)]
pub(super) struct Reader {
    values: BTreeMap<String, String>,
    pub(super) faults: Vec<Fault>,
}

impl Reader {
    /// `values`: whole names, upper case.
    pub(super) fn new(values: BTreeMap<String, String>) -> Self {
        let mut reader = Self {
            values,
            faults: Vec::new(),
        };
        reader.find_unknown();
        reader
    }

    fn find_unknown(&mut self) {
        let known =
            |name: &str| VARIABLES.iter().any(|v| v.name == name) || ACCEPTED.contains(&name);
        let unknown: Vec<String> = self
            .values
            .keys()
            .filter(|name| name.strip_prefix(PREFIX).is_some_and(|name| !known(name)))
            .cloned()
            .collect();
        for name in unknown {
            self.fault(&name, "there is no such variable; .env.template lists all");
        }
    }

    /// The configuration, if nothing was wrong.
    pub(super) fn checked<T>(self, config: T) -> Result<T, Invalid> {
        if self.faults.is_empty() {
            Ok(config)
        } else {
            Err(Invalid(self.faults))
        }
    }

    pub(super) fn fault(&mut self, variable: &str, message: impl Into<String>) {
        // Some are read for more than one purpose.
        if self.faults.iter().any(|fault| fault.variable == variable) {
            return;
        }
        self.faults.push(Fault {
            variable: variable.to_owned(),
            message: message.into(),
        });
    }

    /// A variable outside the prefix, if it is set and not empty.
    pub(super) fn plain(&self, name: &str) -> Option<&str> {
        self.values
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Variables outside the prefix whose names begin like this and that are not empty.
    #[cfg(feature = "delta")]
    pub(super) fn plain_with(&self, beginnings: &[&str]) -> impl Iterator<Item = (&str, &str)> {
        let all = self.values.iter();
        let all = all.map(|(name, value)| (name.as_str(), value.as_str()));
        all.filter(|(name, value)| {
            let is_named = beginnings
                .iter()
                .any(|beginning| name.starts_with(beginning));
            is_named && !value.is_empty()
        })
    }

    /// A variable as text, or its default.
    pub(super) fn text(&self, name: &str) -> String {
        let set = self.plain(&format!("{PREFIX}{name}"));
        set.map_or_else(|| default(name).to_owned(), str::to_owned)
    }

    /// A variable as what `parse` makes of it; `wanted` says what would be right. A fault gives the default.
    pub(super) fn parse<T>(
        &mut self,
        name: &str,
        wanted: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> T
    where
        T: Default,
    {
        let text = self.text(name);
        if let Some(value) = parse(text.trim()) {
            return value;
        }
        self.fault(&format!("{PREFIX}{name}"), format!("must be {wanted}"));
        parse(default(name)).unwrap_or_default()
    }

    /// A whole number of at least `least`.
    pub(super) fn integer<T: FromStr + PartialOrd + fmt::Display + Copy + Default>(
        &mut self,
        name: &str,
        least: T,
    ) -> T {
        self.parse(
            name,
            &format!("a whole number of at least {least}"),
            |text| text.parse().ok().filter(|value| *value >= least),
        )
    }

    /// A time in seconds, more than zero.
    pub(super) fn seconds(&mut self, name: &str) -> Duration {
        self.parse(name, "a number of seconds above 0, such as 0.5", |text| {
            let seconds: f64 = text.parse().ok()?;
            (seconds > 0.0)
                .then(|| Duration::try_from_secs_f64(seconds).ok())
                .flatten()
        })
    }

    /// A number of bytes.
    pub(super) fn bytes(&mut self, name: &str) -> u64 {
        self.parse(name, "a size such as 65536, 512KiB, 64MiB or 10GiB", bytes)
    }

    /// Yes or no.
    pub(super) fn boolean(&mut self, name: &str) -> bool {
        self.parse(name, "true or false", |text| {
            match text.to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => Some(true),
                "false" | "0" | "no" | "off" => Some(false),
                _ => None,
            }
        })
    }

    /// A JSON list of text.
    pub(super) fn list(&mut self, name: &str) -> Vec<String> {
        self.parse(
            name,
            "a JSON list such as [\"https://example.com\"]",
            |text| {
                if text.is_empty() {
                    Some(Vec::new())
                } else {
                    serde_json::from_str(text).ok()
                }
            },
        )
    }
}

fn default(name: &str) -> &'static str {
    VARIABLES
        .iter()
        .find(|variable| variable.name == name)
        .map_or("", |variable| variable.default)
}

fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: u64 = digits.parse().ok()?;
    let unit = match text[digits.len()..].trim().to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KB" | "KIB" => 1 << 10,
        "M" | "MB" | "MIB" => 1 << 20,
        "G" | "GB" | "GIB" => 1 << 30,
        "T" | "TB" | "TIB" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(unit).filter(|bytes| *bytes > 0)
}
