//! What a connection has asked for and not yet read.
//!
//! jsonrpsee answers every message of a WebSocket as it comes, however many answers wait to be read there: a peer that asks and never reads
//! filled gigabytes within its half minute. Here answers are counted until they are written. Who has too many unread gets no further
//! ones, and who has too much under way is not listened to meanwhile:
//!
//! ```text
//! socket ─► read, unless too much is under way ─► call ─► waits until there is room ─► answer, counted ─► written, taken off ─► socket
//! ```

use futures::task::AtomicWaker;
use jsonrpsee::{
    MethodResponse,
    core::middleware::{Batch, BatchEntry, Notification, RpcServiceT},
    types::Request,
};
use std::{
    io::{self, IoSlice},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{Notify, futures::Notified},
};
use tower::Layer;

/// Bytes of answers that wait to be read on one connection before it gets no more of them.
const UNREAD: usize = 16 << 20;
/// The same over all connections of a server, for those that have some unread …
const UNREAD_BY_ALL: usize = 256 << 20;
/// … and for those that have none.
const UNREAD_BY_ALL_AT_MOST: usize = 1 << 30;
/// Calls, or batches of them, under way on one connection while more are read from it.
const CALLS: usize = 256;
/// Bytes of their parameters.
const PARAMETERS: usize = 16 << 20;

/// What waits to be read on all connections of a server.
#[derive(Debug, Default)]
pub(super) struct Backlogs {
    unread: AtomicUsize,
    room: Notify,
}

/// What one connection has asked for and not yet read.
#[derive(Debug)]
pub(super) struct Backlog {
    all: Arc<Backlogs>,
    unread: AtomicUsize,
    room: Notify,
    calls: AtomicUsize,
    parameters: AtomicUsize,
    reader: AtomicWaker,
}

impl Backlog {
    pub(super) fn new(all: &Arc<Backlogs>) -> Arc<Self> {
        Arc::new(Self {
            all: Arc::clone(all),
            unread: AtomicUsize::new(0),
            room: Notify::new(),
            calls: AtomicUsize::new(0),
            parameters: AtomicUsize::new(0),
            reader: AtomicWaker::new(),
        })
    }

    fn has_room(&self) -> bool {
        let all = self.all.unread.load(Ordering::SeqCst);
        match self.unread.load(Ordering::SeqCst) {
            0 => all < UNREAD_BY_ALL_AT_MOST,
            unread => unread < UNREAD && all < UNREAD_BY_ALL,
        }
    }

    /// Waits until there is room for one more answer.
    async fn room(&self) {
        loop {
            let (mut here, mut anywhere) = (pin!(self.room.notified()), pin!(self.all.room.notified()));
            let listen = |notified: Pin<&mut Notified<'_>>| notified.enable();
            listen(here.as_mut());
            listen(anywhere.as_mut());
            if self.has_room() {
                return;
            }
            tokio::select! {
                () = here => {}
                () = anywhere => {}
            }
        }
    }

    fn answered(&self, bytes: usize) {
        self.unread.fetch_add(bytes, Ordering::SeqCst);
        self.all.unread.fetch_add(bytes, Ordering::SeqCst);
    }

    /// So many bytes were written. Some are of no answer: of heads, frames and what is told to subscribers.
    fn written(&self, bytes: usize) {
        let taken = |unread: usize| Some(unread.saturating_sub(bytes));
        let before = self.unread.fetch_update(Ordering::SeqCst, Ordering::SeqCst, taken).unwrap_or_default();
        let bytes = bytes.min(before);
        let all = self.all.unread.fetch_sub(bytes, Ordering::SeqCst);
        let falls_below = |bound: usize, before: usize| before >= bound && before - bytes < bound;
        if falls_below(UNREAD, before) || falls_below(1, before) {
            self.room.notify_waiters();
        }
        if falls_below(UNREAD_BY_ALL, all) || falls_below(UNREAD_BY_ALL_AT_MOST, all) {
            self.all.room.notify_waiters();
        }
    }

    fn is_listened_to(&self) -> bool {
        self.calls.load(Ordering::SeqCst) < CALLS && self.parameters.load(Ordering::SeqCst) < PARAMETERS
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        let unread = *self.unread.get_mut();
        self.written(unread);
    }
}

/// A call under way, its answer not yet handed over.
struct UnderWay {
    backlog: Arc<Backlog>,
    parameters: usize,
}

impl UnderWay {
    fn new(backlog: &Arc<Backlog>, parameters: usize) -> Self {
        backlog.calls.fetch_add(1, Ordering::SeqCst);
        backlog.parameters.fetch_add(parameters, Ordering::SeqCst);
        Self { backlog: Arc::clone(backlog), parameters }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.backlog.calls.fetch_sub(1, Ordering::SeqCst);
        self.backlog.parameters.fetch_sub(self.parameters, Ordering::SeqCst);
        self.backlog.reader.wake();
    }
}

/// The layer, of one connection. A [`Listener`](super::Listener) makes it.
#[derive(Clone, Debug)]
pub struct BacklogLayer(pub(super) Arc<Backlog>);

