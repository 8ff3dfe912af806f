//! What programs print, without what differs from one time to the next. Pure.

use crate::operator::state::words::Words;

/// Columns of `kubectl` whose cells tell how long ago something was, or how long it took.
const AGES: [&str; 4] = ["AGE", "LAST SCHEDULE", "LAST SEEN", "LAST-SUCCESS"];
const DURATIONS: [&str; 1] = ["DURATION"];
/// Between two columns, by `kubectl`.
const GAP: usize = 3;
/// How Helm says when something was.
const DEPLOYED: &str = "LAST DEPLOYED: ";
/// A number in JSON that grows with the time.
const OVERDUE: &str = "\"oldestOverdueSeconds\":";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The same text each time: tables are set anew, since their columns are as wide as what is in them.
pub(super) fn stable(text: &str, words: &Words) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let mut stable = Vec::new();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let is_head = is_head(line);
        let rows = lines[at..].iter().take_while(|line| is_head && !line.is_empty()).count();
        if is_head {
            stable.extend(table(&lines[at..at + rows], words));
            at += rows;
        } else {
            stable.push(of_line(line, words));
            at += 1;
        }
    }
    stable.join("\n")
}

fn of_line(line: &str, words: &Words) -> String {
    if line.starts_with(DEPLOYED) {
        return format!("{DEPLOYED}<time>");
    }
    let line = without_times(&line.replace(VERSION, "<version>"));
    words.of_text(without_number(&line, OVERDUE).trim_end())
}

fn without_number(line: &str, name: &str) -> String {
    let mut parts = line.split(name);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |kept, part| {
        let rest = part.trim_start_matches(|character: char| character.is_ascii_digit());
        format!("{kept}{name}<seconds>{rest}")
    })
}

/// Like `NAME   READY   AGE`.
fn is_head(line: &str) -> bool {
    let is_of_title = |character: char| character.is_ascii_uppercase() || " -".contains(character);
    line.contains("   ") && line.starts_with(char::is_alphabetic) && line.chars().all(is_of_title)
}

fn table(lines: &[&str], words: &Words) -> Vec<String> {
    let starts = starts(lines[0]);
    let cells: Vec<Vec<String>> = lines.iter().map(|line| cells(line, &starts)).collect();
    let heads = cells[0].clone();
    let cell = |row: usize, (cell, head): (&String, &String)| match cell.as_str() {
        "" | "<none>" | "<unknown>" => cell.clone(),
        _ if row == 0 => cell.clone(),
        _ if AGES.contains(&head.as_str()) => "<age>".to_owned(),
        _ if DURATIONS.contains(&head.as_str()) => "<duration>".to_owned(),
        cell => of_line(cell, words),
    };
    let rows = cells.iter().enumerate();
    let rows: Vec<Vec<String>> = rows
        .map(|(row, cells)| cells.iter().zip(&heads).map(|both| cell(row, both)).collect())
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..heads.len()).filter_map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let line: String = cells.map(|(cell, width)| format!("{cell:0$}", width + GAP)).collect();
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Where columns begin: a title of two words has one space in it.
fn starts(head: &str) -> Vec<usize> {
    let characters: Vec<char> = head.chars().collect();
    let is_start = |at: &usize| {
        let is_after_gap = *at == 0 || characters[..*at].ends_with(&[' ', ' ']);
        is_after_gap && characters[*at] != ' '
    };
    (0..characters.len()).filter(is_start).collect()
}

fn cells(line: &str, starts: &[usize]) -> Vec<String> {
    let characters: Vec<char> = line.chars().collect();
    let ends = starts.iter().skip(1).copied().chain([characters.len()]);
    let cell = |(start, end): (&usize, usize)| {
        let cell = characters.get(*start..end.min(characters.len()));
        cell.map(|cell| cell.iter().collect::<String>().trim().to_owned()).unwrap_or_default()
    };
    starts.iter().zip(ends).map(cell).collect()
}

/// As the operator says them to people: `2026-11-21 03:00 UTC`.
fn without_times(line: &str) -> String {
    let patterns = ["dddd-dd-dd dd:dd:dd UTC", "dddd-dd-dd dd:dd UTC"];
    let mut kept = String::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let found = patterns.iter().find(|pattern| fits(rest, pattern));
        let taken = found.map_or(first.len_utf8(), |pattern| pattern.len());
        kept += found.map_or(&rest[..taken], |_| "<time>");
        rest = &rest[taken..];
    }
    kept
}

fn fits(text: &str, pattern: &str) -> bool {
    text.len() >= pattern.len()
        && pattern.chars().zip(text.chars()).all(|(expected, found)| match expected {
            'd' => found.is_ascii_digit(),
            expected => expected == found,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> String {
        stable(text, &Words::of_session(["carts".to_owned()].into()))
    }

    #[test]
    fn a_table_is_set_anew_around_words_of_other_widths() {
        let first = "NAME              LAST SCHEDULE   DURATION   AGE\n\
                     carts-p0123abcd   <none>          4s         9s\n\
                     carts-by-hand                     12s        2m9s\n";
        let stable = "NAME            LAST SCHEDULE   DURATION     AGE\n\
                      carts-p<hash>   <none>          <duration>   <age>\n\
                      carts-by-hand                   <duration>   <age>";
        assert_eq!(check(first), stable);
        let later = "NAME              LAST SCHEDULE   DURATION   AGE\n\
                     carts-pfedc3210   <none>          104s       104s\n\
                     carts-by-hand                     3s         3s\n";
        assert_eq!(check(later), stable);
    }

    #[test]
    fn two_tables_stay_two() {
        let two = "NAME   AGE\na      1s\n\nNAME     READY\nlonger   True\n";
        assert_eq!(check(two), "NAME   AGE\na      <age>\n\nNAME     READY\nlonger   True");
    }

    #[test]
    fn times_versions_and_short_durations_are_words_and_days_are_not() {
        let cases = [
            ("LAST DEPLOYED: Fri Nov 27 18:22:39 2026", "LAST DEPLOYED: <time>"),
            ("at 2026-11-21 03:00:07 UTC, and", "at <time>, and"),
            ("at 2026-11-21 03:00 UTC", "at <time>"),
            ("seen at 2026-11-21T03:00:00Z", "seen at <time>"),
            ("due for 3 d; took 0.4 s", "due for 3 d; took <duration>"),
            ("Job carts-r0123abcd", "Job carts-r<hash>"),
            (
                r#"{"oldestOverdueSeconds":302356,"rows":7}"#,
                r#"{"oldestOverdueSeconds":<seconds>,"rows":7}"#,
            ),
            (" count \n-------\n  1204\n", " count\n-------\n  1204"),
        ];
        for (text, expected) in cases {
            assert_eq!(check(text), expected);
        }
        assert_eq!(
            check(&format!("pgsweep {VERSION} is installed.")),
            "pgsweep <version> is installed."
        );
    }
}
