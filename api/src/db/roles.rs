//! The roles and their privileges: `roles.sql`, which takes the names from settings of the transaction.

use policy::Identifier;
use runtime::database::failure::Failure;
use sqlx::PgConnection;

use crate::args::RoleArgs;

const ROLES: &str = include_str!("roles.sql");

/// Makes the roles that are missing and gives each exactly what it may do.
pub async fn give(connection: &mut PgConnection, names: &RoleArgs) -> Result<(), Failure> {
    sqlx::query(
        "SELECT set_config('session_api.api_role', $1, TRUE),
                set_config('session_api.cleanup_role', $2, TRUE),
                set_config('session_api.readonly_role', $3, TRUE),
                set_config('session_api.events_role', $4, TRUE)",
    )
    .bind(names.api.as_str())
    .bind(names.cleanup.as_str())
    .bind(names.readonly.as_str())
    .bind(names.events.as_str())
    .persistent(false)
    .execute(&mut *connection)
    .await?;
    sqlx::raw_sql(ROLES).execute(connection).await?;
    Ok(())
}

/// The same as SQL that a person can read and run, inside a transaction.
pub fn script(names: &RoleArgs) -> String {
    let set = |setting: &str, name: &Identifier| {
        format!("SET LOCAL session_api.{setting} = '{}';\n", name.as_str().replace('\'', "''"))
    };
    [
        set("api_role", &names.api),
        set("cleanup_role", &names.cleanup),
        set("readonly_role", &names.readonly),
        set("events_role", &names.events),
        ROLES.to_owned(),
    ]
    .concat()
}
