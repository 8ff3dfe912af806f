//! The operator is killed at each of its writes: before the API server has it, when it is done and
//! nobody knows, and after the answer. Whatever it was doing, the next operator brings it to the
//! end that it has when nobody disturbs it: the same status, CronJob and Jobs, no object made or
//! deleted that would not have been, no event twice.
//!
//! By default some of all cases are taken; `PGSWEEP_TEST_EVERY_WRITE=true` takes each.

mod operator_kills {
    pub mod case;
    pub mod crew;
    pub mod edits;
    pub mod ends;
    pub mod obstacles;
    pub mod runs;
    pub mod scene;
}
