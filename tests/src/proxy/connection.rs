//! One connection through the proxy: messages up, answers down.

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;

use super::message::{Kind, Message, Prepared, Raw};
use super::{Deed, Order, Plan, Shared, When};

/// What the server has said so far, and whether the client may hear it.
#[derive(Debug, Clone, Copy, Default)]
struct Answers {
    messages: usize,
    /// `ReadyForQuery`: the end of an answer.
    ready: usize,
    closed: bool,
    withheld: bool,
}

/// Passes everything on until one side ends or a plan cuts it.
pub async fn relay(client: TcpStream, server: &str, shared: &Shared, number: usize) -> Result<()> {
    let server = TcpStream::connect(server).await.context("failed to reach the server")?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, mut to_client) = client.into_split();
    let (mut from_server, to_server) = server.into_split();
    let answers = watch::Sender::new(Answers::default());
    let mut upward = Upward {
        shared,
        number,
        client: BufReader::new(from_client),
        server: to_server,
        answers: &answers,
        prepared: Prepared::default(),
        answers_due: 0,
    };
    let Some(first) = upward.negotiate(&mut from_server, &mut to_client).await? else {
        return Ok(());
    };
    tokio::select! {
        ended = upward.run(first) => ended,
        ended = downward(shared, &mut from_server, &mut to_client, &answers) => ended,
    }
}

struct Upward<'a> {
    shared: &'a Shared,
    number: usize,
    client: BufReader<OwnedReadHalf>,
    server: OwnedWriteHalf,
    answers: &'a watch::Sender<Answers>,
    prepared: Prepared,
    /// How often the server will have been ready when it has answered all.
    answers_due: usize,
}

impl Upward<'_> {
    /// Before the login a client may ask for encryption, and is answered by one byte. Returns the
    /// first message that is followed by others.
    async fn negotiate(
        &mut self,
        from_server: &mut OwnedReadHalf,
        to_client: &mut OwnedWriteHalf,
    ) -> Result<Option<Raw>> {
        loop {
            let Some(message) = Raw::read_first(&mut self.client).await? else { return Ok(None) };
            if !matches!(message.kind, Kind::SslRequest | Kind::GssRequest) {
                return Ok(Some(message));
            }
            let (before, later) = split(self.note(&message));
            obey(before).await?;
            self.server.write_all(&message.bytes).await?;
            let (sent, answered) = match later {
                Some(plan) if plan.when == When::Sent => (Some(plan), None),
                other => (None, other),
            };
            obey(sent).await?;
            let answer = from_server.read_u8().await?;
            obey(answered).await?;
            to_client.write_u8(answer).await?;
            if answer != b'N' {
                let up = tokio::io::copy(&mut self.client, &mut self.server);
                let down = tokio::io::copy(from_server, to_client);
                tokio::select! { ended = up => ended?, ended = down => ended? };
                return Ok(None);
            }
        }
    }

    async fn run(&mut self, first: Raw) -> Result<()> {
        let mut next = Some(first);
        while let Some(message) = next {
            self.pass(&message).await?;
            next = Raw::read(&mut self.client).await?;
        }
        Ok(())
    }

    async fn pass(&mut self, message: &Raw) -> Result<()> {
        let (before, later) = split(self.note(message));
        obey(before).await?;
        self.shared.thawed().await;
        let heard = self.answers.borrow().messages;
        if later.is_some() {
            self.answers.send_modify(|answers| answers.withheld = true);
        }
        self.server.write_all(&message.bytes).await?;
        if matches!(message.kind, Kind::Startup | Kind::Query | Kind::Sync) {
            self.answers_due += 1;
        }
        let Some(plan) = later else { return Ok(()) };
        if plan.when == When::Answered {
            self.answered(message.kind, heard).await;
        }
        obey(Some(plan)).await?;
        self.answers.send_modify(|answers| answers.withheld = false);
        Ok(())
    }

    /// Waits for the server's answer to a message, if it gets one.
    async fn answered(&self, kind: Kind, heard: usize) {
        let mut answers = self.answers.subscribe();
        let due = self.answers_due;
        let is_answer = |answers: &Answers| {
            answers.closed
                || match kind {
                    Kind::Query | Kind::Sync => answers.ready >= due,
                    Kind::Startup | Kind::Password => answers.messages > heard,
                    Kind::Terminate | Kind::Cancel => false,
                    _ => true,
                }
        };
        // Its sender is ours: there is always a value to come.
        let _ = answers.wait_for(is_answer).await;
    }

    /// Counts a message. Returns what is planned for it.
    fn note(&mut self, message: &Raw) -> Option<Plan> {
        let text = self.prepared.text(message);
        let mut log = self.shared.log();
        let number = log.messages.len() + 1;
        let message = Message { number, connection: self.number, kind: message.kind, text };
        let planned = log.plans.iter().position(|plan| plan.at.is(&message, &log.messages));
        log.messages.push(message);
        let planned = planned?;
        Some(log.plans.swap_remove(planned))
    }
}

