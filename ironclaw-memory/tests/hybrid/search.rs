//! What is found, in which order, and by whom.

use ironclaw_core::Memory;
use ironclaw_core::memory::{MemoryErrorKind, Passage, SearchQuery};
use ironclaw_memory::HybridMemory;
use serde_json::Value;

use crate::common::{ada, bob, hybrid, path};

async fn search(memory: &HybridMemory, query: &str) -> Vec<Passage> {
    memory.search(&ada(), &SearchQuery::new(query)).await.unwrap().passages
}

async fn write_all(memory: &HybridMemory, files: &[(&str, &str)]) {
    for (name, text) in files {
        memory.write(&ada(), &path(name), text.as_bytes(), Value::Null).await.unwrap();
    }
}

const FILES: &[(&str, &str)] = &[
    ("en/launch.md", "# Launch\n\nWe decided to launch the product on the third of March, in the old harbour."),
    ("en/budget.md", "# Budget\n\nThe marketing budget for this year is twelve thousand euros, approved by Ada."),
    ("en/garden.md", "# Garden\n\nThe roses are watered twice a week. The apple tree was cut back in autumn."),
    ("en/server.md", "# Server\n\nBackups run every night at two. The database listens on port 5432."),
    ("de/umzug.md", "# Umzug\n\nDer Umzug in die neue Wohnung findet am 14. Mai statt. Der Möbelwagen ist bestellt."),
    ("de/arzt.md", "# Arzt\n\nDer Zahnarzttermin wurde auf Donnerstag um neun Uhr verschoben."),
    ("de/rezept.md", "# Rezept\n\nFür den Apfelkuchen braucht man vier Äpfel, Mehl, Butter, Zucker und Zimt."),
    (
        "de/versicherung.md",
        "# Versicherung\n\nDie Haftpflichtversicherung kostet 60 Euro im Jahr und läuft bis Dezember.",
    ),
    ("ja/kaigi.md", "# 会議\n\n次の会議は火曜日の午後三時に大阪の事務所で開かれます。"),
    ("ja/ryokou.md", "# 旅行\n\n京都への旅行は十月に決まりました。新幹線の切符はもう買いました。"),
    ("ja/neko.md", "# 猫\n\n猫のタマは毎朝七時にご飯を食べます。獣医は駅の近くです。"),
    ("ja/yosan.md", "# 予算\n\n今年の予算は百万円で、部長が承認しました。"),
];

const QUESTIONS: &[(&str, &str)] = &[
    ("When do we launch the product?", "en/launch.md"),
    ("How large is the marketing budget?", "en/budget.md"),
    ("How often do I water the roses?", "en/garden.md"),
    ("What port does the database use?", "en/server.md"),
    ("At what time do backups run?", "en/server.md"),
    ("Wann ziehe ich in die neue Wohnung?", "de/umzug.md"),
    ("Wann ist der Termin beim Zahnarzt?", "de/arzt.md"),
    ("Welche Zutaten brauche ich für Apfelkuchen?", "de/rezept.md"),
    ("Was kostet die Versicherung im Jahr?", "de/versicherung.md"),
    ("Haftpflicht", "de/versicherung.md"),
    ("次の会議はいつですか？", "ja/kaigi.md"),
    ("京都旅行は何月ですか", "ja/ryokou.md"),
    ("新幹線の切符は買いましたか", "ja/ryokou.md"),
    ("猫は何時にご飯を食べますか", "ja/neko.md"),
    ("予算は誰が承認しましたか", "ja/yosan.md"),
];

