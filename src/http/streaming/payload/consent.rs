//! Consent as clients send it: the seven states of the consent mode, in any spelling, Google's `gcs` and `gcd`, the strings of IAB.
//!
//! A state that nobody understands is unset, with a warning; `enrich::consent` brings the forms together. If the client sends no consent at all,
//! GA4's three columns are null, not `Unset`: nothing is known of a client that has no consent mode.

use super::input::{Fault, Input, Path};
use super::json::{Kind, Scalar};
use crate::schema::{Consent, PrivacyInfo};

/// Longest string of consent that is kept, in bytes.
const MAX_STRING: usize = 8192;

/// What a client says of consent, from as many members as it likes.
#[derive(Debug, Default)]
pub(super) struct Sent {
    consent: Consent,
    /// Whether a transient token took the place of a stored id.
    has_token: Option<bool>,
    /// Whether states were sent, not only strings.
    has_states: bool,
}

impl Sent {
    /// Whether a member of this name, of the event or of its consent, is a string of consent. If so it is read.
    pub(super) fn string(
        &mut self,
        input: &mut Input<'_>,
        at: &Path<'_>,
        name: &str,
    ) -> Result<bool, Fault> {
        let Some(slot) = self.slot(name) else {
            return Ok(false);
        };
        *slot = string(input, at)?;
        Ok(true)
    }

    fn slot(&mut self, name: &str) -> Option<&mut Option<String>> {
        let consent = &mut self.consent;
        Some(match name {
            "gcs" | "x-ga-gcs" => &mut consent.gcs,
            "gcd" | "x-ga-gcd" => &mut consent.gcd,
            "tcf" | "tc_string" | "tcString" | "gdpr_consent" => &mut consent.tcf,
            "gpp" | "gpp_string" => &mut consent.gpp,
            "gpp_sid" => &mut consent.gpp_sid,
            "us_privacy" => &mut consent.us_privacy,
            _ => return None,
        })
    }

    /// Reads an object of states, or `gcs` by itself.
    pub(super) fn read(&mut self, input: &mut Input<'_>, at: &Path<'_>) -> Result<(), Fault> {
        if input.json.peek()? == Kind::Text {
            self.consent.gcs = string(input, at)?;
            return Ok(());
        }
        if !input.object(at)? {
            return Ok(());
        }
        self.has_states = true;
        while let Some(name) = input.json.next_key()? {
            let at = at.field(&name);
            let consent = &mut self.consent;
            let state = match name.as_ref() {
                "ad_storage" | "ads_storage" => &mut consent.ad_storage,
                "ad_user_data" => &mut consent.ad_user_data,
                "ad_personalization" => &mut consent.ad_personalization,
                "analytics_storage" => &mut consent.analytics_storage,
                "functionality_storage" => &mut consent.functionality_storage,
                "personalization_storage" => &mut consent.personalization_storage,
                "security_storage" => &mut consent.security_storage,
                "uses_transient_token" => &mut self.has_token,
                other => {
                    if !self.string(input, &at, other)? {
                        input.ignore(&at)?;
                    }
                    continue;
                }
            };
            *state = flag(input, &at)?;
        }
        Ok(())
    }

    /// What goes into the row; nothing if nothing was sent.
    pub(super) fn columns(self) -> (Option<PrivacyInfo>, Option<Consent>) {
        let Self {
            consent,
            has_token,
            has_states,
        } = self;
        let privacy_info = has_states.then(|| PrivacyInfo {
            analytics_storage: Some(ga4_text(consent.analytics_storage).to_owned()),
            ads_storage: Some(ga4_text(consent.ad_storage).to_owned()),
            uses_transient_token: Some(ga4_text(Some(has_token == Some(true))).to_owned()),
        });
        let is_sent = has_states || consent != Consent::default();
        (privacy_info, is_sent.then_some(consent))
    }
}

/// A string of consent; what is none, or too long, is ignored with a warning.
fn string(input: &mut Input<'_>, at: &Path<'_>) -> Result<Option<String>, Fault> {
    let text = match input.json.scalar()? {
        Scalar::Null => return Ok(None),
        Scalar::Text(text) => text.into_owned(),
        Scalar::Number(digits) => digits.to_owned(),
        Scalar::Bool(_) | Scalar::Nested(_) => {
            input.warn(at, "was ignored: it is not a text");
            return Ok(None);
        }
    };
    if text.len() > MAX_STRING {
        input.warn(at, "was ignored: it is longer than 8192 bytes");
        return Ok(None);
    }
    Ok(Some(text).filter(|text| !text.trim().is_empty()))
}

fn ga4_text(state: Option<bool>) -> &'static str {
    match state {
        Some(true) => "Yes",
        Some(false) => "No",
        None => "Unset",
    }
}

/// Yes or no, in any of the ways in which clients write it.
pub(super) fn flag(input: &mut Input<'_>, at: &Path<'_>) -> Result<Option<bool>, Fault> {
    let scalar = input.json.scalar()?;
    let word = match &scalar {
        Scalar::Null => return Ok(None),
        Scalar::Bool(state) => return Ok(Some(*state)),
        Scalar::Number(digits) => digits,
        Scalar::Text(text) => text.trim(),
        Scalar::Nested(_) => "",
    };
    const YES: [&str; 7] = ["granted", "true", "yes", "1", "on", "y", "t"];
    const NO: [&str; 7] = ["denied", "false", "no", "0", "off", "n", "f"];
    let is_among = |words: &[&str]| words.iter().any(|known| word.eq_ignore_ascii_case(known));
    if is_among(&YES) {
        return Ok(Some(true));
    }
    if is_among(&NO) {
        return Ok(Some(false));
    }
    if !word.eq_ignore_ascii_case("unset")
        && !matches!(&scalar, Scalar::Text(text) if text.trim().is_empty())
    {
        input.warn(at, "was taken as unset: it is neither yes nor no");
    }
    Ok(None)
}
