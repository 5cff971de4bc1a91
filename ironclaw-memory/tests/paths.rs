//! No path leads out of a workspace.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Component, Path};

use ironclaw_core::model::workspace::WorkspacePath;
use proptest::prelude::*;

/// Pieces that escape where they are not refused.
fn piece() -> impl Strategy<Value = String> {
    let hostile =
        ["..", ".", "", "/", "\\", "a", "a/b", "...", ". .", "..\0", "%2e%2e", "\u{2215}", "\u{ff0e}\u{ff0e}"];
    prop_oneof![proptest::sample::select(hostile.to_vec()).prop_map(str::to_owned), "\\PC{0,8}"]
}

proptest! {
    #[test]
    fn an_accepted_path_stays_below_where_it_is_joined(pieces in proptest::collection::vec(piece(), 1..6)) {
        let text = pieces.join("/");
        if let Ok(path) = WorkspacePath::parse(text.clone()) {
            prop_assert_eq!(path.as_str(), &text, "nothing is rewritten");
            let joined = Path::new("/base").join(path.as_str());
            let below = joined.strip_prefix("/base").unwrap();
            prop_assert!(below.components().all(|part| matches!(part, Component::Normal(_))), "{}", text);
            prop_assert_eq!(below.to_str(), Some(text.as_str()));
        }
    }

    #[test]
    fn a_path_that_climbs_is_refused(before in "[a-z/]{0,6}", after in "[a-z/]{0,6}") {
        for part in [".", ".."] {
            let climbing = format!("{before}/{part}/{after}");
            prop_assert!(WorkspacePath::parse(climbing).is_err());
        }
    }

    #[test]
    fn a_path_read_from_json_is_checked_too(pieces in proptest::collection::vec(piece(), 1..6)) {
        let text = pieces.join("/");
        let read = serde_json::from_value::<WorkspacePath>(serde_json::Value::String(text.clone()));
        prop_assert_eq!(read.ok(), WorkspacePath::parse(text).ok());
    }

    #[test]
    fn within_means_the_same_or_below(a in "[a-c](/[a-c]{1,2}){0,3}", b in "[a-c](/[a-c]{1,2}){0,3}") {
        let (path, prefix) = (WorkspacePath::parse(a.clone()).unwrap(), WorkspacePath::parse(b.clone()).unwrap());
        prop_assert_eq!(path.is_within(&prefix), Path::new(&a).starts_with(&b));
    }
}
