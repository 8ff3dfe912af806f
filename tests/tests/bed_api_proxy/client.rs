//! A small client of the API server, which sees exactly what comes over the wire.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// A label of everything that a test makes: each namespace has one of Kubernetes' own.
const LABEL: &str = "labelSelector=tests%3Dyes";

pub struct Client {
    pub address: SocketAddr,
    pub token: String,
    pub namespace: String,
}

pub struct Said {
    pub code: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Client {
    /// The path of what the tests make.
    pub fn path(&self, rest: &str) -> String {
        format!("/api/v1/namespaces/{}/configmaps{rest}", self.namespace)
    }

    pub async fn create(&self, name: &str) -> Result<Said> {
        let object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "labels": {"tests": "yes"}},
        });
        self.ask(Method::POST, &self.path(""), &object).await
    }

    pub async fn list(&self) -> Result<Said> {
        self.ask(Method::GET, &self.path(&format!("?{LABEL}")), &Value::Null).await
    }

    pub async fn ask(&self, method: Method, path: &str, body: &Value) -> Result<Said> {
        let answer = self.send(method, path, body).await?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        let body = serde_json::from_slice(&body).context("an answer is no JSON")?;
        Ok(Said { code: head.status.as_u16(), headers: head.headers, body })
    }

    /// The news from a version on.
    pub async fn watch(&self, version: &Value) -> Result<News> {
        let version = version.as_str().context("a list has a version")?;
        let query = format!("?watch=true&resourceVersion={version}&{LABEL}");
        let answer = self.send(Method::GET, &self.path(&query), &Value::Null).await?;
        if !answer.status().is_success() {
            bail!("the watch was refused: {}", answer.status());
        }
        Ok(News { body: answer.into_body(), rest: Vec::new() })
    }

    /// Over a connection of its own.
    async fn send(&self, method: Method, path: &str, body: &Value) -> Result<Response<Incoming>> {
        let socket = TcpStream::connect(self.address).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
        tokio::spawn(connection);
        let kind = match method {
            Method::PATCH => "application/apply-patch+yaml",
            _ => "application/json",
        };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address.to_string())
            .header(AUTHORIZATION, format!("Bearer {}", self.token))
            .header(CONTENT_TYPE, kind)
            .body(Full::new(Bytes::from(body)))?;
        Ok(sender.send_request(request).await?)
    }
}

/// What a watch says.
pub struct News {
    body: Incoming,
    rest: Vec<u8>,
}

impl News {
    /// The next word of it; nothing when it is over, and an error when it was cut.
    pub async fn next(&mut self) -> Result<Option<Value>> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            self.rest.extend_from_slice(&frame?.into_data().unwrap_or_default());
        }
    }

    /// The names of the next objects, up to so many.
    pub async fn names(&mut self, most: usize) -> Result<Vec<String>> {
        let mut names = Vec::new();
        while names.len() < most
            && let Some(news) = self.next().await?
        {
            let name = news["object"]["metadata"]["name"].as_str();
            names.push(name.unwrap_or_else(|| news["type"].as_str().unwrap_or("?")).to_owned());
        }
        Ok(names)
    }
}
