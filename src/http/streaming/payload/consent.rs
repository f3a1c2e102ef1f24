//! Consent: `privacy_info` of the original, seven states, as GA4's three texts and the seven states.
//!
//! A state that nobody understands is unset, with a warning. If the client sends no `privacy_info`,
//! GA4's three are null, not `Unset`: nothing is known of a client that has no consent mode.

use super::input::{Fault, Input, Path};
use super::json::Scalar;
use crate::schema::{Consent, PrivacyInfo};

/// Reads consent; `None` for null.
pub(super) fn read(
    input: &mut Input<'_>,
    at: &Path<'_>,
) -> Result<Option<(PrivacyInfo, Consent)>, Fault> {
    if !input.object(at)? {
        return Ok(None);
    }
    let mut consent = Consent::default();
    let mut transient_token = false;
    while let Some(name) = input.json.next_key()? {
        let at = at.field(&name);
        let state = match name.as_ref() {
            "ad_storage" | "ads_storage" => &mut consent.ad_storage,
            "ad_user_data" => &mut consent.ad_user_data,
            "ad_personalization" => &mut consent.ad_personalization,
            "analytics_storage" => &mut consent.analytics_storage,
            "functionality_storage" => &mut consent.functionality_storage,
            "personalization_storage" => &mut consent.personalization_storage,
            "security_storage" => &mut consent.security_storage,
            "uses_transient_token" => {
                transient_token = flag(input, &at)?.unwrap_or_default();
                continue;
            }
            _ => {
                input.ignore(&at)?;
                continue;
            }
        };
        *state = flag(input, &at)?;
    }
    let privacy_info = PrivacyInfo {
        analytics_storage: Some(ga4_text(consent.analytics_storage).to_owned()),
        ads_storage: Some(ga4_text(consent.ad_storage).to_owned()),
        uses_transient_token: Some(if transient_token { "Yes" } else { "No" }.to_owned()),
    };
    Ok(Some((privacy_info, consent)))
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
