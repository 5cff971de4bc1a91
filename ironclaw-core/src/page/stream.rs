use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::future::BoxFuture;
use futures::stream::{FusedStream, Stream};

use super::{Page, PageRequest};
use crate::store::StoreError;

/// The rows of a listing one by one, whatever page they are on: `read` is asked for a page when the one before it is used
/// up, so that one page is in memory at a time.
///
/// Works for every list of every trait. [`StoreExt`](crate::StoreExt) has the usual ones ready.
///
/// ```
/// use ironclaw_core::page::pages;
/// use ironclaw_core::prelude::*;
/// use ironclaw_store::LibsqlStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Report> {
/// let store = LibsqlStore::in_memory().await?;
/// let ada = Scope::user("ada")?;
/// store.put_setting(&ada, "theme", "dark".into()).await?;
///
/// let (settings, ada) = (store.settings(), &ada);
/// let mut all = pages(PageRequest::default(), |page| async move { settings.settings(ada, &page).await });
/// while let Some(setting) = all.next().await {
///     assert_eq!(setting?.key.as_str(), "theme");
/// }
/// # Ok(())
/// # }
/// ```
pub fn pages<'a, T, E, F>(
    first: PageRequest,
    mut read: impl FnMut(PageRequest) -> F + Send + 'a,
) -> PageStream<'a, T, E>
where
    F: Future<Output = Result<Page<T>, E>> + Send + 'a,
{
    PageStream {
        read: Box::new(move |page| Box::pin(read(page))),
        items: Vec::new().into_iter(),
        request: first.clone(),
        state: State::Due(first),
    }
}

/// A listing as a stream: made by [`pages`].
///
/// A row that is there when the first page is read comes exactly once, as on the pages underneath. Nothing is read before
/// the stream is polled. After an error, and after the last row, it has ended and stays so. Dropping it has no effect.
#[must_use = "a stream does nothing unless it is polled"]
pub struct PageStream<'a, T, E = StoreError> {
    read: Box<dyn FnMut(PageRequest) -> Reading<'a, T, E> + Send + 'a>,
    items: std::vec::IntoIter<T>,
    /// Whatever page is asked for is as large as the first.
    request: PageRequest,
    state: State<'a, T, E>,
}

/// A page that is being read.
type Reading<'a, T, E> = BoxFuture<'a, Result<Page<T>, E>>;

enum State<'a, T, E> {
    Due(PageRequest),
    Reading(Reading<'a, T, E>),
    Ended,
}

impl<T, E> PageStream<'_, T, E> {
    /// The next row; `None` after the last one, or after an error.
    ///
    /// Dropping the future loses nothing: the next call goes on where it was.
    ///
    /// # Errors
    /// What reading a page failed with.
    pub async fn next(&mut self) -> Option<Result<T, E>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// All rows at once: for listings that are known to be small.
    ///
    /// # Errors
    /// What reading a page failed with.
    pub async fn all(mut self) -> Result<Vec<T>, E> {
        let mut all = Vec::new();
        while let Some(item) = self.next().await {
            all.push(item?);
        }
        Ok(all)
    }
}

// Nothing is pinned in place: futures are boxed, rows are only moved out.
impl<T, E> Unpin for PageStream<'_, T, E> {}

impl<T, E> Stream for PageStream<'_, T, E> {
    type Item = Result<T, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(item) = this.items.next() {
                return Poll::Ready(Some(Ok(item)));
            }
            match &mut this.state {
                State::Due(page) => this.state = State::Reading((this.read)(page.clone())),
                State::Reading(reading) => match ready!(reading.as_mut().poll(cx)) {
                    Ok(page) => {
                        this.items = page.items.into_iter();
                        this.state = match page.next {
                            Some(cursor) => State::Due(this.request.after(cursor)),
                            None => State::Ended,
                        };
                    }
                    Err(error) => {
                        this.state = State::Ended;
                        return Poll::Ready(Some(Err(error)));
                    }
                },
                State::Ended => return Poll::Ready(None),
            }
        }
    }
}

impl<T, E> FusedStream for PageStream<'_, T, E> {
    fn is_terminated(&self) -> bool {
        matches!(self.state, State::Ended) && self.items.as_slice().is_empty()
    }
}

impl<T, E> std::fmt::Debug for PageStream<'_, T, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PageStream").field("request", &self.request).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt};

    use super::*;
    use crate::page::Cursor;

    /// Pages of two numbers each from 0 to 4; from `broken` on, reading fails.
    async fn numbers(page: PageRequest, broken: u32) -> Result<Page<u32>, &'static str> {
        let start = page.cursor().map_or(0, |cursor| cursor.as_str().parse().unwrap());
        tokio::task::yield_now().await;
        if start >= broken {
            return Err("broken");
        }
        let end = (start + page.limit()).min(5);
        Ok(Page { items: (start..end).collect(), next: (end < 5).then(|| Cursor::new(end.to_string())) })
    }

    fn stream(broken: u32) -> PageStream<'static, u32, &'static str> {
        pages(PageRequest::first(2).unwrap(), move |page| numbers(page, broken))
    }

    #[tokio::test]
    async fn every_row_of_every_page_comes_once_and_in_order() {
        assert_eq!(stream(9).all().await, Ok(vec![0, 1, 2, 3, 4]));
        let mut rows = stream(9);
        assert_eq!(rows.by_ref().take(3).collect::<Vec<_>>().await, [Ok(0), Ok(1), Ok(2)]);
        assert!(!rows.is_terminated());
        assert_eq!(rows.all().await, Ok(vec![3, 4]));
    }

    #[tokio::test]
    async fn an_error_ends_it_for_good() {
        let mut rows = stream(2);
        assert_eq!((rows.next().await, rows.next().await), (Some(Ok(0)), Some(Ok(1))));
        assert_eq!(rows.next().await, Some(Err("broken")));
        assert_eq!((rows.next().await, rows.next().await), (None, None));
        assert!(rows.is_terminated());
    }

    #[tokio::test]
    async fn a_dropped_wait_loses_nothing() {
        let mut rows = stream(9);
        assert_eq!(rows.next().now_or_never(), None);
        assert_eq!(rows.all().await, Ok(vec![0, 1, 2, 3, 4]));
    }
}
