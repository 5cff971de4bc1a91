//! The text of a migration never changes after it landed.

use std::path::Path;

use sha2::{Digest, Sha256};

/// SHA-256 of each file of each schema that landed.
const LANDED: &[(&str, &str)] = &[
    ("libsql/schema/0001/access.sql", "540e3ad7a3395c87b050b378b1f3c3c5a8f159d163d2ad9bccb10599ad676011"),
    ("libsql/schema/0001/audit.sql", "c16640cabfb49525a450b4894b5f421784b2ac5170d3864421b41fb32c482071"),
    ("libsql/schema/0001/conversations.sql", "7385cfd49b4ab3ad502b751b492ac2ad4260ed1991e17b0a5e996f83a8ae046c"),
    ("libsql/schema/0001/jobs.sql", "34f0c39dd21d3aadcd2f675467cefd454edb6adad72ba6829b9de41020c43a47"),
    ("libsql/schema/0001/privacy.sql", "f13c6d79c28cd65cd5cc069f988fb0b9c8d38571285aa4aac2d9950166a9ca04"),
    ("libsql/schema/0001/secrets.sql", "4d54c04bddea8a6002fdb6b46a87951e8b1f06998c3e8d5f0ca18a65056fb019"),
    ("libsql/schema/0001/settings.sql", "4f47dfdad8ae666e11698c9080ca03a3469f2d2bd9185450cb1ed22788d68801"),
    ("libsql/schema/0001/users.sql", "ea7b93f09e30474fba87fd1b71eb385df3abe95601104bf30522c8e6b50bc820"),
    ("libsql/schema/0001/workspace.sql", "f3d8a6d43137c01637486304b6d1979f22d0522f29a38a9fe9bd6738eeec3ed1"),
    ("libsql/schema/0002/receipts.sql", "fef0a00e93323cc87d3c65682f9bb691604a977e8728e665e93848c93c0b940a"),
    ("libsql/schema/0002/removal.sql", "4be3887c0c175b4e5ff69f36bb0327940751ad2195c12941c1bd6929d9f8904d"),
    ("libsql/schema/0003/retention.sql", "842918c4ab65ccd0a3cf32cdffdd17527548d52da83d84ac58292e5cdb8c8e7b"),
    ("libsql/schema/0004/names.sql", "4e21e3f041f5c314433d11eb58af832034e8d5000b5856bb63f21d15ecb2cbbb"),
    ("libsql/schema/0004/retention.sql", "aa0a7f61bf2666ecc41d59c1c1038f6e4d1da98789f8f9a139e7b5725480ae86"),
    ("libsql/schema/0005/spaces.sql", "f76d6315b20f6bf6c6a99d9b7aa1c2c2b51cfa67e046aa92bce003b3f1cf2fda"),
    ("postgres/schema/0001/access.sql", "c05fce10300340cb3c4ea2e0741b702a33e91c89c0578f48501552d399385f97"),
    ("postgres/schema/0001/audit.sql", "1c511db8fad939495223db323a781efb9cf07a27e1f1e1797338e9543b323b7c"),
    ("postgres/schema/0001/conversations.sql", "6c44b8c7a55da99b504892218ce4c87dc11e2d0662996209f454c08b0d9e2c85"),
    ("postgres/schema/0001/functions.sql", "6112e0388e946f96ad767177b53edcfb5fcc97d6dc576346aaefad9f8be22a7e"),
    ("postgres/schema/0001/jobs.sql", "1502c7976fc8d15f8245fb225e2c1c43720266e7236967b6f43483542bd8f6a4"),
    ("postgres/schema/0001/privacy.sql", "220673d25a9aef3bde8f1a3e672300290960d3a55c08a7758f7549cf84e5c2a0"),
    ("postgres/schema/0001/secrets.sql", "eedbd15c26c1d0a7d81fb94af43f84c5579e62cf7d0893de5f9255b2f3de6dff"),
    ("postgres/schema/0001/security.sql", "b9b252e913310f0f6536075b0a654018be3a0110c6842215a3d8ebfe0de6943a"),
    ("postgres/schema/0001/settings.sql", "354802f1f01f63ac631e55fb35f973961ca7032247432b965c6f782f4a40d8ae"),
    ("postgres/schema/0001/users.sql", "ad594d7df6500577605a93d280a6da165aba956ac2ae633ef27603fc1993679d"),
    ("postgres/schema/0001/workspace.sql", "7f10885b6e1917a8a8c12ca78bce659bd57d606191765e6f4e7de0029c522cb6"),
    ("postgres/schema/0002/audit.sql", "24097fe98da0325e110c73838171fd0f42ee64157b81e63a4fbb7547129754c2"),
    ("postgres/schema/0002/receipts.sql", "d72c7b875c29d3f3694047a7bd9faf89e3f1962d64581d80f9701d204a41ae66"),
    ("postgres/schema/0003/paths.sql", "f5adc95c3effb7d3d01dfda3d6b7e666a18dec360cbfe9b66a5fa6c7f1c2c88c"),
    ("postgres/schema/0003/retention.sql", "35d2d8ba234c18db71709310f13bd513ab1e1ae25e19a9f6fc67c8a7a6bb85ef"),
    ("postgres/schema/0003/takeover.sql", "4b165c1fce4f1f9b8455a06b8c1536cdb9afa8c789f1b8b015721c849f8ef744"),
    ("postgres/schema/0003/vectors.sql", "8d8527a518a64d0af3d8ebd337febc81cd6ad0359bd53034520d2efa3cd484e4"),
    ("postgres/schema/0004/audit.sql", "6048b7ab9edc1e140abc0bec785f30f1666f0ae3c1df46098563c6d91001d208"),
    ("postgres/schema/0004/retention.sql", "471f8feb3604c64fc043d41dc79f909cffae25852f13692634fd75378569fd18"),
    ("postgres/schema/0005/spaces.sql", "a94eccb220904f91fbe2362f6df10fc490c98cd0edc5763f73d44ae93796805d"),
];

#[test]
fn landed_migrations_are_as_they_were() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for store in ["libsql", "postgres"] {
        let schemas = source.join(store).join("schema");
        let landed =
            |folder: &str| LANDED.iter().any(|(file, _)| file.starts_with(&format!("{store}/schema/{folder}/")));
        for folder in std::fs::read_dir(&schemas).unwrap() {
            let folder = folder.unwrap().file_name().into_string().unwrap();
            if !landed(&folder) {
                continue;
            }
            for file in std::fs::read_dir(schemas.join(&folder)).unwrap() {
                let file = file.unwrap().path();
                let digest = Sha256::digest(std::fs::read(&file).unwrap());
                let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
                let name = file.file_name().unwrap().to_str().unwrap();
                found.push((format!("{store}/schema/{folder}/{name}"), hex));
            }
        }
    }
    found.sort();
    let landed: Vec<_> = LANDED.iter().map(|(file, hash)| ((*file).to_owned(), (*hash).to_owned())).collect();
    assert_eq!(found, landed, "what has landed never changes: write a migration of its own");
}
