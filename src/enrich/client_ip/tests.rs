use http::HeaderValue;
use proptest::prelude::*;

use super::*;

/// Platform, header with hops, peer, headers and the address that is expected, a line each.
const CASES: &str = include_str!("../../../tests/fixtures/enrich/client_ips.tsv");

fn trust(platform: &str, hops: &str) -> Trust {
    let (header, hops) = hops.split_once(' ').unwrap();
    Trust {
        platform: match platform {
            "none" => Platform::None,
            "google" => Platform::Google,
            "appengine" => Platform::AppEngine,
            "cloudflare" => Platform::Cloudflare,
            "cloudfront" => Platform::CloudFront,
            "fastly" => Platform::Fastly,
            "vercel" => Platform::Vercel,
            "akamai" => Platform::Akamai,
            other => panic!("{other}"),
        },
        hops: hops.parse().unwrap(),
        header: match header {
            "xff" => HopsHeader::ForwardedFor,
            "forwarded" => HopsHeader::Forwarded,
            other => panic!("{other}"),
        },
    }
}

fn headers(text: &str) -> HeaderMap {
    let lines = text.split(" | ").filter_map(|line| line.split_once(": "));
    lines
        .map(|(name, value)| {
            let name: HeaderName = name.parse().unwrap();
            (name, HeaderValue::from_bytes(value.as_bytes()).unwrap())
        })
        .collect()
}

#[test]
fn every_case_of_the_table_has_its_address() {
    let mut cases = 0;
    for line in CASES.lines().filter(|line| !line.starts_with('#')) {
        let cells: Vec<&str> = line.split('\t').collect();
        let [platform, hops, peer, sent, expected] = cells[..] else {
            panic!("{line}");
        };
        let found = trust(platform, hops).client_ip(&headers(sent), peer.parse().ok());
        let found = found.map_or_else(|| "-".to_owned(), |found| found.to_string());
        assert_eq!(found, expected, "{line}");
        cases += 1;
    }
    assert!(cases >= 60, "{cases}");
}

#[test]
fn the_step_tells_which_rule_decided() {
    for (platform, hops, sent, rule, saw) in [
        (
            "cloudflare",
            "xff 0",
            "CF-Connecting-IP: 203.0.113.9",
            "header of the platform",
            1,
        ),
        (
            "cloudflare",
            "xff 2",
            "X-Forwarded-For: 203.0.113.9, 10.0.0.1",
            "entry 2 from the right",
            1,
        ),
        (
            "none",
            "forwarded 1",
            "CF-Connecting-IP: 203.0.113.9",
            "address of the connection",
            0,
        ),
    ] {
        let step = trust(platform, hops).explained(&headers(sent));
        assert_eq!((step.rule.as_ref(), step.saw.len()), (rule, saw), "{sent}");
    }
}

#[test]
fn the_policy_decides_what_is_stored() {
    let stored_as = |text: &str, policy| stored(text.parse().ok(), policy);
    for (address, policy, expected) in [
        ("203.0.113.9", IpPolicy::Full, Some("203.0.113.9")),
        ("203.0.113.9", IpPolicy::Truncated, Some("203.0.113.0")),
        (
            "::ffff:203.0.113.9",
            IpPolicy::Truncated,
            Some("203.0.113.0"),
        ),
        ("::ffff:203.0.113.9", IpPolicy::Full, Some("203.0.113.9")),
        ("2001:db8:a:b::1", IpPolicy::Truncated, Some("2001:db8:a::")),
        ("2001:db8:a:b::1", IpPolicy::Full, Some("2001:db8:a:b::1")),
        ("203.0.113.9", IpPolicy::None, None),
        ("junk", IpPolicy::Full, None),
    ] {
        assert_eq!(
            stored_as(address, policy).as_deref(),
            expected,
            "{address} {policy:?}"
        );
    }
}

#[test]
fn x_forwarded_for_alone_is_read_alike() {
    let peer: Option<IpAddr> = "10.0.0.7".parse().ok();
    for (hops, expected) in [
        (0, "10.0.0.7"),
        (1, "35.1.2.3"),
        (2, "203.0.113.9"),
        (3, "10.0.0.7"),
    ] {
        let found = client_ip(["203.0.113.9", "35.1.2.3"].into_iter(), peer, hops);
        assert_eq!(found, expected.parse().ok(), "{hops}");
    }
}

proptest! {
    #[test]
    fn no_header_makes_it_panic(values in prop::collection::vec("[ -~é]{0,40}|[,;=\"\\[\\]:for0-9. ]{0,40}", 0..4), hops in 0_usize..6) {
        let peer = "10.0.0.7".parse().ok();
        for header in [HopsHeader::ForwardedFor, HopsHeader::Forwarded] {
            let mut sent = HeaderMap::new();
            for value in &values {
                for name in [FORWARDED_FOR, http::header::FORWARDED, HeaderName::from_static("cloudfront-viewer-address")] {
                    sent.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
                }
            }
            for platform in [Platform::None, Platform::CloudFront] {
                let trust = Trust { platform, hops, header };
                prop_assert!(trust.client_ip(&sent, peer).is_some());
            }
        }
    }

    #[test]
    fn what_the_client_sends_never_moves_the_entry_of_the_proxy(sent in "[ -~]{0,60}") {
        let proxied = [
            (HopsHeader::ForwardedFor, FORWARDED_FOR, format!("{sent}, 203.0.113.9")),
            (HopsHeader::Forwarded, http::header::FORWARDED, format!("{sent}, for=203.0.113.9;proto=https")),
            (HopsHeader::Forwarded, http::header::FORWARDED, format!("{sent}, for=\"203.0.113.9:80\"")),
        ];
        for (header, name, value) in proxied {
            let mut headers = HeaderMap::new();
            headers.append(name, HeaderValue::from_str(&value).unwrap());
            let trust = Trust { platform: Platform::None, hops: 1, header };
            prop_assert_eq!(trust.client_ip(&headers, None), "203.0.113.9".parse().ok());
        }
    }
}
