//! The server takes exactly the addresses that the store reads and writes.

use std::net::IpAddr;

use crate::database::Database;
use crate::library::Random;

ironclaw_testing::tests![the_server_and_the_store_agree_on_what_an_address_is];

/// Whether the store would write an address so, and read it back.
fn is_canonical(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok_and(|address| address.to_string() == text)
}

fn pick<T: Copy>(random: &mut Random, of: &[T]) -> T {
    of[random.below(of.len() as u64) as usize]
}

/// Something that is an address, or nearly.
fn text(random: &mut Random) -> String {
    let octets = |random: &mut Random, count: usize| {
        let octet = |random: &mut Random| pick(random, &["0", "1", "9", "10", "99", "255", "256", "300", "00", "01"]);
        (0..count).map(|_| octet(random)).collect::<Vec<_>>().join(".")
    };
    match random.below(8) {
        0 => {
            let count = pick(random, &[1, 2, 3, 4, 4, 4, 5]);
            octets(random, count)
        }
        1 => {
            let length = 1 + random.below(12);
            (0..length).map(|_| char::from(pick(random, b"0123456789abcdefABF.:/% "))).collect()
        }
        // Addresses, as they are written and nearly.
        2..=4 => {
            let mut words = [0_u16; 8];
            for word in &mut words {
                *word = pick(random, &[0, 0, 0, 1, 0xff, 0xffff, 0x1234, 0x0db8]);
            }
            let from = random.below(9) as usize;
            words[..from].fill(0);
            if random.below(4) == 0 && from >= 6 {
                words[5] = 0xffff;
            }
            let address = IpAddr::from(words).to_string();
            match random.below(6) {
                0 => address.to_uppercase(),
                1 => address.replacen("::", ":0:", 1),
                2 => address.replacen(":1", ":0001", 1),
                3 => address + pick(random, &["/128", "\n", " ", ":", "%1", "/64"]),
                _ => address,
            }
        }
        _ => {
            let count = 2 + random.below(8);
            let words: Vec<_> = (0..count)
                .map(|_| pick(random, &["", "0", "1", "ff", "ffff", "00001", "0001", "abcde", "fFff"]))
                .collect();
            let mut text = words.join(":");
            if random.below(3) == 0 {
                let count = pick(random, &[3, 4, 4, 4]);
                text = text + pick(random, &[":", "::"]) + &octets(random, count);
            }
            text
        }
    }
}

async fn the_server_and_the_store_agree_on_what_an_address_is() {
    let database = Database::fresh().await;
    let mut superuser = database.superuser().await;
    let mut random = Random(11);
    let mut texts: Vec<String> =
        ["", "::", "::1", "0.0.0.0", "::1.2.3.4", "::102:304", "::0:304", "::1:0", "::ffff:0.0.0.0"]
            .into_iter()
            .chain([
                "::ffff:1.2.3.4",
                "::ffff:102:304",
                "ff::0.1.0",
                "1:0:0:2::3",
                "1::2:0:0:3",
                "1:2:3:4:5:6:7::",
                "fe80::1%1",
            ])
            .map(str::to_owned)
            .collect();
    texts.extend((0..60_000).map(|_| text(&mut random)));
    let taken: Vec<bool> = sqlx::query_scalar(
        "SELECT ironclaw.is_address(t.text) FROM unnest($1::text[]) WITH ORDINALITY t (text, nr) ORDER BY t.nr",
    )
    .bind(&texts)
    .fetch_all(&mut superuser)
    .await
    .unwrap();
    let wrong: Vec<_> = texts.iter().zip(&taken).filter(|(text, taken)| is_canonical(text) != **taken).collect();
    assert!(wrong.is_empty(), "{} differ: {:?}", wrong.len(), &wrong[..wrong.len().min(20)]);
    let addresses = taken.iter().filter(|taken| **taken).count();
    assert!((5_000..50_000).contains(&addresses), "{addresses} of {} are addresses", texts.len());
}
