/// What a range of a file's bytes shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Window<'a> {
    /// Text, with how many bytes before it belong to a character that starts before the range.
    Text { skipped: usize, text: &'a str },
    /// Not text.
    Binary,
}

/// The whole characters of `bytes`, which may start inside of one if something lies before them, and end inside of one
/// if something lies behind.
pub(super) fn window(bytes: &[u8], before: bool, behind: bool) -> Window<'_> {
    let skipped = if before { bytes.iter().take(3).take_while(|byte| (0x80..0xc0).contains(*byte)).count() } else { 0 };
    let bytes = &bytes[skipped..];
    let end = match std::str::from_utf8(bytes) {
        Ok(_) => bytes.len(),
        Err(error) if error.error_len().is_none() && behind => error.valid_up_to(),
        Err(_) => return Window::Binary,
    };
    std::str::from_utf8(&bytes[..end]).map_or(Window::Binary, |text| Window::Text { skipped, text })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bytes_are_told_from_cut_characters() {
        assert_eq!(window(b"\xff\xfe", false, false), Window::Binary);
        assert_eq!(window(b"a\xe6\xbc", false, true), Window::Text { skipped: 0, text: "a" });
        assert_eq!(window(b"a\xe6\xbc", false, false), Window::Binary);
        assert_eq!(window(b"\xa2b", true, false), Window::Text { skipped: 1, text: "b" });
        assert_eq!(window(b"\xa2b", false, false), Window::Binary);
    }

    proptest! {
        #[test]
        fn windows_put_together_are_the_text(text in "[a漢é👩\\n]{0,60}", size in 16usize..40) {
            let (bytes, mut at, mut all) = (text.as_bytes(), 0, String::new());
            while at < bytes.len() {
                let end = bytes.len().min(at + size);
                match window(&bytes[at..end], at > 0, end < bytes.len()) {
                    Window::Text { skipped: 0, text } => {
                        all.push_str(text);
                        at += text.len();
                    }
                    other => prop_assert!(false, "{other:?}"),
                }
            }
            prop_assert_eq!(all, text);
        }
    }
}