#[tokio::test]
async fn questions_find_their_files_in_english_german_and_japanese() {
    let memory = hybrid().await;
    write_all(&memory, FILES).await;
    let mut wrong = Vec::new();
    for (question, expected) in QUESTIONS {
        let passages = search(&memory, question).await;
        let first = passages.first().map(|passage| passage.path.as_str().to_owned());
        if first.as_deref() != Some(expected) {
            wrong.push((question, first));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn passages_are_exact_ranges_with_ordered_scores() {
    let memory = hybrid().await;
    write_all(&memory, FILES).await;
    let passages = search(&memory, "When is the launch of the product?").await;
    assert!(passages.len() > 1);
    assert!(passages.windows(2).all(|pair| pair[0].score >= pair[1].score), "{passages:?}");
    for passage in &passages {
        assert!((0.0..=1.0).contains(&passage.score), "{passage:?}");
        let range = memory.read(&ada(), &passage.path, passage.start, passage.end).await.unwrap().unwrap();
        assert_eq!(range, passage.text.as_bytes());
    }
    assert_eq!(passages, search(&memory, "When is the launch of the product?").await);
}

#[tokio::test]
async fn a_score_tells_a_good_fit_from_a_poor_one() {
    let memory = hybrid().await;
    write_all(&memory, FILES).await;
    let good = search(&memory, "launch product March").await[0].score;
    assert!(good > 0.9, "{good}");
    let poor = search(&memory, "quarterly zebra migration launch velocity").await[0].score;
    assert!(poor < 0.5, "{poor}");
    let none = search(&memory, "xylophone quartz").await;
    assert!(none.first().is_none_or(|passage| passage.score < 0.4), "{none:?}");
}

#[tokio::test]
async fn equal_scores_come_by_path_and_offset() {
    let memory = hybrid().await;
    for name in ["c.txt", "a.txt", "b.txt", "d.txt"] {
        memory.write(&ada(), &path(name), b"All the same words.", Value::Null).await.unwrap();
    }
    let names = |passages: Vec<Passage>| passages.into_iter().map(|p| p.path.as_str().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(search(&memory, "same words").await), ["a.txt", "b.txt", "c.txt", "d.txt"]);
    let mut query = SearchQuery::new("same words");
    query.limit = 2;
    assert_eq!(names(memory.search(&ada(), &query).await.unwrap().passages), ["a.txt", "b.txt"]);
}

#[tokio::test]
async fn another_users_files_change_nothing() {
    let memory = hybrid().await;
    write_all(&memory, FILES).await;
    let before = search(&memory, "When do we launch?").await;
    for n in 0..40 {
        let text = format!("launch launch launch product number {n}");
        memory.write(&bob(), &path(&format!("{n}.txt")), text.as_bytes(), Value::Null).await.unwrap();
    }
    assert_eq!(search(&memory, "When do we launch?").await, before);
    let bobs = memory.search(&bob(), &SearchQuery::new("harbour")).await.unwrap().passages;
    assert!(bobs.iter().all(|passage| !passage.text.contains("harbour")), "{bobs:?}");
}

#[tokio::test]
async fn a_prefix_narrows_the_search() {
    let memory = hybrid().await;
    write_all(&memory, &[("a/x.txt", "red boats"), ("ab/x.txt", "red boats"), ("a", "red boats"), ("b.txt", "red")])
        .await;
    let mut query = SearchQuery::new("red boats");
    query.prefix = Some(path("a"));
    let found = memory.search(&ada(), &query).await.unwrap().passages;
    let names: Vec<&str> = found.iter().map(|passage| passage.path.as_str()).collect();
    assert_eq!(names, ["a", "a/x.txt"]);
}

#[tokio::test]
async fn queries_out_of_bounds_are_refused() {
    let memory = hybrid().await;
    let refused = |text: String, limit: usize| {
        let memory = memory.clone();
        async move {
            let query = SearchQuery::new(text).limit(limit);
            memory.search(&ada(), &query).await.unwrap_err().kind().clone()
        }
    };
    for (text, limit) in [("", 10), (" \n", 10), ("x", 0), ("x", 101)] {
        assert_eq!(refused(text.to_owned(), limit).await, MemoryErrorKind::InvalidInput, "{text:?} {limit}");
    }
    assert_eq!(refused("x".repeat(16_385), 10).await, MemoryErrorKind::InvalidInput);
    assert!(search(&memory, &"x ".repeat(8_192)).await.is_empty());
}

#[tokio::test]
async fn hostile_queries_and_files_are_only_text() {
    let memory = hybrid().await;
    let hostile = [
        "\"",
        "'; DROP TABLE workspace_entries; --",
        "a* NEAR(b)",
        "AND OR NOT",
        "\0",
        "\u{202e}abc",
        "%_\\",
        "((((",
        "\u{feff}",
        "a\0b",
        "𝕳𝖆𝖗𝖇𝖔𝖚𝖗",
        "col:value ^x",
    ];
    for (n, text) in hostile.iter().enumerate() {
        let content = format!("{text} harbour{n}");
        memory.write(&ada(), &path(&format!("{n}.txt")), content.as_bytes(), Value::Null).await.unwrap();
        let kept = memory.read(&ada(), &path(&format!("{n}.txt")), 0, u64::MAX).await.unwrap().unwrap();
        assert_eq!(kept, content.as_bytes());
    }
    for (n, text) in hostile.iter().enumerate() {
        search(&memory, &format!("{text} x")).await;
        assert_eq!(search(&memory, &format!("{text} harbour{n}")).await[0].path, path(&format!("{n}.txt")), "{text:?}");
    }
}