/// What is to be done before a message goes, and what after it.
fn split(plan: Option<Plan>) -> (Option<Plan>, Option<Plan>) {
    match plan {
        Some(plan) if plan.when == When::Before => (Some(plan), None),
        later => (None, later),
    }
}

/// An error ends the connection.
async fn obey(plan: Option<Plan>) -> Result<()> {
    let order = match plan.map(|plan| plan.deed) {
        None => Order::Go,
        Some(Deed::Cut) => Order::Cut,
        Some(Deed::Wait { reached, order }) => {
            // Who does not listen any more has dropped the stop, which lets the message go.
            let _ = reached.send(());
            order.await.unwrap_or(Order::Go)
        }
    };
    if order == Order::Cut {
        bail!("the connection was cut as planned");
    }
    Ok(())
}

async fn downward(
    shared: &Shared,
    from_server: &mut OwnedReadHalf,
    to_client: &mut OwnedWriteHalf,
    answers: &watch::Sender<Answers>,
) -> Result<()> {
    let mut counter = Counter::default();
    let mut buffer = vec![0; 64 * 1024];
    let mut open = answers.subscribe();
    loop {
        let length = from_server.read(&mut buffer).await.unwrap_or(0);
        let part = buffer.get(..length).unwrap_or_default();
        answers.send_modify(|answers| {
            answers.closed = length == 0;
            counter.count(part, answers);
        });
        // Also the end of the connection is an answer.
        open.wait_for(|answers| !answers.withheld).await?;
        shared.thawed().await;
        if length == 0 {
            return Ok(());
        }
        to_client.write_all(part).await?;
    }
}

impl Shared {
    /// Waits while nothing is to be passed on.
    async fn thawed(&self) {
        // Its sender is here: there is always a value to come.
        let _ = self.network.subscribe().wait_for(|network| !network.frozen).await;
    }
}

/// Finds the messages in what the server sends, however it is cut in parts.
#[derive(Debug, Default)]
struct Counter {
    header: Vec<u8>,
    body_left: usize,
}

impl Counter {
    fn count(&mut self, mut part: &[u8], answers: &mut Answers) {
        while let Some((first, rest)) = part.split_first() {
            if self.body_left > 0 {
                let step = self.body_left.min(part.len());
                self.body_left -= step;
                part = part.get(step..).unwrap_or_default();
                continue;
            }
            self.header.push(*first);
            part = rest;
            if let &[letter, a, b, c, d] = self.header.as_slice() {
                answers.messages += 1;
                answers.ready += usize::from(letter == b'Z');
                self.body_left = (u32::from_be_bytes([a, b, c, d]) as usize).saturating_sub(4);
                self.header.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_however_they_are_cut() {
        let said = [&b"C\0\0\0\x09DONE\0"[..], &b"Z\0\0\0\x05I"[..], &b"1\0\0\0\x04"[..]].concat();
        for size in 1..=said.len() {
            let (mut counter, mut answers) = (Counter::default(), Answers::default());
            for part in said.chunks(size) {
                counter.count(part, &mut answers);
            }
            assert_eq!((answers.messages, answers.ready), (3, 1), "in parts of {size}");
        }
    }
}
