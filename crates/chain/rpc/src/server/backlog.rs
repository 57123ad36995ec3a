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
use parking_lot::Mutex;
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
    sync::Notify,
};
use tower::Layer;

/// Bytes of answers that wait to be read on one connection before it gets no more of them.
const UNREAD: usize = 16 << 20;
/// The same over all connections of a server, for those that have some unread …
const UNREAD_BY_ALL: usize = 256 << 20;
/// … and for those that have none.
const UNREAD_BY_ALL_AT_MOST: usize = 1 << 30;
/// What is set aside for an answer while it is made.
const LIKELY: usize = 64 << 10;
/// Calls, or batches of them, under way on one connection while more are read from it.
const CALLS: usize = 256;
/// Bytes of their parameters.
const PARAMETERS: usize = 16 << 20;

/// What waits to be read on all connections of a server, and is set aside to be answered.
#[derive(Debug, Default)]
pub(super) struct Backlogs {
    held: AtomicUsize,
    room: Notify,
}

/// What one connection has asked for and not yet read.
#[derive(Debug)]
pub(super) struct Backlog {
    all: Arc<Backlogs>,
    counts: Mutex<Counts>,
    room: Notify,
    reader: AtomicWaker,
}

#[derive(Debug, Default)]
struct Counts {
    /// Bytes of answers.
    unread: usize,
    /// Bytes set aside for answers that are being made.
    reserved: usize,
    calls: usize,
    /// Bytes of their parameters.
    parameters: usize,
}

impl Counts {
    const fn held(&self) -> usize {
        self.unread + self.reserved
    }
}

impl Backlog {
    pub(super) fn new(all: &Arc<Backlogs>) -> Arc<Self> {
        let (all, counts) = (Arc::clone(all), Mutex::default());
        Arc::new(Self { all, counts, room: Notify::new(), reader: AtomicWaker::new() })
    }

    /// Sets room aside if there is any left, however much the answer may come to.
    fn try_reserve(&self, bytes: usize) -> bool {
        let mut counts = self.counts.lock();
        let all = self.all.held.load(Ordering::SeqCst);
        let is_open = match counts.held() {
            0 => all < UNREAD_BY_ALL_AT_MOST,
            held => held < UNREAD && all < UNREAD_BY_ALL,
        };
        if is_open {
            counts.reserved += bytes;
            self.all.held.fetch_add(bytes, Ordering::SeqCst);
        }
        is_open
    }

    /// Waits until there is room for one more answer, and sets it aside.
    async fn reserve(&self, bytes: usize) {
        loop {
            let (mut here, mut anywhere) = (pin!(self.room.notified()), pin!(self.all.room.notified()));
            here.as_mut().enable();
            anywhere.as_mut().enable();
            if self.try_reserve(bytes) {
                return;
            }
            tokio::select! {
                () = here => {}
                () = anywhere => {}
            }
        }
    }

    fn answered(&self, bytes: usize) {
        self.counts.lock().unread += bytes;
        self.all.held.fetch_add(bytes, Ordering::SeqCst);
    }

    /// So many bytes were written. Some are of no answer: of heads, frames and what is told to subscribers.
    fn written(&self, bytes: usize) {
        self.give_back(|counts| {
            let taken = bytes.min(counts.unread);
            counts.unread -= taken;
            taken
        });
    }

    /// Tells who waits where there is room again.
    fn give_back(&self, take: impl FnOnce(&mut Counts) -> usize) {
        let mut counts = self.counts.lock();
        let bytes = take(&mut counts);
        let held = counts.held();
        drop(counts);
        let all = self.all.held.fetch_sub(bytes, Ordering::SeqCst) - bytes;
        let falls_below = |bound: usize, now: usize| now < bound && now + bytes >= bound;
        if falls_below(UNREAD, held) || falls_below(1, held) {
            self.room.notify_waiters();
        }
        if falls_below(UNREAD_BY_ALL, all) || falls_below(UNREAD_BY_ALL_AT_MOST, all) {
            self.all.room.notify_waiters();
        }
    }

    fn is_listened_to(&self) -> bool {
        let counts = self.counts.lock();
        counts.calls < CALLS && counts.parameters < PARAMETERS
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        self.written(usize::MAX);
    }
}

