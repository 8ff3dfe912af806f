//! No row is ever touched that is not due: told from the WAL, by a second reading of the conditions.

mod run_witness {
    pub mod canary;
    pub mod dice;
    pub mod judge;
    pub mod losses;
    pub mod naive;
    pub mod plans;
    pub mod races;
    pub mod random;
    pub mod rules;
    pub mod world;
    pub mod writer;
}
