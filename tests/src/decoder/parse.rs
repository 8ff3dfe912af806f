//! The lines that `test_decoding` writes, like
//! `table public.codes: UPDATE: old-key: id[bigint]:1 new-tuple: id[bigint]:1 state[text]:'it''s'`.

use anyhow::{Context, Result, bail};

use super::{CONTENT, Change, FLUSH, Operation, Row};

/// What an update does not repeat because it is large and the same as before.
const UNCHANGED: &str = "unchanged-toast-datum";

/// The change of a line; nothing for the begin and end of a transaction, or a message.
pub fn change(transaction: &str, line: &str) -> Result<Option<Change>> {
    let Some(rest) = line.strip_prefix("table ") else {
        if let Some(message) = message(transaction, line) {
            return Ok(Some(message));
        }
        let known = ["BEGIN", "COMMIT", "message:"].iter().any(|begin| line.starts_with(begin));
        return if known { Ok(None) } else { bail!("it is of no kind that is known") };
    };
    let mut reader = Reader { rest };
    let table = reader.up_to(": ")?;
    let (operation, rest) = match reader.rest.split_once(':') {
        Some(("INSERT", rest)) => (Operation::Insert, rest),
        Some(("UPDATE", rest)) => (Operation::Update, rest),
        Some(("DELETE", rest)) => (Operation::Delete, rest),
        Some(("TRUNCATE", _)) => (Operation::Truncate, ""),
        _ => bail!("it has no operation"),
    };
    let mut change = Change {
        transaction: transaction.to_owned(),
        table: table.to_owned(),
        operation,
        old: Row::new(),
        new: Row::new(),
    };
    reader.rest = rest.trim_start();
    if reader.rest.starts_with("(no-tuple-data)") {
        return Ok(Some(change));
    }
    let mut is_old = operation == Operation::Delete;
    while !reader.rest.is_empty() {
        if let Some(rest) = reader.rest.strip_prefix("old-key: ") {
            (is_old, reader.rest) = (true, rest);
        } else if let Some(rest) = reader.rest.strip_prefix("new-tuple: ") {
            (is_old, reader.rest) = (false, rest);
        }
        let (column, value) = reader.column()?;
        let value = match value {
            Value::Null => continue,
            Value::Text(text) => text,
            Value::Unchanged => change
                .old
                .get(&column)
                .cloned()
                .with_context(|| format!("column {column} is as before, which is not known"))?,
        };
        let row = if is_old { &mut change.old } else { &mut change.new };
        row.insert(column, value);
    }
    Ok(Some(change))
}

/// A message that is not one of ours, like `message: transactional: 1 prefix: by, sz: 4 content:app`.
fn message(transaction: &str, line: &str) -> Option<Change> {
    let (prefix, rest) =
        line.strip_prefix("message: transactional: 1 prefix: ")?.split_once(", ")?;
    let (_, content) = rest.split_once(" content:")?;
    let content = (CONTENT.to_owned(), content.to_owned());
    (prefix != FLUSH).then(|| Change {
        transaction: transaction.to_owned(),
        table: prefix.to_owned(),
        operation: Operation::Message,
        old: Row::new(),
        new: Row::from([content]),
    })
}

enum Value {
    Null,
    Unchanged,
    Text(String),
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// `name[type]:value`, and the space after it.
    fn column(&mut self) -> Result<(String, Value)> {
        let name = unquoted(self.up_to("[")?, '"');
        self.close_bracket()?;
        self.rest = self.rest.strip_prefix(':').context("a column has no value")?;
        let value = self.value()?;
        self.rest = self.rest.strip_prefix(' ').unwrap_or(self.rest);
        Ok((name, value))
    }

    fn value(&mut self) -> Result<Value> {
        let bits = self.rest.strip_prefix('B').filter(|rest| rest.starts_with('\''));
        if let Some(quoted) = bits.or_else(|| self.rest.starts_with('\'').then_some(self.rest)) {
            let length = quoted_length(quoted, '\'').context("a value does not end")?;
            let (value, rest) = quoted.split_at(length);
            self.rest = rest;
            return Ok(Value::Text(unquoted(value, '\'')));
        }
        let (value, rest) = self.rest.split_once(' ').unwrap_or((self.rest, ""));
        self.rest = rest;
        Ok(match value {
            "null" => Value::Null,
            UNCHANGED => Value::Unchanged,
            value => Value::Text(value.to_owned()),
        })
    }

