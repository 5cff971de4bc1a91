//! Where a server is, and who its superuser is.

use std::fmt::Write;

use crate::ClusterError;

/// The address of a server and the credentials of its superuser.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: String,
    /// What follows the `?`, if anything: kept in every URL made from this.
    parameters: Option<String>,
}

impl Address {
    pub(crate) fn new(port: u16, user: &str, password: &str) -> Self {
        let (user, password) = (user.to_owned(), password.to_owned());
        Self { host: "127.0.0.1".to_owned(), port, user, password, parameters: None }
    }

    /// Reads `postgres://user:password@host:port/database?parameters`, of which only user and host are needed.
    pub(crate) fn parse(url: &str) -> Result<Self, ClusterError> {
        let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
        let rest = rest.ok_or(ClusterError::Url("it must start with postgres:// or postgresql://"))?;
        let (rest, parameters) = match rest.split_once('?') {
            Some((rest, parameters)) => (rest, Some(parameters.to_owned())),
            None => (rest, None),
        };
        let authority = rest.split('/').next().unwrap_or(rest);
        let (credentials, place) = authority.rsplit_once('@').ok_or(ClusterError::Url("it names no user"))?;
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        let decode = |text| decode(text).ok_or(ClusterError::Url("its user or password is not percent-encoded UTF-8"));
        // The colons of an IPv6 address are inside brackets.
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| ClusterError::Url("its port is not a number"))?)
            }
            _ => (place, 5432),
        };
        if host.is_empty() {
            return Err(ClusterError::Url("it names no host"));
        }
        Ok(Self { host: host.to_owned(), port, user: decode(user)?, password: decode(password)?, parameters })
    }

    /// The URL of a database, for any user.
    pub(crate) fn url(&self, user: &str, password: &str, database: &str) -> String {
        let (user, password, database) = (encode(user), encode(password), encode(database));
        let parameters = self.parameters.as_ref().map(|text| format!("?{text}")).unwrap_or_default();
        format!("postgres://{user}:{password}@{}:{}/{database}{parameters}", self.host, self.port)
    }

    pub(crate) fn superuser_url(&self, database: &str) -> String {
        self.url(&self.user, &self.password, database)
    }
}

/// Percent-encodes all but the characters that no part of a URL gives a meaning to.
fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string can't fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let (digits, after) = after.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_keeps_its_meaning() {
        let address = Address::parse("postgresql://ad%40min:p%2Fw:x@[::1]:6543/any?sslmode=require").unwrap();
        assert_eq!((address.user.as_str(), address.password.as_str()), ("ad@min", "p/w:x"));
        assert_eq!((address.host.as_str(), address.port), ("[::1]", 6543));
        let url = address.superuser_url("größe");
        assert_eq!(url, "postgres://ad%40min:p%2Fw%3Ax@[::1]:6543/gr%C3%B6%C3%9Fe?sslmode=require");
        assert!(Address::parse(&url).unwrap() == address);
    }

    #[test]
    fn what_is_left_out_has_defaults() {
        let address = Address::parse("postgres://ada@db").unwrap();
        assert_eq!((address.port, address.password.as_str()), (5432, ""));
        assert_eq!(Address::parse("postgres://ada@[::1]").unwrap().host, "[::1]");
    }

    #[test]
    fn other_urls_are_refused() {
        for url in ["mysql://a@b", "postgres://db/x", "postgres://a@", "postgres://a@b:port", "postgres://a%4@b"] {
            assert!(matches!(Address::parse(url), Err(ClusterError::Url(_))), "{url}");
        }
    }
}
