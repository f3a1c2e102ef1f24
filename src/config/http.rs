//! The variables of the door: connections, origins, the cookie, who may send, who may see.

use std::net::SocketAddr;
use std::time::Duration;

use crate::enrich::client_ip::Platform;
use crate::http::{
    AdminConfig, ClientHintsPolicy, CookieConfig, CorsConfig, Rate, SameSite, Secret,
    SendersConfig, ServerConfig, is_cookie_name,
};

use super::enrichment;
use super::read::{CLOUD_RUN, Choice};
use super::reader::Reader;
use super::variables::PREFIX;

pub(super) fn read_senders(reader: &mut Reader) -> SendersConfig {
    SendersConfig {
        streams: reader.list("INTAKE__STREAMS"),
        write_keys: read_write_keys(reader),
        of_address: read_rate(reader, "INTAKE__IP_RATE", "INTAKE__IP_BURST"),
        of_stream: read_rate(reader, "INTAKE__STREAM_RATE", "INTAKE__STREAM_BURST"),
    }
}

pub(super) fn read_server(reader: &mut Reader) -> ServerConfig {
    let is_behind_proxies = reader.plain(CLOUD_RUN).is_some()
        || enrichment::read_trusted_hops(reader) > 0
        || enrichment::read_platform(reader) != Platform::None;
    let max_connections: usize = reader.integer("HTTP__MAX_CONNECTIONS", 1);
    let is_given = |reader: &Reader, name: &str| !reader.text(name).is_empty();
    let idle_timeout = match (is_given(reader, "HTTP__IDLE_TIMEOUT"), is_behind_proxies) {
        (true, _) => reader.seconds("HTTP__IDLE_TIMEOUT"),
        (false, true) => Duration::from_secs(610),
        (false, false) => Duration::from_secs(75),
    };
    let max_connections_of_address = match is_given(reader, "HTTP__MAX_CONNECTIONS_PER_IP") {
        true => reader.integer("HTTP__MAX_CONNECTIONS_PER_IP", 1),
        false if is_behind_proxies => max_connections,
        false => (max_connections / 4).max(1),
    };
    ServerConfig {
        request_timeout: reader.seconds("HTTP__REQUEST_TIMEOUT"),
        header_timeout: reader.seconds("HTTP__HEADER_TIMEOUT"),
        idle_timeout,
        max_connections,
        max_connections_of_address,
    }
}

/// By default a burst is what comes in so many seconds.
const BURST_SECONDS: f64 = 10.0;

/// Shorter secrets can be guessed.
const MIN_TOKEN_CHARACTERS: usize = 16;

fn read_rate(reader: &mut Reader, rate: &str, burst: &str) -> Option<Rate> {
    let number = |least: f64| {
        move |text: &str| {
            let number = text.parse::<f64>().ok();
            number.filter(|number| number.is_finite() && *number >= least)
        }
    };
    let events_per_second =
        reader.parse(rate, "a number of events a second, 0 or more", number(0.0));
    let given = reader.parse(burst, "a number of events, 1 or more", |text| {
        if text.is_empty() {
            return Some(Choice(None));
        }
        number(1.0)(text).map(|burst| Choice(Some(burst)))
    });
    (events_per_second > 0.0).then(|| Rate {
        events_per_second,
        burst: given
            .0
            .unwrap_or((events_per_second * BURST_SECONDS).max(1.0)),
    })
}

fn read_write_keys(reader: &mut Reader) -> Vec<Secret> {
    let keys = reader.list("INTAKE__WRITE_KEYS");
    if keys.iter().any(String::is_empty) {
        reader.fault(
            &format!("{PREFIX}INTAKE__WRITE_KEYS"),
            "must not hold an empty key",
        );
    }
    keys.into_iter().map(Secret::new).collect()
}

pub(super) fn read_admin(reader: &mut Reader) -> AdminConfig {
    let token = reader.text("ADMIN__TOKEN");
    if !token.is_empty() && token.chars().count() < MIN_TOKEN_CHARACTERS {
        reader.fault(
            &format!("{PREFIX}ADMIN__TOKEN"),
            format!("must have {MIN_TOKEN_CHARACTERS} characters or more"),
        );
    }
    let listen = reader.parse(
        "ADMIN__LISTEN",
        "an address with a port, such as 127.0.0.1:9090",
        |text| {
            if text.is_empty() {
                return Some(Choice(None));
            }
            text.parse::<SocketAddr>()
                .ok()
                .map(|address| Choice(Some(address)))
        },
    );
    AdminConfig {
        token: (!token.is_empty()).then(|| Secret::new(token)),
        is_made_up: reader.plain(CLOUD_RUN).is_none(),
        hosts: reader.list("ADMIN__HOSTS"),
        listen: listen.0,
    }
}

