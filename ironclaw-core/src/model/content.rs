//! What a message holds besides its text.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Value, json};

use crate::input::{InputError, Problem, check_name, check_text};

mod base64;

/// A part of a user's message that is no text of its own: an image or a document. The message's text comes before it.
///
/// ```
/// use ironclaw_core::llm::ContentPart;
///
/// let image = ContentPart::image("image/png", &b"\x89PNG"[..]);
/// let notes = ContentPart::document("text/plain", "notes.txt", &b"The launch is on 3 May."[..]);
/// assert_eq!(notes.as_text(), Some("The launch is on 3 May."));
/// assert_eq!(image.as_text(), None);
/// ```
/// Its `Debug` has no bytes in it, and of an URL neither the credentials nor the query.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
#[non_exhaustive]
pub enum ContentPart {
    /// An image.
    Image {
        /// Its media type: `image/png`, `image/jpeg`, `image/gif` and `image/webp` are what services take.
        media_type: String,
        /// The image.
        #[serde(flatten, with = "in_part")]
        data: PartData,
    },
    /// An image that the model's service fetches itself. Whoever serves it learns that, and can change it later.
    ImageUrl {
        /// Its `https` or `http` URL, of at most 8 KiB.
        url: String,
    },
    /// A document.
    Document {
        /// Its media type: `application/pdf`, or `text/…` in UTF-8.
        media_type: String,
        /// What it is called, of at most 255 bytes; the model is told.
        name: String,
        /// The document.
        #[serde(flatten, with = "in_part")]
        data: PartData,
    },
}

/// The bytes of a part, shared when it is cloned. Serialised in base64.
///
/// In the record of a model's call they are left out, since the message keeps them: read back, such a part says how many
/// there were, and [`ContentPart::check`] refuses it.
#[derive(Clone, PartialEq, Eq)]
pub struct PartData(Bytes);

#[derive(Clone, PartialEq, Eq)]
enum Bytes {
    Here(Arc<[u8]>),
    LeftOut(usize),
}

/// The longest URL, in bytes.
const URL_BYTES: usize = 8 << 10;
/// The longest name of a document and the longest media type, in bytes.
const NAME_BYTES: usize = 255;

impl ContentPart {
    /// An image of this media type.
    pub fn image(media_type: impl Into<String>, data: impl Into<PartData>) -> Self {
        Self::Image { media_type: media_type.into(), data: data.into() }
    }

    /// An image at this URL.
    pub fn image_url(url: impl Into<String>) -> Self {
        Self::ImageUrl { url: url.into() }
    }

    /// A document of this media type and name.
    pub fn document(media_type: impl Into<String>, name: impl Into<String>, data: impl Into<PartData>) -> Self {
        Self::Document { media_type: media_type.into(), name: name.into(), data: data.into() }
    }

    /// The text of a document that is one (`text/…`), which every model reads.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Document { media_type, data, .. } if media_type.starts_with("text/") => {
                std::str::from_utf8(data.as_ref()).ok()
            }
            _ => None,
        }
    }

    /// How many bytes of content it has, or had before they were left out; of an URL, those of the URL.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Image { data, .. } | Self::Document { data, .. } => data.count(),
            Self::ImageUrl { url } => url.len(),
        }
    }

    /// Refuses a part that no service could take.
    ///
    /// # Errors
    /// An [`InputError`] of the field `media_type`, `name`, `url` or `data`.
    pub fn check(&self) -> Result<(), InputError> {
        let (media_type, data) = match self {
            Self::ImageUrl { url } => {
                check_name("url", url, URL_BYTES)?;
                return match url.starts_with("https://") || url.starts_with("http://") {
                    true => Ok(()),
                    false => Err(InputError::new("url", Problem::Malformed { expected: "an https or http URL" })),
                };
            }
            Self::Image { media_type, data } => {
                check_media_type(media_type)?;
                if !media_type.starts_with("image/") {
                    return Err(InputError::new("media_type", Problem::Malformed { expected: "image/…" }));
                }
                (media_type, data)
            }
            Self::Document { media_type, name, data } => {
                check_media_type(media_type)?;
                check_name("name", name, NAME_BYTES)?;
                (media_type, data)
            }
        };
        if data.as_ref().is_empty() {
            return Err(InputError::new("data", Problem::Empty));
        }
        if media_type.starts_with("text/") {
            let text = std::str::from_utf8(data.as_ref())
                .map_err(|error| InputError::new("data", Problem::NotUtf8 { valid_up_to: error.valid_up_to() }))?;
            check_text("data", text, usize::MAX)?;
        }
        Ok(())
    }

    /// The part as it is recorded with a model's call: without its bytes, which the message keeps.
    pub(crate) fn without_data(&self) -> Value {
        let mut part = self.clone();
        if let Self::Image { data, .. } | Self::Document { data, .. } = &mut part {
            *data = PartData(Bytes::LeftOut(data.count()));
        }
        json!(part)
    }
}

