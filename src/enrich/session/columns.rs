//! What a session fills in its events. What the client sent stays as it is.
//!
//! Columns of Google Ads and of its other ad systems stay null: only Google can resolve their click ids.

use super::super::traffic_source::Source;
use super::click::Click;
use super::{SESSION_ENGAGED, SESSION_ID, SESSION_NUMBER, State, param, whole_param};
use crate::schema::{
    CrossChannelCampaign, Event, EventParam, ManualCampaign, SessionTrafficSourceLastClick,
    TrafficSource, Value,
};

/// GA4's words for a visit without source.
const DIRECT: &str = "(direct)";
const NONE: &str = "(none)";

/// Names the channel group of a source.
pub(in super::super) type Group<'g> = &'g dyn Fn(Source<'_>) -> &'static str;

/// Fills in what the session knows.
pub(super) fn fill(event: &mut Event, state: &State, group: Group<'_>) {
    let whole = |value| Value {
        int_value: Some(value),
        ..Value::default()
    };
    let engaged = Value {
        string_value: Some(if state.is_engaged { "1" } else { "0" }.to_owned()),
        ..Value::default()
    };
    let values = [
        (SESSION_ID, whole(state.id)),
        (SESSION_NUMBER, whole(state.number)),
        (SESSION_ENGAGED, engaged),
    ];
    for (key, value) in values {
        if param(event, key).is_none() {
            event.event_params.push(EventParam {
                key: Some(key.to_owned()),
                value: Some(value),
            });
        }
    }
    event
        .user_first_touch_timestamp
        .get_or_insert(state.first_touch);
    if event.is_active_user.is_none() {
        let has_engaged = whole_param(event, "engagement_time_msec").is_some_and(|time| time > 0);
        event.is_active_user = Some(state.is_engaged || state.number == 1 || has_engaged);
    }
    event.traffic_source = Some(first_source(state.first_click.as_ref()));
    event.session_traffic_source_last_click =
        Some(Box::new(last_click(state.last_click.as_ref(), group)));
}

fn first_source(click: Option<&Click>) -> TrafficSource {
    match click {
        Some(click) => TrafficSource {
            name: click.campaign_name.clone(),
            medium: click.medium.clone(),
            source: click.source.clone(),
        },
        None => TrafficSource {
            name: Some(DIRECT.to_owned()),
            medium: Some(NONE.to_owned()),
            source: Some(DIRECT.to_owned()),
        },
    }
}

fn last_click(click: Option<&Click>, group: Group<'_>) -> SessionTrafficSourceLastClick {
    let direct = Click {
        campaign_name: Some(DIRECT.to_owned()),
        source: Some(DIRECT.to_owned()),
        medium: Some(NONE.to_owned()),
        ..Click::default()
    };
    let click = click.cloned().unwrap_or(direct);
    let group = group(Source {
        source: click.source.as_deref(),
        medium: click.medium.as_deref(),
        campaign: click.campaign_name.as_deref(),
    });
    let cross_channel_campaign = CrossChannelCampaign {
        campaign_id: click.campaign_id.clone(),
        campaign_name: click.campaign_name.clone(),
        source: click.source.clone(),
        medium: click.medium.clone(),
        source_platform: click.source_platform.clone(),
        default_channel_group: Some(group.to_owned()),
        // A property's own groups are not known here: its primary one is the default one, as in GA4 until somebody changes it.
        primary_channel_group: Some(group.to_owned()),
    };
    SessionTrafficSourceLastClick {
        manual_campaign: Some(ManualCampaign {
            campaign_id: click.campaign_id,
            campaign_name: click.campaign_name,
            source: click.source,
            medium: click.medium,
            term: click.term,
            content: click.content,
            source_platform: click.source_platform,
            creative_format: click.creative_format,
            marketing_tactic: click.marketing_tactic,
        }),
        cross_channel_campaign: Some(cross_channel_campaign),
        ..SessionTrafficSourceLastClick::default()
    }
}
