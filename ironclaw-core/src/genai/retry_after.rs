//! When a service says to come back.

use std::time::{Duration, UNIX_EPOCH};

use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::clock::Timestamp;

/// The longest time that is told, whatever a service says: a year.
pub(super) const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// What the headers say: `retry-after-ms` in milliseconds, else `Retry-After` in seconds or as a date (RFC 9110, 10.2.3),
/// with fractions, which some services send.
pub(super) fn of_headers(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    text("retry-after-ms")
        .and_then(|text| seconds(text.parse::<f64>().ok()? / 1_000.0))
        .or_else(|| text("retry-after").and_then(|text| value(text, now)))
}

/// What Google's services say in the body of an error: `"retryDelay": "7.5s"`.
pub(super) fn of_details(error: &Value) -> Option<Duration> {
    let details = error.get("details")?.as_array()?;
    let delay = details.iter().find_map(|detail| detail.get("retryDelay")?.as_str())?;
    seconds(delay.strip_suffix('s')?.parse().ok()?)
}

fn value(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(number) = text.parse() {
        return seconds(number);
    }
    let date = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    let now = Duration::from_micros(u64::try_from(now.as_micros()).ok()?);
    // A date that has passed means now.
    Some(date.saturating_sub(now).min(LONGEST))
}

fn seconds(number: f64) -> Option<Duration> {
    (number >= 0.0).then(|| Duration::try_from_secs_f64(number).unwrap_or(LONGEST).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(name: &'static str, text: &str) -> Option<Duration> {
        let headers = HeaderMap::from_iter([(name.parse().unwrap(), text.parse().unwrap())]);
        of_headers(&headers, Timestamp::parse("2026-11-28T12:00:00Z").unwrap())
    }

    #[test]
    fn all_forms_are_read() {
        for (text, wait) in [
            ("2", Some(2.0)),
            (" 1.5 ", Some(1.5)),
            ("0", Some(0.0)),
            ("Sat, 28 Nov 2026 12:00:30 GMT", Some(30.0)),
            ("Saturday, 28-Nov-26 12:00:30 GMT", Some(30.0)),
            ("Sat Nov 28 12:00:30 2026", Some(30.0)),
            ("Sat, 28 Nov 2026 11:00:00 GMT", Some(0.0)),
            ("-1", None),
            ("NaN", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(after("retry-after", text), wait.map(Duration::from_secs_f64), "{text}");
        }
        assert_eq!(after("retry-after-ms", "250.5"), Some(Duration::from_micros(250_500)));
        assert_eq!(after("retry-after", "1e300"), Some(LONGEST));
        assert_eq!(after("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT"), Some(LONGEST));
        let error = serde_json::json!({"details": [{"@type": "x"}, {"retryDelay": "7.5s"}]});
        assert_eq!(of_details(&error), Some(Duration::from_millis(7_500)));
    }
}
