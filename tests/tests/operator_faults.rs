//! Whatever goes wrong between the operator and the API server, a policy comes to the same end as
//! without it: the same CronJob, status, Jobs and events, and no object made twice.

mod operator_faults {
    pub mod news;
    pub mod requests;
    pub mod workload;
}