    /// What stands before a mark that is not inside double quotes; goes on behind the mark.
    fn up_to(&mut self, mark: &str) -> Result<&'a str> {
        let mut at = 0;
        while let Some(rest) = self.rest.get(at..).filter(|rest| !rest.is_empty()) {
            if let Some(behind) = rest.strip_prefix(mark) {
                let before = self.rest.get(..at).unwrap_or_default();
                self.rest = behind;
                return Ok(before);
            }
            at += step(rest)?;
        }
        bail!("it has no \"{mark}\"")
    }

    /// The end of a type that is begun, which may have brackets itself: `text[]`.
    fn close_bracket(&mut self) -> Result<()> {
        let (mut at, mut depth) = (0, 1);
        while let Some(rest) = self.rest.get(at..).filter(|rest| !rest.is_empty()) {
            match rest.chars().next() {
                Some('[') => depth += 1,
                Some(']') => depth -= 1,
                _ => {}
            }
            at += step(rest)?;
            if depth == 0 {
                self.rest = self.rest.get(at..).unwrap_or_default();
                return Ok(());
            }
        }
        bail!("a type does not end")
    }
}

/// The length of the next character, or of the next name in double quotes.
fn step(rest: &str) -> Result<usize> {
    if rest.starts_with('"') {
        return quoted_length(rest, '"').context("a name does not end");
    }
    Ok(rest.chars().next().map_or(0, char::len_utf8))
}

/// The length of what is quoted at the begin, with both quotes; a doubled quote does not end it.
fn quoted_length(text: &str, quote: char) -> Option<usize> {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if character == quote && characters.next_if(|(_, next)| *next == quote).is_none() {
            return Some(at + quote.len_utf8());
        }
    }
    None
}

fn unquoted(text: &str, quote: char) -> String {
    match text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote)) {
        Some(inner) => inner.replace(&format!("{quote}{quote}"), &quote.to_string()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Change {
        change("7", line).unwrap().unwrap()
    }

    fn row(columns: &[(&str, &str)]) -> Row {
        columns.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn an_update_has_a_row_before_and_a_row_after() {
        let seen = parsed(
            "table public.codes: UPDATE: old-key: id[bigint]:1 note[text]:'it''s: ''new-tuple: '' ' \
             new-tuple: id[bigint]:1 note[text]:null tags[text[]]:'{\"a]\"}' ok[boolean]:true",
        );
        assert_eq!((seen.table.as_str(), seen.operation), ("public.codes", Operation::Update));
        assert_eq!(seen.old, row(&[("id", "1"), ("note", "it's: 'new-tuple: ' ")]));
        assert_eq!(seen.new, row(&[("id", "1"), ("tags", "{\"a]\"}"), ("ok", "true")]));
    }

    #[test]
    fn hostile_names_are_read_as_they_are() {
        let seen = parsed(
            "table public.\"wei: rd\": DELETE: \"a\"\"b[c]: \"[public.\"x]y\"]:'' bits[bit]:B'101'",
        );
        assert_eq!(seen.table, "public.\"wei: rd\"");
        assert_eq!(seen.old, row(&[("a\"b[c]: ", ""), ("bits", "101")]));
    }

    #[test]
    fn what_is_large_and_the_same_comes_from_the_row_before() {
        let seen = parsed(
            "table public.t: UPDATE: old-key: a[text]:'long' new-tuple: a[text]:unchanged-toast-datum",
        );
        assert_eq!(seen.new, row(&[("a", "long")]));
        let line = "table public.t: UPDATE: a[text]:unchanged-toast-datum";
        assert!(change("7", line).is_err());
    }

    #[test]
    fn lines_without_a_row_are_known_too() {
        assert_eq!(parsed("table public.t: TRUNCATE: (no-flags)").operation, Operation::Truncate);
        assert!(parsed("table public.t: DELETE: (no-tuple-data)").old.is_empty());
        assert_eq!(change("7", "COMMIT").unwrap(), None);
        assert!(change("7", "something new").is_err());
    }
}
