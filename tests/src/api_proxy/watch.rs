//! The news of a watch, passed on one by one.

use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Incoming};
use serde_json::Value;
use tokio::sync::mpsc;

use std::sync::Arc;

use super::Shared;
use super::answer::Broken;
use super::fault::{NewsDeed, Refusal};

/// What a watch says of one object.
#[derive(Debug, Clone, PartialEq)]
pub struct News {
    /// `ADDED`, `MODIFIED` or `DELETED`.
    pub kind: String,
    /// What is watched, like `jobs`.
    pub resource: String,
    /// The object as it is now.
    pub object: Value,
}

impl News {
    /// Nothing for what is about no object: bookmarks and errors are passed on as they come.
    fn read(resource: &str, line: &[u8]) -> Option<Self> {
        let mut line: Value = serde_json::from_slice(line).ok()?;
        let kind = line["type"].as_str()?.to_owned();
        let is_news = ["ADDED", "MODIFIED", "DELETED"].contains(&kind.as_str());
        is_news.then(|| Self { kind, resource: resource.to_owned(), object: line["object"].take() })
    }

    /// Of the object.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.object["metadata"]["namespace"].as_str().unwrap_or_default()
    }

    /// Of the object.
    #[must_use]
    pub fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or_default()
    }
}

/// Why a stream is not read any further.
enum End {
    /// It is over, as the client will see.
    Over,
    /// The client is gone, or is to lose its connection.
    Broken,
}

type Pieces = mpsc::Sender<Result<Bytes, Broken>>;

/// Passes everything on until one of both ends it.
pub(super) async fn pass_on(
    mut news: Incoming,
    resource: String,
    pieces: Pieces,
    shared: Arc<Shared>,
) {
    let mut stream = Stream { resource, pieces, shared, late: None };
    let mut rest = Vec::new();
    loop {
        let frame = tokio::select! {
            frame = news.frame() => frame,
            () = stream.pieces.closed() => return,
        };
        let data = match frame {
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            Some(Err(_)) => {
                let _ = stream.pieces.send(Err(Broken)).await;
                return;
            }
            None => break,
        };
        rest.extend_from_slice(&data);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            match stream.take(Bytes::from(line)).await {
                Ok(()) => {}
                Err(End::Over) => return,
                Err(End::Broken) => {
                    let _ = stream.pieces.send(Err(Broken)).await;
                    return;
                }
            }
        }
    }
    if let Some(late) = stream.late.take() {
        let _ = stream.send(late).await;
    }
}

struct Stream {
    resource: String,
    pieces: Pieces,
    shared: Arc<Shared>,
    /// To be said after the next one.
    late: Option<Bytes>,
}

impl Stream {
    async fn take(&mut self, line: Bytes) -> Result<(), End> {
        let Some(news) = News::read(&self.resource, &line) else { return self.send(line).await };
        let late = self.late.take();
        match self.shared.deed_at(&news) {
            None => self.send(line).await?,
            Some(NewsDeed::Drop) => {}
            Some(NewsDeed::Repeat) => {
                self.send(line.clone()).await?;
                self.send(line).await?;
            }
            Some(NewsDeed::RepeatLater) => {
                self.send(line.clone()).await?;
                self.late = Some(line);
            }
            Some(NewsDeed::Swap) => self.late = Some(line),
            Some(NewsDeed::Close) => return Err(End::Over),
            Some(NewsDeed::Expire) => {
                self.send(Refusal::Expired.last_word()).await?;
                return Err(End::Over);
            }
            Some(NewsDeed::Hold(place)) => {
                place.wait().await.map_err(|Broken| End::Broken)?;
                self.send(line).await?;
            }
        }
        match late {
            Some(late) => self.send(late).await,
            None => Ok(()),
        }
    }

    async fn send(&self, line: Bytes) -> Result<(), End> {
        self.pieces.send(Ok(line)).await.map_err(|_| End::Broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_about_an_object_is_news() {
        let line = br#"{"type":"ADDED","object":{"metadata":{"name":"one","namespace":"shop"}}}"#;
        let news = News::read("jobs", line).unwrap();
        assert_eq!((news.name(), news.namespace(), news.kind.as_str()), ("one", "shop", "ADDED"));
        assert_eq!(News::read("jobs", br#"{"type":"BOOKMARK","object":{}}"#), None);
        assert_eq!(News::read("jobs", br#"{"type":"ERROR","object":{}}"#), None);
        assert_eq!(News::read("jobs", b"no JSON"), None);
    }
}
