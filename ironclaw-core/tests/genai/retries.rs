//! When a service says to come back.

use std::time::{Duration, Instant};

use ironclaw_core::clock::{ManualClock, Timestamp};
use ironclaw_core::genai::Provider;
use ironclaw_core::llm::LlmErrorKind;

use crate::loopback::{Loopback, Reply, until_close};
use crate::support::{ask, builder, request};

/// A service that refuses `times` with these headers, and then answers.
async fn busy(headers: &'static str, times: usize) -> Loopback {
    Loopback::start(move |n| {
        Reply::Close(match n < times {
            true => until_close("429 Too Many Requests", headers, "{}"),
            false => until_close(
                "200 OK",
                "content-type: text/event-stream\r\n",
                "data: {\"choices\": [{\"delta\": {\"content\": \"Hi\"}, \"finish_reason\": \"stop\"}]}\n\n",
            ),
        })
    })
    .await
}

#[tokio::test]
async fn every_form_reaches_the_caller() {
    let now = Timestamp::parse("2026-11-28T12:00:00Z").unwrap();
    for (headers, after) in [
        ("retry-after: 7\r\n", 7.0),
        ("Retry-After: 1.5\r\n", 1.5),
        ("retry-after-ms: 1500\r\n", 1.5),
        ("retry-after: 60\r\nretry-after-ms: 250\r\n", 0.25),
        ("retry-after: Sat, 28 Nov 2026 12:01:00 GMT\r\n", 60.0),
        ("retry-after: Saturday, 28-Nov-26 12:01:00 GMT\r\n", 60.0),
        ("retry-after: Sat Nov 28 12:01:00 2026\r\n", 60.0),
    ] {
        let server = busy(headers, 1).await;
        let llm = builder(Provider::OpenAi, "m", &server.url).clock(ManualClock::at(now)).retries(0).build().unwrap();
        let error = ask(&llm, request()).await.unwrap_err();
        assert_eq!(error.kind(), &LlmErrorKind::RateLimited);
        assert_eq!(error.retry_after(), Some(Duration::from_secs_f64(after)), "{headers}");
        assert!(error.to_string().contains(&format!("come back in {after:.1} s")), "{error}");
    }
    let server = busy("retry-after: soon\r\n", 1).await;
    let llm = builder(Provider::OpenAi, "m", &server.url).retries(0).build().unwrap();
    assert_eq!(ask(&llm, request()).await.unwrap_err().retry_after(), None);
}

#[tokio::test]
async fn the_service_s_time_is_waited_for_if_it_is_short() {
    // Shorter than the client's own: the longer of both counts.
    for headers in ["retry-after: 0.05\r\n", "retry-after-ms: 50\r\n"] {
        let server = busy(headers, 2).await;
        let llm = builder(Provider::OpenAi, "m", &server.url).build().unwrap();
        let begun = Instant::now();
        assert_eq!(ask(&llm, request()).await.unwrap().1.text, "Hi");
        assert!(begun.elapsed() >= Duration::from_millis(100));
        assert_eq!(server.asked(), 3);
    }
    for headers in ["retry-after: 21\r\n", "retry-after: Fri, 31 Dec 2100 23:59:59 GMT\r\n", "retry-after: 1e30\r\n"] {
        let server = busy(headers, 1).await;
        let llm = builder(Provider::OpenAi, "m", &server.url).build().unwrap();
        assert!(ask(&llm, request()).await.unwrap_err().retry_after().unwrap() > Duration::from_secs(20));
        assert_eq!(server.asked(), 1, "{headers}");
    }
}
