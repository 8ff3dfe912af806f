//! A client has a short time for the head of a request, and a long one between two requests: whoever keeps
//! connections for later, such as an Ingress, would else send a request into one that is just being closed.
//! hyper knows one time for both, and none for an answer that nobody reads.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// From the first byte of a head to its last; for the first of a connection, from its begin.
const HEAD: Duration = Duration::from_secs(5);
/// How long a client may take nothing of an answer.
const UNREAD: Duration = Duration::from_secs(15);

/// A connection whose reads fail when a head is late, and its writes when nobody reads.
pub struct Heads<S> {
    stream: S,
    turns: Turns,
    /// The turn in which `begun` was set.
    turn: u64,
    /// When the head that is awaited began.
    begun: Option<Instant>,
    /// Made when there is something to wait for: most heads come at once.
    late: Option<Pin<Box<Sleep>>>,
    /// Made when the system takes no more of an answer.
    unread: Option<Pin<Box<Sleep>>>,
}

/// Whose turn it is, the client's or ours: what comes during ours is no head that is late.
#[derive(Clone, Default)]
pub struct Turns(Arc<AtomicU64>);

impl Turns {
    /// A request begins, or its answer.
    pub fn change(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl<S> Heads<S> {
    /// A connection that has just begun. `turns` is to change at the begin and at the end of each request.
    pub fn new(stream: S, turns: Turns) -> Self {
        Self { stream, turns, turn: 0, begun: Some(Instant::now()), late: None, unread: None }
    }

    /// After each try to write.
    fn tried(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.unread = None;
            return written;
        }
        let unread = self.unread.get_or_insert_with(|| Box::pin(sleep(UNREAD)));
        unread.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heads<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let turn = this.turns.0.load(Ordering::Relaxed);
        if turn != this.turn {
            (this.turn, this.begun, this.late) = (turn, None, None);
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        if read.is_ready() {
            let is_of_the_client = turn.is_multiple_of(2);
            if is_of_the_client && buffer.filled().len() > before {
                this.begun.get_or_insert_with(Instant::now);
            }
            return read;
        }
        let Some(begun) = this.begun else { return Poll::Pending };
        let late = this.late.get_or_insert_with(|| Box::pin(sleep_until(begun + HEAD)));
        late.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heads<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.tried(written, context)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, pieces);
        this.tried(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