impl fmt::Debug for ContentPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image { media_type, data } => {
                f.debug_struct("Image").field("media_type", media_type).field("data", data).finish()
            }
            Self::ImageUrl { url } => f.debug_struct("ImageUrl").field("url", &without_secrets(url)).finish(),
            Self::Document { media_type, name, data } => f
                .debug_struct("Document")
                .field("media_type", media_type)
                .field("name", name)
                .field("data", data)
                .finish(),
        }
    }
}

/// An URL's scheme, host and path: what stands before the host and after the path often lets its holder in.
fn without_secrets(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "…".to_owned() };
    let (rest, more) = match rest.find(['?', '#']) {
        Some(end) => (&rest[..end], "?…"),
        None => (rest, ""),
    };
    let (authority, path) = rest.split_at(rest.find(['/', '\\']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}{more}")
}

/// Refuses what is no media type: two tokens with a slash between them, in lower case.
fn check_media_type(media_type: &str) -> Result<(), InputError> {
    check_name("media_type", media_type, NAME_BYTES)?;
    let token = |part: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$&-^_.+".contains(&byte);
        !part.is_empty() && part.bytes().all(plain)
    };
    match media_type.split_once('/') {
        Some((kind, name)) if token(kind) && token(name) => Ok(()),
        _ => {
            let expected = "a media type such as image/png, in lower case, without parameters";
            Err(InputError::new("media_type", Problem::Malformed { expected }))
        }
    }
}

impl PartData {
    /// The bytes in base64.
    pub fn to_base64(&self) -> String {
        base64::encode(self.as_ref())
    }

    /// Whether the bytes were left out of the record that this was read from.
    pub fn is_left_out(&self) -> bool {
        matches!(self.0, Bytes::LeftOut(_))
    }

    fn count(&self) -> usize {
        match &self.0 {
            Bytes::Here(bytes) => bytes.len(),
            Bytes::LeftOut(count) => *count,
        }
    }
}

impl AsRef<[u8]> for PartData {
    fn as_ref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Here(bytes) => bytes,
            Bytes::LeftOut(_) => &[],
        }
    }
}

impl From<Vec<u8>> for PartData {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Bytes::Here(bytes.into()))
    }
}

impl From<&[u8]> for PartData {
    fn from(bytes: &[u8]) -> Self {
        Self(Bytes::Here(bytes.into()))
    }
}

impl fmt::Debug for PartData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left_out = if self.is_left_out() { ", left out" } else { "" };
        write!(f, "PartData({} bytes{left_out})", self.count())
    }
}

impl Serialize for PartData {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_base64())
    }
}

impl<'de> Deserialize<'de> for PartData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = base64::decode(&text).ok_or_else(|| de::Error::custom("expected base64 with padding"))?;
        Ok(bytes.into())
    }
}

