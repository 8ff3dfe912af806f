//! What can go wrong around a run, and how it ends then.

mod run_faults {
    pub mod connection;
    pub mod freeze;
    pub mod ledger;
    pub mod pooler;
    pub mod replica;
    pub mod stops;
    pub mod term;
}
