//! Series as Prometheus reads them, written straight into text: as objects of the `prometheus` crate
//! each would be a handful of strings of its own for the moment of a scrape, and there are about
//! twenty for each policy. The format: <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::fmt::{Display, Write as _};

/// What kind of figures a family holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
}

/// All series of one name.
#[derive(Debug)]
pub struct Family {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    samples: String,
}

impl Family {
    pub fn new(kind: Kind, name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind, samples: String::new() }
    }

    /// Adds a series: its labels and its value.
    pub fn add(&mut self, labels: &[(&str, &str)], value: impl Display) {
        let text = &mut self.samples;
        text.push_str(self.name);
        for (index, (label, value)) in labels.iter().enumerate() {
            text.push(if index == 0 { '{' } else { ',' });
            text.push_str(label);
            text.push_str("=\"");
            push_escaped(text, value);
            text.push('"');
        }
        // Writing to a string does not fail.
        let _ = writeln!(text, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    /// Appends the family to a page; one without series is left out.
    pub fn write(&self, page: &mut String) {
        if self.samples.is_empty() {
            return;
        }
        let kind = match self.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let _ = writeln!(page, "# HELP {} {}", self.name, self.help);
        let _ = writeln!(page, "# TYPE {} {kind}", self.name);
        page.push_str(&self.samples);
    }
}

fn push_escaped(text: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str(r"\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str(r"\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_written_as_prometheus_reads_it() {
        let mut family = Family::new(Kind::Gauge, "pgsweep_test", "A test.");
        let mut page = String::new();
        family.write(&mut page);
        assert_eq!(page, "");
        family.add(&[("policy", "codes"), ("reason", "a \"b\" \\ \n c")], 1.5);
        family.add(&[], 2_u64);
        family.write(&mut page);
        assert_eq!(
            page,
            "# HELP pgsweep_test A test.\n# TYPE pgsweep_test gauge\n\
             pgsweep_test{policy=\"codes\",reason=\"a \\\"b\\\" \\\\ \\n c\"} 1.5\n\
             pgsweep_test 2\n"
        );
    }
}