/// A part's bytes among its fields: as `data`, or, in the record of a model's call, how many there were as `bytes`.
mod in_part {
    use serde::ser::SerializeMap;
    use serde::{Deserialize, Deserializer, Serializer, de};

    use super::{Bytes, PartData};

    pub(super) fn serialize<S: Serializer>(data: &PartData, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match &data.0 {
            Bytes::Here(_) => map.serialize_entry("data", data)?,
            Bytes::LeftOut(count) => map.serialize_entry("bytes", count)?,
        }
        map.end()
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PartData, D::Error> {
        #[derive(Deserialize)]
        struct Kept {
            data: Option<PartData>,
            bytes: Option<usize>,
        }
        let kept = Kept::deserialize(deserializer)?;
        let left_out = || kept.bytes.map(|count| PartData(Bytes::LeftOut(count)));
        kept.data.or_else(left_out).ok_or_else(|| de::Error::missing_field("data"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_checked_by_field() {
        let bytes = &b"x"[..];
        for (part, field) in [
            (ContentPart::image("image/", bytes), "media_type"),
            (ContentPart::image("IMAGE/PNG", bytes), "media_type"),
            (ContentPart::image("text/plain", bytes), "media_type"),
            (ContentPart::image("image/png", Vec::new()), "data"),
            (ContentPart::image_url("file:///etc/passwd"), "url"),
            (ContentPart::document("application/pdf", "", bytes), "name"),
            (ContentPart::document("text/plain", "a", &b"\xff"[..]), "data"),
            (ContentPart::document("text/plain", "a", &b"\0"[..]), "data"),
        ] {
            assert_eq!(part.check().unwrap_err().field(), field, "{part:?}");
        }
        ContentPart::image("image/svg+xml", bytes).check().unwrap();
        ContentPart::image_url("https://example.org/a.png").check().unwrap();
        ContentPart::document("text/markdown", "a.md", bytes).check().unwrap();
    }

    #[test]
    fn a_part_is_written_in_base64() {
        let part = ContentPart::document("application/pdf", "a.pdf", &b"%PDF"[..]);
        let text = r#"{"type":"document","media_type":"application/pdf","name":"a.pdf","data":"JVBERg=="}"#;
        assert_eq!(serde_json::to_string(&part).unwrap(), text);
        assert_eq!(serde_json::from_str::<ContentPart>(text).unwrap(), part);
        assert!(serde_json::from_str::<ContentPart>(&text.replace("==", "")).is_err());
        assert_eq!(format!("{part:?}").matches("4 bytes").count(), 1);

        let recorded = r#"{"type":"document","media_type":"application/pdf","name":"a.pdf","bytes":4}"#;
        assert_eq!(serde_json::to_string(&part.without_data()).unwrap().len(), recorded.len());
        let read: ContentPart = serde_json::from_str(recorded).unwrap();
        assert_eq!((serde_json::to_string(&read).unwrap().as_str(), read.bytes()), (recorded, 4));
        assert_eq!((read.without_data(), read.check().unwrap_err().field()), (part.without_data(), "data"));
        assert!(serde_json::from_str::<ContentPart>(&recorded.replace(",\"bytes\":4", "")).is_err());
    }

    #[test]
    fn what_is_shown_of_an_url_lets_nobody_in() {
        for (url, shown) in [
            ("https://ada:hush@example.org:8443/a.png?sig=hush#hush", "https://example.org:8443/a.png?…"),
            ("http://example.org", "http://example.org"),
            ("https://a:b@hush@example.org/@c", "https://example.org/@c"),
            ("https://hush@example.org#hush", "https://example.org?…"),
            ("https://hush@example.org\\x", "https://example.org\\x"),
            ("data:image/png;base64,hush", "…"),
        ] {
            assert_eq!(without_secrets(url), shown);
            assert!(!format!("{:?}", ContentPart::image_url(url)).contains("hush"));
        }
    }
}