impl<S> Layer<S> for BacklogLayer {
    type Service = Backlogged<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Backlogged { inner, backlog: Arc::clone(&self.0) }
    }
}

/// The service around another one.
#[derive(Clone, Debug)]
pub struct Backlogged<S> {
    inner: S,
    backlog: Arc<Backlog>,
}

impl<S> Backlogged<S> {
    /// An answer when there is room for it.
    async fn answer(
        backlog: Arc<Backlog>,
        under_way: UnderWay,
        answer: impl Future<Output = MethodResponse>,
    ) -> MethodResponse {
        backlog.room().await;
        let answer = answer.await;
        backlog.answered(answer.as_ref().len());
        drop(under_way);
        answer
    }
}

fn bytes_of(request: &Request<'_>) -> usize {
    request.params.as_ref().map_or(0, |params| params.get().len())
}

impl<S> RpcServiceT for Backlogged<S>
where
    S: RpcServiceT<MethodResponse = MethodResponse, BatchResponse = MethodResponse>
        + Send
        + Sync
        + Clone
        + 'static,
{
    type MethodResponse = MethodResponse;
    type NotificationResponse = S::NotificationResponse;
    type BatchResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let under_way = UnderWay::new(&self.backlog, bytes_of(&request));
        let inner = self.inner.clone();
        Self::answer(Arc::clone(&self.backlog), under_way, async move { inner.call(request).await })
    }

    fn batch<'a>(&self, requests: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let bytes = requests.iter().map(|entry| match entry {
            Ok(BatchEntry::Call(request)) => bytes_of(request),
            _ => 0,
        });
        let under_way = UnderWay::new(&self.backlog, bytes.sum());
        let inner = self.inner.clone();
        Self::answer(Arc::clone(&self.backlog), under_way, async move { inner.batch(requests).await })
    }

    fn notification<'a>(
        &self,
        notification: Notification<'a>,
    ) -> impl Future<Output = S::NotificationResponse> + Send + 'a {
        self.inner.notification(notification)
    }
}

/// A connection's stream, of which is known what was written, and which is read only while it may ask for more.
#[derive(Debug)]
pub(super) struct Listened<S> {
    stream: S,
    backlog: Arc<Backlog>,
}

impl<S> Listened<S> {
    pub(super) const fn new(stream: S, backlog: Arc<Backlog>) -> Self {
        Self { stream, backlog }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Listened<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.backlog.is_listened_to() {
            self.backlog.reader.register(cx.waker());
            // It may have changed before anybody could know whom to wake.
            if !self.backlog.is_listened_to() {
                return Poll::Pending;
            }
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Listened<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.backlog.written(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, parts))?;
        self.backlog.written(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn who_does_not_read_gets_no_more_and_others_do() {
        let all = Arc::default();
        let (deaf, other) = (Backlog::new(&all), Backlog::new(&all));
        assert!(deaf.room().now_or_never().is_some());
        deaf.answered(UNREAD - 1);
        assert!(deaf.has_room());
        deaf.answered(1);
        assert!(!deaf.has_room() && other.has_room());
        let mut waits = pin!(deaf.room());
        assert!(waits.as_mut().now_or_never().is_none());
        deaf.written(1);
        assert!(waits.now_or_never().is_some());
        // More is written than answers are.
        deaf.written(2 * UNREAD);
        assert_eq!((deaf.unread.load(Ordering::SeqCst), all.unread.load(Ordering::SeqCst)), (0, 0));
    }

    #[test]
    fn what_all_have_unread_is_bounded_and_given_back() {
        let all = Arc::default();
        let deaf: Vec<_> = (0..UNREAD_BY_ALL / UNREAD).map(|_| Backlog::new(&all)).collect();
        deaf.iter().for_each(|one| one.answered(UNREAD));
        let (slow, fast) = (Backlog::new(&all), Backlog::new(&all));
        slow.answered(1);
        assert!(!slow.has_room() && fast.has_room());
        let mut waits = Box::pin(slow.room());
        assert!(waits.as_mut().now_or_never().is_none());
        drop(deaf);
        assert!(waits.now_or_never().is_some());
        let much = Backlog::new(&all);
        much.answered(UNREAD_BY_ALL_AT_MOST);
        assert!(!fast.has_room());
        drop((much, slow));
        assert_eq!(all.unread.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn who_has_much_under_way_is_not_listened_to() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let backlog = Backlog::new(&Arc::default());
        let (near, mut far) = tokio::io::duplex(64);
        let mut near = Listened::new(near, Arc::clone(&backlog));
        far.write_all(b"ab").await.unwrap();
        let large = UnderWay::new(&backlog, PARAMETERS);
        assert!(near.read_u8().now_or_never().is_none());
        let heard = tokio::spawn(async move { near.read_u8().await.map(|byte| (byte, near)) });
        tokio::task::yield_now().await;
        drop(large);
        let (byte, mut near) = heard.await.unwrap().unwrap();
        assert_eq!(byte, b'a');
        let calls: Vec<_> = (0..CALLS).map(|_| UnderWay::new(&backlog, 0)).collect();
        assert!(near.read_u8().now_or_never().is_none());
        drop(calls);
        assert_eq!(near.read_u8().await.unwrap(), b'b');
    }
}
