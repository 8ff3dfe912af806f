//! The body of an answer on its way to the client.

use std::fmt::{self, Display, Formatter};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::hold::Place;

/// The connection to the client is to be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken;

impl Display for Broken {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("cut by the proxy of the tests")
    }
}

impl std::error::Error for Broken {}

#[derive(Debug)]
enum Content {
    Whole(Bytes),
    Stream(mpsc::Receiver<Result<Bytes, Broken>>),
}

/// The body of an answer: all that there is, or what comes of a watch.
#[derive(Debug)]
pub struct Answer {
    content: Content,
    /// To be told when all of it was passed on.
    passed_on: Option<Place>,
}

impl Answer {
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self { content: Content::Whole(bytes), passed_on: None }
    }

    pub(super) fn stream(pieces: mpsc::Receiver<Result<Bytes, Broken>>) -> Self {
        Self { content: Content::Stream(pieces), passed_on: None }
    }

    pub(super) fn tell_when_passed_on(&mut self, place: Place) {
        self.passed_on = Some(place);
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut self.content {
            Content::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Content::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Content::Stream(pieces) => {
                pieces.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.content, Content::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Stream(_) => SizeHint::default(),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // It goes when its last piece is in the connection's buffer, which is written out before
        // another task has its turn.
        if let (Some(place), Ok(runtime)) = (self.passed_on.take(), Handle::try_current()) {
            runtime.spawn(async move { place.reach() });
        }
    }
}