pub(super) fn read_client_hints(reader: &mut Reader) -> ClientHintsPolicy {
    let choice = reader.parse("HTTP__CLIENT_HINTS", "none, accept or critical", |text| {
        Some(Choice(Some(match text {
            "none" => ClientHintsPolicy::None,
            "accept" => ClientHintsPolicy::Accept,
            "critical" => ClientHintsPolicy::Critical,
            _ => return None,
        })))
    });
    choice.0.unwrap_or_default()
}

pub(super) fn read_cors(reader: &mut Reader) -> CorsConfig {
    let config = CorsConfig {
        allowed_origins: reader.list("CORS__ALLOWED_ORIGINS"),
        allow_credentials: reader.boolean("CORS__ALLOW_CREDENTIALS"),
        allow_methods: reader.list("CORS__ALLOW_METHODS"),
        allow_headers: reader.list("CORS__ALLOW_HEADERS"),
        max_age: reader.seconds("CORS__MAX_AGE"),
        refuse_unlisted: reader.boolean("CORS__REFUSE_UNLISTED"),
    };
    let is_any = |origin: &String| origin == "*";
    if config.allowed_origins.len() > 1 && config.allowed_origins.iter().any(is_any) {
        reader.fault(
            &format!("{PREFIX}CORS__ALLOWED_ORIGINS"),
            "must be either [\"*\"] or a list of origins",
        );
    }
    let is_origin = |origin: &str| {
        let host = origin
            .strip_prefix("https://")
            .or_else(|| origin.strip_prefix("http://"));
        host.is_some_and(|host| {
            let is_safe = |byte: u8| byte.is_ascii_graphic() && !b"/?#@\\\"*".contains(&byte);
            !host.is_empty() && host.bytes().all(is_safe)
        })
    };
    for origin in config
        .allowed_origins
        .iter()
        .filter(|origin| !is_any(origin))
    {
        if !is_origin(origin) {
            reader.fault(
                &format!("{PREFIX}CORS__ALLOWED_ORIGINS"),
                "must hold origins as browsers send them, such as https://shop.example, with no path and no '/' at the end",
            );
        }
    }
    let is_token = |text: &String| {
        let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        !text.is_empty() && text.bytes().all(is_safe)
    };
    for (name, texts) in [
        ("CORS__ALLOW_METHODS", &config.allow_methods),
        ("CORS__ALLOW_HEADERS", &config.allow_headers),
    ] {
        if !texts.iter().all(is_token) {
            reader.fault(
                &format!("{PREFIX}{name}"),
                "must hold names as HTTP has them",
            );
        }
    }
    config
}

pub(super) fn read_cookie(reader: &mut Reader) -> CookieConfig {
    let same_site = reader.parse("COOKIE__SAMESITE", "none, lax or strict", |text| {
        Some(Choice(Some(match text.to_ascii_lowercase().as_str() {
            "none" => SameSite::None,
            "lax" => SameSite::Lax,
            "strict" => SameSite::Strict,
            _ => return None,
        })))
    });
    CookieConfig {
        max_age: reader.seconds("COOKIE__MAX_AGE"),
        secure: reader.boolean("COOKIE__SECURE"),
        http_only: reader.boolean("COOKIE__HTTPONLY"),
        same_site: same_site.0.unwrap_or(SameSite::None),
        readable: read_readable(reader),
    }
}

/// The name of the cookie that scripts can read.
fn read_readable(reader: &mut Reader) -> Option<String> {
    let name = reader.text("COOKIE__READABLE");
    if name.is_empty() {
        return None;
    }
    let is_taken = name == "__uid__" || name.starts_with("__sid_") || name.starts_with("_ga");
    if !is_cookie_name(&name) || is_taken {
        reader.fault(
            &format!("{PREFIX}COOKIE__READABLE"),
            "must be a name of letters, digits, '_', '-' and '.', and none of the collector's other cookies or Google's",
        );
    }
    Some(name)
}
