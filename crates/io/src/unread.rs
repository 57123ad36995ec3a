//! A stream whose peer has to read: what cannot be written for a time ends it.

use std::{
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// The stream.
#[derive(Debug)]
pub struct Unread<S> {
    stream: S,
    patience: Duration,
    /// Runs while nothing can be written.
    waiting: Option<Pin<Box<Sleep>>>,
    /// Whether it ran out.
    over: bool,
    /// Who waits for what the peer says, who may go on talking without ever reading.
    reader: Option<Waker>,
}

impl<S> Unread<S> {
    /// A stream that ends when nothing can be written to it for so long.
    pub fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, waiting: None, over: false, reader: None }
    }

    /// What came of writing, or what comes of not having been able to for too long.
    fn in_time<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(self.patience)));
        ready!(waiting.as_mut().poll(cx));
        self.over = true;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Poll::Ready(Err(unread()))
    }
}

fn unread() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "what was sent is not read")
}

impl<S: AsyncRead + Unpin> AsyncRead for Unread<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.over {
            return Poll::Ready(Err(unread()));
        }
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_pending() {
            self.reader.get_or_insert_with(|| cx.waker().clone()).clone_from(cx.waker());
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Unread<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.over {
            return Poll::Ready(Err(unread()));
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.in_time(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.over {
            return Poll::Ready(Err(unread()));
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.in_time(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.over {
            return Poll::Ready(Err(unread()));
        }
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.in_time(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split},
        time::{Instant, advance, timeout},
    };

    const PATIENCE: Duration = Duration::from_secs(30);

    /// Two ends between which there is room for 16 bytes.
    fn pair() -> (Unread<DuplexStream>, DuplexStream) {
        let (near, far) = duplex(16);
        (Unread::new(near, PATIENCE), far)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_read_for_a_time_ends_the_stream() {
        let (mut near, _far) = pair();
        let start = Instant::now();
        let error = near.write_all(&[0; 17]).await.unwrap_err();
        assert_eq!((error.kind(), start.elapsed().as_secs()), (io::ErrorKind::TimedOut, 30));
        assert!(near.write_all(b"x").await.is_err() && near.flush().await.is_err(), "once and for all");
    }

    /// A subscriber that talked on and on, but read nothing, once kept its place.
    #[tokio::test(start_paused = true)]
    async fn the_reader_learns_of_it_too() {
        for talks in [false, true] {
            let (near, mut far) = pair();
            let (mut reader, mut writer) = split(near);
            let reading = tokio::spawn(async move { while reader.read_u8().await.is_ok() {} });
            let talking = tokio::spawn(async move {
                while talks && far.write_all(b"x").await.is_ok() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                std::future::pending::<DuplexStream>().await
            });
            assert!(writer.write_all(&[0; 17]).await.is_err());
            timeout(Duration::from_secs(5), reading).await.expect("the reader has ended").unwrap();
            talking.abort();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_slowly_and_who_is_idle_are_left_alone() {
        let (mut near, mut far) = pair();
        let reading = tokio::spawn(async move {
            for _ in 0..100 {
                advance(PATIENCE - Duration::from_secs(1)).await;
                far.read_u8().await.unwrap();
            }
            far
        });
        near.write_all(&[0; 100]).await.unwrap();
        let mut far = reading.await.unwrap();
        advance(100 * PATIENCE).await;
        near.write_all(&[0; 10]).await.unwrap();
        advance(100 * PATIENCE).await;
        far.write_all(b"x").await.unwrap();
        assert_eq!(near.read_u8().await.unwrap(), b'x');
    }
}
