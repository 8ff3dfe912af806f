//! Runs that do not begin, are cut off, or come and go while nobody looks: what is said of each,
//! and that none is lost.

mod operator_runs {
    pub mod lost;
    pub mod scene;
    pub mod stuck;
}
