//! The `CleanupPolicy` resource as it travels: spec and status, the schema that
//! the API server enforces, and the words of conditions and reasons.
//!
//! Nothing here is trusted: [`crate::validate()`] turns a spec into a
//! [`crate::Policy`], and only that is planned. A field that this version does
//! not implement is in the schema without a default and refused when set, so
//! that no client can have it silently dropped.

mod names;
mod pod_template;
mod row;
mod rule;
mod scalar;
mod spec;
mod status;
mod words;

pub use names::*;
pub use pod_template::PodTemplateSpec;
pub use row::*;
pub use rule::*;
pub use scalar::Scalar;
pub use spec::*;
pub use status::*;
pub use words::*;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt as _;

/// The CRD as the cluster gets it.
#[must_use]
pub fn custom_resource_definition() -> CustomResourceDefinition {
    let mut crd = CleanupPolicy::crd();
    let schemas = crd.spec.versions.iter_mut().filter_map(|version| version.schema.as_mut());
    for schema in schemas.filter_map(|schema| schema.open_api_v3_schema.as_mut()) {
        drop_nullable(schema);
    }
    crd
}

/// The API server then reads an explicit null as "left out", as validation does, where a nullable
/// field would keep it and a closed set of words refuse it.
fn drop_nullable(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.properties.iter_mut().flat_map(|it| it.values_mut()).for_each(drop_nullable);
    if let Some(JSONSchemaPropsOrArray::Schema(item)) = &mut schema.items {
        drop_nullable(item);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(value)) = &mut schema.additional_properties {
        drop_nullable(value);
    }
}
