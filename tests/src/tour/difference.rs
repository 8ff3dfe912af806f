//! What differs between two texts, line by line.

/// So many equal lines are shown around what differs.
const AROUND: usize = 2;

/// The lines that differ: `-` of the old text, `+` of the new one, with some around them; empty
/// where both are equal.
#[must_use]
pub fn difference(old: &str, new: &str) -> String {
    let lines = merged(&old.lines().collect::<Vec<_>>(), &new.lines().collect::<Vec<_>>());
    let is_near = |at: usize| {
        let near = lines.iter().take(at + AROUND + 1).skip(at.saturating_sub(AROUND));
        near.into_iter().any(|(sign, _)| *sign != ' ')
    };
    let mut shown = Vec::new();
    for (at, (sign, line)) in lines.iter().enumerate() {
        if is_near(at) {
            shown.push(format!("{sign} {line}").trim_end().to_owned());
        } else if at > 0 && is_near(at - 1) {
            shown.push("…".to_owned());
        }
    }
    if shown.last().is_some_and(|last| last == "…") {
        shown.pop();
    }
    shown.join("\n")
}

/// Both texts in one, by their longest common subsequence of lines.
fn merged<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(char, &'a str)> {
    // Of what is left from this line of each on.
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for (at, line) in old.iter().enumerate().rev() {
        for (other_at, other) in new.iter().enumerate().rev() {
            common[at][other_at] = if line == other {
                common[at + 1][other_at + 1] + 1
            } else {
                common[at + 1][other_at].max(common[at][other_at + 1])
            };
        }
    }
    let (mut at, mut other_at, mut lines) = (0, 0, Vec::new());
    while at < old.len() || other_at < new.len() {
        let is_equal = at < old.len() && other_at < new.len() && old[at] == new[other_at];
        let takes_old = at < old.len()
            && (other_at == new.len() || common[at + 1][other_at] >= common[at][other_at + 1]);
        if is_equal {
            lines.push((' ', old[at]));
            (at, other_at) = (at + 1, other_at + 1);
        } else if takes_old {
            lines.push(('-', old[at]));
            at += 1;
        } else {
            lines.push(('+', new[other_at]));
            other_at += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_differ_are_shown_with_some_around_them() {
        let old = "a\nb\nc\nd\ne\nf\ng\nh\n";
        assert_eq!(difference(old, old), "");
        let new = "a\nb\nc\nD\ne\nf\ng\nh\n";
        assert_eq!(difference(old, new), "  b\n  c\n- d\n+ D\n  e\n  f");
        let new = "A\nb\nc\nd\ne\nf\ng\n";
        assert_eq!(difference(old, new), "- a\n+ A\n  b\n  c\n…\n  f\n  g\n- h");
        assert_eq!(difference("", "a\n"), "+ a");
    }
}
