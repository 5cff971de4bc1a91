//! How a case fails, and what cases assert with.

use std::fmt::{self, Debug};
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::one_line;
use crate::scope::Scope;
use crate::store::{StoreError, StoreErrorKind};

/// Why a case failed: where, and the error with its sources. Any error converts into it.
pub struct Failure {
    message: String,
    is_unavailable: bool,
}

/// What a case gives; a failed assertion panics.
pub(crate) type Outcome = Result<(), Failure>;

impl Failure {
    /// A failure in these words.
    #[track_caller]
    pub fn new(message: impl fmt::Display) -> Self {
        Self { message: format!("{}: {message}", Location::caller()), is_unavailable: false }
    }

    /// The harness can't make an instance on this machine, for want of what `missing` names and says how to get: the
    /// case is shown as ignored, with these words.
    pub fn unavailable(missing: impl fmt::Display) -> Self {
        Self { message: missing.to_string(), is_unavailable: true }
    }

    pub(crate) fn is_unavailable(&self) -> bool {
        self.is_unavailable
    }
}

impl<E: std::error::Error> From<E> for Failure {
    #[track_caller]
    fn from(error: E) -> Self {
        Self::new(one_line(&error))
    }
}

impl Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What must be there.
pub(crate) trait Present<T> {
    /// The value, or a failure at the caller's line.
    fn present(self) -> Result<T, Failure>;
}

impl<T> Present<T> for Option<T> {
    #[track_caller]
    fn present(self) -> Result<T, Failure> {
        self.ok_or_else(|| Failure::new("nothing where something must be"))
    }
}

/// Asserts that a store refused a call with an error of this kind.
#[track_caller]
pub(crate) fn refused<T: Debug>(result: Result<T, StoreError>, kind: StoreErrorKind) {
    match result {
        Err(error) => assert_eq!(*error.kind(), kind, "{error}"),
        Ok(value) => panic!("{kind:?} was expected, not {value:?}"),
    }
}

/// Asserts that a store refused an argument, and gives the field that it names.
#[track_caller]
pub(crate) fn refused_field<T: Debug>(result: Result<T, StoreError>) -> &'static str {
    match result {
        Err(error) => match error.kind() {
            StoreErrorKind::InvalidInput(input) => input.field(),
            other => panic!("InvalidInput was expected, not {other:?}: {error}"),
        },
        Ok(value) => panic!("InvalidInput was expected, not {value:?}"),
    }
}

/// Polls a future at most `polls` times, each time it is woken, and drops it then: `None` if it was not ready.
pub(crate) async fn poll_at_most<F: Future + Send>(polls: usize, future: F) -> Option<F::Output>
where
    F::Output: Send,
{
    if polls == 0 {
        drop(future);
        return None;
    }
    Polls { future: Box::pin(future), left: polls }.await
}

struct Polls<F> {
    future: Pin<Box<F>>,
    left: usize,
}

impl<F: Future> Future for Polls<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.left -= 1;
        match self.future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Runs `count` futures at once, each in a task of its own, and gives their results in order.
pub(crate) async fn at_once<T, F>(count: usize, mut make: impl FnMut(usize) -> F) -> Result<Vec<T>, Failure>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let tasks: Vec<_> = (0..count).map(|n| tokio::spawn(make(n))).collect();
    let mut results = Vec::with_capacity(count);
    for task in tasks {
        results.push(task.await?);
    }
    Ok(results)
}

/// A user, where it makes no difference who asks.
pub(crate) fn someone() -> Result<Scope, Failure> {
    Ok(Scope::user("ada")?)
}

/// All rows of a listing, read in pages of `$limit`.
macro_rules! all_pages {
    ($limit:expr, |$page:ident| $read:expr) => {{
        let limit: u32 = $limit;
        let mut items = Vec::new();
        let mut request = $crate::page::PageRequest::first(limit)?;
        let mut pages = 0;
        loop {
            let $page = &request;
            let got = $read.await?;
            assert!(got.items.len() <= limit as usize, "a page of {} rows, limit {limit}", got.items.len());
            pages += 1;
            assert!(pages < 10_000, "a listing that does not end");
            items.extend(got.items);
            match got.next {
                Some(cursor) => request = request.after(cursor),
                None => break items,
            }
        }
    }};
}
pub(crate) use all_pages;
