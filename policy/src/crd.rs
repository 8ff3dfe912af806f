//! The `CleanupPolicy` resource as it travels: spec and status, the schema that
//! the API server enforces, and the words of conditions and reasons.
//!
//! Nothing here is trusted: [`crate::validate()`] turns a spec into a
//! [`crate::Policy`], and only that is planned. A field that this version does
//! not implement is in the schema without a default and refused when set, so
//! that no client can have it silently dropped.

mod names;
mod row;
mod rule;
mod scalar;
mod spec;
mod status;

pub use names::*;
pub use row::*;
pub use rule::*;
pub use scalar::Scalar;
pub use spec::*;
pub use status::*;

use kube::CustomResourceExt as _;

/// The CRD as the cluster gets it.
#[must_use]
pub fn custom_resource_definition()
-> k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition {
    CleanupPolicy::crd()
}
