//! Every operation, in the order of `router`.

mod after_hours;
mod of_admins;
mod sessions;

use super::{Field, Kind, Operation, may};

const LIMIT: Field = may("limit", Kind::Whole(1, 100));
const CURSOR: Field = may("cursor", Kind::Cursor);
const APPS: Kind = Kind::OneOf(&["table_talk", "tarot", "after_hours"]);
const DISPLAY_NAME: Field = may("display_name", Kind::Line(40));
const USER_ID: Field = may("user_id", Kind::User);

/// All of them.
pub fn all() -> Vec<&'static Operation> {
    [sessions::ALL, after_hours::ALL, of_admins::ALL].into_iter().flatten().collect()
}
