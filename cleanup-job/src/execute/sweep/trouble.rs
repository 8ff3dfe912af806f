//! How long a rule puts up with what is in its way. Pure.

/// How often a batch of one row, or one partition, is tried while others are in its way.
const TRIES_OF_ONE: u32 = 3;
/// How many such rows in a row a rule leaves behind before it takes the whole table for locked.
const BLOCKED_IN_A_ROW: u32 = 3;
/// How often in a row a rule may lose its connection without a batch in between.
const MAX_LOSSES: u32 = 3;
/// How many more rows may fail than go before the rule is given up.
const FAILED_BEYOND_CHANGED: i64 = 1000;

/// What has been in the way since the last batch that was committed.
#[derive(Default)]
pub(super) struct Trouble {
    /// Tries of a batch of one row.
    tries: u32,
    /// Rows that were left behind since the app held something of theirs.
    blocked: u32,
    /// Connections that were lost.
    losses: u32,
}

impl Trouble {
    /// The same row failed once more: how often it has by now, where another try is worth it.
    pub(super) fn try_again(&mut self) -> Option<u32> {
        self.tries = (self.tries + 1) % TRIES_OF_ONE;
        (self.tries > 0).then_some(self.tries)
    }

    /// One more row would be left behind for the app's sake: whether it may.
    pub(super) fn may_leave_behind(&mut self) -> bool {
        self.blocked += 1;
        self.blocked <= BLOCKED_IN_A_ROW
    }

    /// The connection was lost once more: whether the rule goes on over another.
    pub(super) fn may_recover(&mut self) -> bool {
        self.losses += 1;
        self.losses <= MAX_LOSSES
    }
}

/// Whether so many rows failed, beside those that went, that the rule is given up.
pub(super) fn is_hopeless(failed: i64, changed: i64) -> bool {
    failed - changed > FAILED_BEYOND_CHANGED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_given_up_when_a_thousand_more_rows_fail_than_go() {
        assert!(!is_hopeless(1000, 0));
        assert!(is_hopeless(1001, 0));
        assert!(!is_hopeless(1500, 500));
        assert!(is_hopeless(1501, 500));
    }

    #[test]
    fn a_row_is_tried_three_times_and_the_next_one_as_often() {
        let mut trouble = Trouble::default();
        let tries: Vec<_> = (0..6).map(|_| trouble.try_again()).collect();
        assert_eq!(tries, [Some(1), Some(2), None, Some(1), Some(2), None]);
    }

    #[test]
    fn three_rows_in_a_row_are_left_behind_and_no_fourth() {
        let mut trouble = Trouble::default();
        let allowed: Vec<_> = (0..5).map(|_| trouble.may_leave_behind()).collect();
        assert_eq!(allowed, [true, true, true, false, false]);
    }

    #[test]
    fn three_connections_in_a_row_may_be_lost_and_no_fourth() {
        let mut trouble = Trouble::default();
        let allowed: Vec<_> = (0..5).map(|_| trouble.may_recover()).collect();
        assert_eq!(allowed, [true, true, true, false, false]);
    }
}
