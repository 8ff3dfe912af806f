//! Every URL.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::routing::{delete, get, post, put};
use axum::{Router, middleware};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::CorsLayer;

use crate::problem::{Code, Problem};
use crate::state::App;
use crate::{
    admin, after_hours, analytics, answer, audit, billing, group, invite, join_code, openapi,
    participant, probe, session,
};

const MOST_BYTES: usize = 32 * 1024;

/// All of it. `origins` are the web pages that a browser may call it from.
pub fn router(app: &Arc<App>, origins: &[HeaderValue]) -> Router {
    let all = probes()
        .nest("/api/v1/sessions", sessions())
        .nest("/api/v1/analytics", analytics())
        .nest("/api/v1/admin", admin())
        .route("/api/v1/billing/usage", get(billing::usage::usage))
        .route("/api/v1/audit", get(audit::list))
        .nest("/api/v1/after-hours", after_hours())
        .route("/api/v1/invites/{token}", get(invite::show::show))
        .route("/api/v1/invites/{token}/accept", post(invite::accept::accept))
        .merge(with_token(groups()))
        .route("/api/v1/join-codes/redeem", post(join_code::redeem::redeem))
        // As requirement 000 has it.
        .route("/api/sessions/join-dual", post(join_code::redeem::redeem))
        .route("/openapi.json", get(openapi::openapi))
        .route("/docs", get(openapi::docs))
        .route("/problems/{code}", get(probe::problem))
        .fallback(async || Problem::new(Code::RouteNotFound))
        .method_not_allowed_fallback(async || Problem::new(Code::MethodNotAllowed));
    complete(all, app, origins)
}

/// What clients are told for whom there is no place, whatever they ask.
pub fn full(app: &Arc<App>, origins: &[HeaderValue]) -> Router {
    complete(Router::new().fallback(async || Problem::overloaded()), app, origins)
}

/// What a cluster asks, alone.
pub fn of_cluster(app: &Arc<App>) -> Router {
    complete(probes().fallback(async || Problem::new(Code::RouteNotFound)), app, &[])
}

/// What every request passes. What is wrong with it, or with us, is said inside of CORS: a page would not be shown
/// it otherwise.
fn complete(router: Router<Arc<App>>, app: &Arc<App>, origins: &[HeaderValue]) -> Router {
    router
        .layer(
            ServiceBuilder::new()
                .layer(middleware::from_fn_with_state(Arc::clone(app), answer::complete))
                .layer(cors(origins))
                .layer(middleware::from_fn_with_state(Arc::clone(app), answer::in_time))
                .layer(CatchPanicLayer::custom(answer::broken))
                .layer(DefaultBodyLimit::max(MOST_BYTES)),
        )
        .with_state(Arc::clone(app))
}

/// What a cluster asks.
fn probes() -> Router<Arc<App>> {
    Router::new()
        .route("/healthz", get(probe::healthz))
        .route("/readyz", get(probe::readyz))
        .route("/metrics", get(probe::metrics))
}

/// Sessions and who is in them.
fn sessions() -> Router<Arc<App>> {
    let of_participants = Router::new()
        .route(
            "/{id}",
            get(session::show::show).patch(session::change::change).delete(session::remove::remove),
        )
        .route("/{id}/end", post(session::end::end))
        .route("/{id}/recover", post(session::recover::recover))
        .route("/{id}/invites", post(invite::create::create))
        .route("/{id}/participants/me", delete(participant::leave::leave))
        .route("/{id}/participants/me/heartbeat", put(participant::heartbeat::heartbeat))
        .route("/{id}/participants/me/ready", put(participant::ready::ready))
        .route("/{id}/join-code", post(join_code::issue::issue).delete(join_code::revoke::revoke));
    Router::new()
        .route("/", post(session::create::create))
        .route("/{id}/participants", post(participant::join::join))
        .merge(with_token(of_participants))
}

/// Who has no token hears that, and not what is wrong with the rest.
fn with_token(router: Router<Arc<App>>) -> Router<Arc<App>> {
    router.route_layer(middleware::from_fn(answer::with_token))
}

/// Who sits together.
fn groups() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/groups/{id}", get(group::show::show))
        .route("/api/v1/tables/{table_token}/groups", get(group::list::list))
}

/// After Hours.
fn after_hours() -> Router<Arc<App>> {
    let all = Router::new()
        .route("/declines", post(after_hours::decline::decline))
        .route("/fingerprints", post(after_hours::fingerprint::fingerprint))
        .route("/matches", post(after_hours::matches::make))
        .route(
            "/matches/{id}/messages",
            get(after_hours::messages::list).post(after_hours::messages::post),
        )
        .route("/matches/{id}/save", post(after_hours::save::save));
    with_token(all)
}

/// Figures, for admins.
fn analytics() -> Router<Arc<App>> {
    Router::new()
        .route("/join-codes", get(analytics::join_codes::join_codes))
        .route("/tables", get(analytics::tables::tables))
        .route("/cleanup-runs", get(analytics::cleanup_runs::cleanup_runs))
        .route("/active-sessions", get(analytics::active_sessions::active_sessions))
        .route("/pairing", get(analytics::pairing::pairing))
        .route("/sessions", get(analytics::sessions::sessions))
        .route("/forecast", get(analytics::forecast::forecast))
}

/// What admins do.
fn admin() -> Router<Arc<App>> {
    Router::new()
        .route("/health", get(admin::health::health))
        .route("/sessions/{id}/end", post(admin::end::end))
        .route("/sessions/{id}/disconnect", post(admin::disconnect::disconnect))
        .route("/sessions/{id}/broadcast", post(admin::broadcast::broadcast))
}

/// Without credentials: a token goes in a header, and never in a cookie.
fn cors(origins: &[HeaderValue]) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(origins.to_vec())
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("x-request-id"),
        ])
        .expose_headers([
            header::ETAG,
            header::LOCATION,
            header::RETRY_AFTER,
            HeaderName::from_static("heartbeat-interval"),
            HeaderName::from_static("ratelimit"),
            HeaderName::from_static("ratelimit-policy"),
            HeaderName::from_static("x-request-id"),
        ])
        .max_age(Duration::from_mins(10))
}
