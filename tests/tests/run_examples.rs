//! The five example policies, run from their very files against the SQL of the requirements.

mod run_examples {
    pub mod after_hours;
    pub mod example;
    pub mod kitchen_sink;
    pub mod logs;
    pub mod schedules;
    pub mod table_talk;
    pub mod tarot;
}
