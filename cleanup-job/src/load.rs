//! From files, standard input or the environment to checked policies.

use std::io::Read as _;

use anyhow::{Context as _, bail};
use policy::{Mode, Policy, Problem};
use serde_json::Value;

use crate::args::{Output, PolicyArgs};
use crate::output;

/// One document and where it stood.
#[derive(Debug)]
pub struct Source {
    /// The file, with the number of the document where it holds several.
    pub origin: String,
    /// The document as it is written.
    pub document: Value,
}

impl Source {
    /// The policy, or everything that is wrong with it.
    pub fn policy(&self) -> Result<Policy, Vec<Problem>> {
        policy::validate(&self.document)
    }

    /// `namespace/name` as far as it can be told, for messages.
    pub fn name(&self) -> String {
        let field = |name: &str| self.document.pointer(name).and_then(Value::as_str);
        let namespace = field("/metadata/namespace").unwrap_or("default");
        format!("{namespace}/{}", field("/metadata/name").unwrap_or("?"))
    }

    /// The mode, as far as it can be told.
    pub fn mode(&self) -> Mode {
        let is_dry_run = self.document.pointer("/spec/mode") == Some(&"DryRun".into());
        if is_dry_run { Mode::DryRun } else { Mode::Enforce }
    }
}

/// Every document, or why there is none: the log says so, and a program gets `object` of the same
/// words.
pub fn sources_or_words(
    args: &PolicyArgs,
    format: Output,
    object: impl FnOnce(&str) -> Value,
) -> Result<Vec<Source>, String> {
    sources(args).map_err(|error| {
        let message = format!("{error:#}");
        tracing::error!("{message}");
        if format != Output::Table {
            output::object(format, &object(&message));
        }
        message
    })
}

/// Reads every document of every file.
pub fn sources(args: &PolicyArgs) -> anyhow::Result<Vec<Source>> {
    let PolicyArgs { files, policy } = args;
    let mut sources = Vec::new();
    for file in files {
        sources.extend(documents(file, &read(file)?)?);
    }
    let inline = policy.as_ref().filter(|text| files.is_empty() && !text.is_empty());
    if let Some(text) = inline {
        sources.extend(documents("PGSWEEP_POLICY", text)?);
    }
    if sources.is_empty() && (inline.is_some() || !files.is_empty()) {
        bail!("there is no document in what was given");
    }
    if sources.is_empty() {
        bail!("no policy is given; name a file with -f policy.yaml (- is standard input)");
    }
    Ok(sources)
}

fn read(file: &str) -> anyhow::Result<String> {
    if file == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("reading a policy from standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| format!("reading the policy file {file}"))
}

fn documents(origin: &str, text: &str) -> anyhow::Result<Vec<Source>> {
    // The operator writes JSON, and not all JSON is YAML: control characters are not.
    if let Ok(document) = serde_json::from_str::<Value>(text) {
        return Ok(vec![Source { origin: origin.to_owned(), document }]);
    }
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|error| not_yaml(origin, &error))?;
    let several = documents.len() > 1;
    let documents = documents.into_iter().filter(|document| !document.is_null());
    let sources = documents.enumerate().map(|(index, document)| {
        let origin =
            if several { format!("{origin}, document {}", index + 1) } else { origin.to_owned() };
        Source { origin, document }
    });
    Ok(sources.collect())
}

/// Where it is wrong, and never what stands there: a file can hold a Secret too.
fn not_yaml(origin: &str, error: &serde_saphyr::Error) -> anyhow::Error {
    let place = error.location().map_or(String::new(), |location| {
        format!(": see line {}, column {}", location.line(), location.column())
    });
    anyhow::anyhow!("{origin} is not YAML{place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_document_of_a_file_is_read() {
        let sources = documents("p.yaml", "a: 1\n---\nb: 2\n---\n").unwrap();
        let origins: Vec<_> = sources.iter().map(|source| source.origin.as_str()).collect();
        assert_eq!(origins, ["p.yaml, document 1", "p.yaml, document 2"]);
    }

    #[test]
    fn what_is_not_yaml_names_the_file_and_the_line() {
        let error = documents("p.yaml", "a: [1\nb: 2\n").unwrap_err().to_string();
        assert!(error.starts_with("p.yaml is not YAML"), "{error}");
        assert!(error.contains("line"), "{error}");
    }

    #[test]
    fn what_stands_in_a_broken_file_is_not_repeated() {
        let error = documents("p.yaml", "password: hunter2\nb: [1\nc: 2\n").unwrap_err();
        assert!(!format!("{error:#}").contains("hunter2"), "{error:#}");
    }

    #[test]
    fn json_with_characters_that_yaml_refuses_is_read() {
        let sources = documents("PGSWEEP_POLICY", "{\"a\": \"x\u{7f}\u{fffe}\"}").unwrap();
        assert_eq!(sources[0].document["a"], "x\u{7f}\u{fffe}");
    }

    #[test]
    fn a_list_of_aliases_that_would_fill_the_memory_is_refused() {
        let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
        for n in 1..12 {
            let alias = format!("*a{}", n - 1);
            text += &format!("a{n}: &a{n} [{}]\n", vec![alias; 9].join(","));
        }
        assert!(documents("p.yaml", &text).is_err());
    }
}
