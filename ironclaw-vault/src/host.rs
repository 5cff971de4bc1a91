use std::net::Ipv4Addr;

use ironclaw_core::input::{InputError, Problem};

/// The longest host name, in bytes (RFC 1035).
const HOST_BYTES: usize = 253;
/// The longest label of a host name, in bytes (RFC 1035).
const LABEL_BYTES: usize = 63;

const EXPECTED: &str = "a lower-case host name (api.example.com), an IPv4 address, or *. and a domain of at least two \
                        labels (*.example.com); no scheme, port or path";

/// Accepts an exact host, or `*.` and a domain for its subdomains.
///
/// One spelling for each host (lower case, no trailing dot), so that what is compared later can't be spelled around.
/// `*.com` is refused: it would send a secret to half of the world.
pub(crate) fn check_host(pattern: &str) -> Result<(), InputError> {
    let malformed = || InputError::new("binding", Problem::Malformed { expected: EXPECTED });
    let (host, wildcard) = match pattern.strip_prefix("*.") {
        Some(domain) => (domain, true),
        None => (pattern, false),
    };
    let labels: Vec<&str> = host.split('.').collect();
    if host.len() > HOST_BYTES || !labels.iter().all(|label| is_label(label)) || (wildcard && labels.len() < 2) {
        return Err(malformed());
    }
    // Parsers of URLs read a host whose last label is a number as an IPv4 address (WHATWG URL, "ends in a number").
    let last = labels.last().copied().unwrap_or_default();
    let numeric = last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x");
    if numeric && (wildcard || host.parse::<Ipv4Addr>().is_err()) {
        return Err(malformed());
    }
    Ok(())
}

fn is_label(label: &str) -> bool {
    (1..=LABEL_BYTES).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_subdomains_are_accepted() {
        for host in ["api.openai.com", "localhost", "*.example.com", "a-b.c1.d", "127.0.0.1", "xn--bcher-kva.example"] {
            assert_eq!(check_host(host), Ok(()), "{host}");
        }
        assert!(check_host(&format!("{}.example", "a".repeat(63))).is_ok());
    }

    #[test]
    fn anything_else_is_refused() {
        let long = format!("{}.example", "a".repeat(64));
        let longer = ["abcdefghi"; 26].join(".");
        for host in [
            "",
            "*",
            "*.",
            "*.com",
            "**.example.com",
            "a.*.com",
            "*example.com",
            "API.example.com",
            "example.com.",
            ".example.com",
            "a..b",
            "-a.com",
            "a-.com",
            "a_b.com",
            "https://example.com",
            "example.com:443",
            "example.com/x",
            "user@example.com",
            "b\u{fc}cher.example",
            "example.com\0",
            "1.2.3",
            "256.0.0.1",
            "*.0.0.1",
            "127.1",
            "0x7f.1",
            "1.0x7f",
            "[::1]",
            "::1",
            " example.com",
            &long,
            &longer,
        ] {
            assert!(check_host(host).is_err(), "{host:?}");
        }
    }
}
