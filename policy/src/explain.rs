//! Reads how Postgres would carry out a statement, from the JSON of its `EXPLAIN`.

use serde_json::Value;

/// A scan that costs less than this does not read a large table: 50,000 rows cost this much by the
/// default cost of handing over a row alone.
const COST_OF_A_LARGE_SCAN: f64 = 500.0;
/// A sort of more rows than this is too much for a batch.
const LARGE_SORT: f64 = 50_000.0;

/// How the rows of a batch are found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Access {
    /// The indexes that lead to rows, in the order of the plan.
    pub indexes: Vec<String>,
    /// Whether a whole large table is read, or sorted, to pick a batch.
    pub reads_everything: bool,
}

impl Access {
    /// Reads the plans of all statements of a batch.
    #[must_use]
    pub fn read<'a>(explained: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut access = Self::default();
        for plan in explained {
            if let Some(root) = plan.pointer("/0/Plan") {
                access.visit(root, false);
            }
        }
        access
    }

    fn visit(&mut self, node: &Value, picks: bool) {
        let text = |field: &str| node.get(field).and_then(Value::as_str).unwrap_or_default();
        let number = |field: &str| node.get(field).and_then(Value::as_f64).unwrap_or_default();
        // What `policy::sql` names the parts of a statement that pick a batch.
        let part = text("Subplan Name");
        let picks = match part {
            "CTE batch" | "CTE walked" => true,
            _ if part.starts_with("CTE ") => false,
            _ => picks,
        };
        let index = text("Index Name");
        if !index.is_empty() && !self.indexes.iter().any(|known| known == index) {
            self.indexes.push(index.to_owned());
        }
        // The alias of the rule's table in `policy::sql`, and those of its partitions.
        let alias = text("Alias");
        let is_own = alias == "t" || alias.starts_with("t_");
        self.reads_everything |= picks
            && match text("Node Type") {
                "Seq Scan" => is_own && number("Total Cost") >= COST_OF_A_LARGE_SCAN,
                "Sort" => number("Plan Rows") > LARGE_SORT,
                _ => false,
            };
        for child in node.get("Plans").and_then(Value::as_array).into_iter().flatten() {
            self.visit(child, picks);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn explained(pick: &Value) -> Value {
        json!([{"Plan": {"Node Type": "Nested Loop", "Plans": [
            {"Node Type": "Limit", "Subplan Name": "CTE batch", "Plans": [pick]},
            {"Node Type": "ModifyTable", "Subplan Name": "CTE changed", "Plans": [
                {"Node Type": "Seq Scan", "Alias": "t", "Total Cost": 90000.0},
            ]},
        ]}}])
    }

    #[test]
    fn an_index_that_leads_to_the_rows_is_named() {
        let pick = json!({"Node Type": "Incremental Sort", "Plan Rows": 900_000, "Plans": [
            {"Node Type": "Index Scan", "Alias": "t", "Index Name": "codes_expires_at_idx", "Total Cost": 9000.0},
        ]});
        let access = Access::read([&explained(&pick), &explained(&pick)]);
        assert_eq!(access.indexes, ["codes_expires_at_idx"]);
        assert!(!access.reads_everything, "what the change joins is not what picks");
    }

    #[test]
    fn a_large_table_that_is_read_whole_to_pick_a_batch_is_seen() {
        for (alias, cost, reads_everything) in
            [("t", 500.0, true), ("t", 499.0, false), ("t_2", 1500.0, true), ("r", 1500.0, false)]
        {
            let pick = json!({"Node Type": "Sort", "Plan Rows": 10, "Plans": [
                {"Node Type": "Seq Scan", "Alias": alias, "Total Cost": cost},
            ]});
            let access = Access::read([&explained(&pick)]);
            assert_eq!(access.reads_everything, reads_everything, "{alias} {cost}");
        }
    }

    #[test]
    fn a_sort_of_a_great_many_rows_is_seen() {
        let pick = json!({"Node Type": "Sort", "Plan Rows": 60_000, "Plans": [
            {"Node Type": "Bitmap Heap Scan", "Alias": "t", "Plans": [
                {"Node Type": "Bitmap Index Scan", "Index Name": "codes_state_idx"},
            ]},
        ]});
        let access = Access::read([&explained(&pick)]);
        assert_eq!(access.indexes, ["codes_state_idx"]);
        assert!(access.reads_everything);
    }

    #[test]
    fn what_is_read_whole_within_a_pick_but_for_another_part_is_not() {
        let pick = json!({"Node Type": "Nested Loop", "Plans": [
            {"Node Type": "Limit", "Subplan Name": "CTE locked", "Plans": [
                {"Node Type": "Seq Scan", "Alias": "t", "Total Cost": 90000.0},
            ]},
            {"Node Type": "Sort", "Plan Rows": 50_000},
        ]});
        assert!(!Access::read([&explained(&pick)]).reads_everything);
    }

    #[test]
    fn a_plan_that_is_no_plan_says_nothing() {
        assert_eq!(Access::read([&json!(null), &json!([{}])]), Access::default());
    }
}