/// A call, or a batch, under way, its answer not yet handed over.
struct UnderWay {
    backlog: Arc<Backlog>,
    parameters: usize,
    reserved: usize,
}

impl UnderWay {
    fn new(backlog: &Arc<Backlog>, parameters: usize) -> Self {
        let mut counts = backlog.counts.lock();
        counts.calls += 1;
        counts.parameters += parameters;
        drop(counts);
        Self { backlog: Arc::clone(backlog), parameters, reserved: 0 }
    }

    /// Its answer, when there is room.
    async fn answer(mut self, calls: usize, answer: impl Future<Output = MethodResponse>) -> MethodResponse {
        let likely = calls.saturating_mul(LIKELY).min(UNREAD);
        self.backlog.reserve(likely).await;
        self.reserved = likely;
        let answer = answer.await;
        self.backlog.answered(answer.as_ref().len());
        answer
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.backlog.give_back(|counts| {
            counts.calls -= 1;
            counts.parameters -= self.parameters;
            counts.reserved -= self.reserved;
            self.reserved
        });
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
        under_way.answer(1, async move { inner.call(request).await })
    }

    fn batch<'a>(&self, requests: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let bytes = requests.iter().map(|entry| match entry {
            Ok(BatchEntry::Call(request)) => bytes_of(request),
            _ => 0,
        });
        let under_way = UnderWay::new(&self.backlog, bytes.sum());
        let (inner, calls) = (self.inner.clone(), requests.len());
        under_way.answer(calls, async move { inner.batch(requests).await })
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

    fn has_room(backlog: &Backlog) -> bool {
        let has = backlog.try_reserve(0);
        has && backlog.reserve(0).now_or_never().is_some()
    }

    #[test]
    fn who_does_not_read_gets_no_more_and_others_do() {
        let all = Arc::default();
        let (deaf, other) = (Backlog::new(&all), Backlog::new(&all));
        assert!(has_room(&deaf));
        deaf.answered(UNREAD - 1);
        assert!(has_room(&deaf));
        deaf.answered(1);
        assert!(!has_room(&deaf) && has_room(&other));
        let mut waits = pin!(deaf.reserve(0));
        assert!(waits.as_mut().now_or_never().is_none());
        deaf.written(1);
        assert!(waits.now_or_never().is_some());
        // More is written than answers are.
        deaf.written(2 * UNREAD);
        assert_eq!((deaf.counts.lock().held(), all.held.load(Ordering::SeqCst)), (0, 0));
    }

    #[test]
    fn what_all_have_unread_is_bounded_and_given_back() {
        let all = Arc::default();
        let deaf: Vec<_> = (0..UNREAD_BY_ALL / UNREAD).map(|_| Backlog::new(&all)).collect();
        deaf.iter().for_each(|one| one.answered(UNREAD));
        let (slow, fast) = (Backlog::new(&all), Backlog::new(&all));
        slow.answered(1);
        assert!(!has_room(&slow) && has_room(&fast));
        let mut waits = Box::pin(slow.reserve(0));
        assert!(waits.as_mut().now_or_never().is_none());
        drop(deaf);
        assert!(waits.now_or_never().is_some());
        let much = Backlog::new(&all);
        much.answered(UNREAD_BY_ALL_AT_MOST);
        assert!(!has_room(&fast));
        drop((much, slow));
        assert_eq!(all.held.load(Ordering::SeqCst), 0);
    }

    /// Hundreds of batches that began when nothing was unread yet were all answered, gigabytes together.
    #[test]
    fn answers_that_are_being_made_count_and_those_given_up_do_not() {
        let backlog = Backlog::new(&Arc::default());
        let answer = |calls| Box::pin(UnderWay::new(&backlog, 1).answer(calls, std::future::pending()));
        let mut batch = answer(1000);
        assert!(batch.as_mut().now_or_never().is_none());
        assert!(!has_room(&backlog));
        drop(batch);
        let mut calls: Vec<_> = (0..CALLS).map(|_| answer(1)).collect();
        assert!(calls.iter_mut().all(|call| call.as_mut().now_or_never().is_none()));
        assert!(!has_room(&backlog) && backlog.counts.lock().reserved == UNREAD);
        drop(calls);
        let counts = backlog.counts.lock();
        assert_eq!((counts.held(), counts.calls, counts.parameters), (0, 0, 0));
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
