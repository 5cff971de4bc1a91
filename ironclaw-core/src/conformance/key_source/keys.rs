use super::KeySourceSubject;
use crate::conformance::check::{Failure, Outcome};
use crate::model::secrets::WrappedKey;
use crate::vault::{KeyErrorKind, KeySource, RootKeyBytes};

const PLACE: &[u8] = b"the vault and its tenant";

fn root() -> RootKeyBytes {
    RootKeyBytes::new(&std::array::from_fn(|n| n as u8 ^ 0xa5))
}

async fn kind_of(source: &dyn KeySource, wrapped: &WrappedKey, place: &[u8]) -> Result<KeyErrorKind, Failure> {
    match source.unwrap(wrapped, place).await {
        Ok(_) => Err(Failure::new("it opened")),
        Err(error) => Ok(error.kind().clone()),
    }
}

pub(super) async fn wrap_then_unwrap(subject: &KeySourceSubject) -> Outcome {
    let source = subject.fresh().await?;
    source.create().await?;
    assert!(!source.kind().is_empty());
    for place in [PLACE, b"", &[0; 1_000]] {
        let wrapped = source.wrap(&root(), place).await?;
        assert!(source.unwrap(&wrapped, place).await?.expose() == root().expose(), "another root key came back");
    }
    Ok(())
}

pub(super) async fn creating_again_keeps_the_key(subject: &KeySourceSubject) -> Outcome {
    let source = subject.fresh().await?;
    source.create().await?;
    let wrapped = source.wrap(&root(), PLACE).await?;
    source.create().await?;
    assert!(source.unwrap(&wrapped, PLACE).await?.expose() == root().expose(), "the key was replaced");
    Ok(())
}

pub(super) async fn another_key_is_wrong(subject: &KeySourceSubject) -> Outcome {
    let (source, other) = (subject.fresh().await?, subject.fresh().await?);
    source.create().await?;
    other.create().await?;
    let wrapped = source.wrap(&root(), PLACE).await?;
    assert_eq!(kind_of(&*other, &wrapped, PLACE).await?, KeyErrorKind::WrongKey);
    Ok(())
}

pub(super) async fn other_associated_data_is_wrong(subject: &KeySourceSubject) -> Outcome {
    let source = subject.fresh().await?;
    source.create().await?;
    let wrapped = source.wrap(&root(), PLACE).await?;
    for place in [&b""[..], b"the vault and its tenant\0", b"the vault and its tenan", b"The vault and its tenant"] {
        assert_eq!(kind_of(&*source, &wrapped, place).await?, KeyErrorKind::WrongKey);
    }
    Ok(())
}

pub(super) async fn changed_bytes_do_not_open(subject: &KeySourceSubject) -> Outcome {
    let source = subject.fresh().await?;
    source.create().await?;
    let wrapped = source.wrap(&root(), PLACE).await?;
    for place in [0, wrapped.ciphertext.len() / 2, wrapped.ciphertext.len() - 1] {
        let mut changed = wrapped.clone();
        changed.ciphertext[place] ^= 1;
        assert_eq!(kind_of(&*source, &changed, PLACE).await?, KeyErrorKind::WrongKey, "byte {place}");
    }
    let mut short = wrapped.clone();
    short.ciphertext.pop();
    kind_of(&*source, &short, PLACE).await?;
    let mut empty = wrapped.clone();
    empty.ciphertext.clear();
    kind_of(&*source, &empty, PLACE).await?;
    let mut nonce = wrapped.clone();
    nonce.nonce.push(0);
    kind_of(&*source, &nonce, PLACE).await?;
    if let Some(first) = wrapped.nonce.first() {
        nonce = wrapped.clone();
        nonce.nonce[0] = first ^ 1;
        assert_eq!(kind_of(&*source, &nonce, PLACE).await?, KeyErrorKind::WrongKey);
    }
    Ok(())
}

pub(super) async fn unknown_format_is_refused(subject: &KeySourceSubject) -> Outcome {
    let source = subject.fresh().await?;
    source.create().await?;
    let mut wrapped = source.wrap(&root(), PLACE).await?;
    for format in [0, u16::MAX] {
        wrapped.format = format;
        assert_eq!(kind_of(&*source, &wrapped, PLACE).await?, KeyErrorKind::UnsupportedFormat);
    }
    Ok(())
}

pub(super) async fn the_root_key_is_not_in_the_wrapping(subject: &KeySourceSubject) -> Outcome {
    let source = subject.fresh().await?;
    source.create().await?;
    let wrapped = source.wrap(&root(), PLACE).await?;
    let root = root();
    for kept in [&wrapped.ciphertext, &wrapped.nonce, &wrapped.parameters] {
        assert!(
            !kept.windows(6).any(|window| root.expose().windows(6).any(|part| part == window)),
            "the root key is kept"
        );
    }
    assert!(wrapped.ciphertext.len() >= 48, "32 bytes and a tag");
    let printed = format!("{source:?}");
    assert!(printed.len() < 1_000, "{printed}");
    Ok(())
}

pub(super) async fn wrapping_twice_differs(subject: &KeySourceSubject) -> Outcome {
    let source = subject.fresh().await?;
    source.create().await?;
    let (first, second) = (source.wrap(&root(), PLACE).await?, source.wrap(&root(), PLACE).await?);
    assert_ne!(first.ciphertext, second.ciphertext);
    for wrapped in [first, second] {
        assert!(source.unwrap(&wrapped, PLACE).await?.expose() == root().expose());
    }
    Ok(())
}
