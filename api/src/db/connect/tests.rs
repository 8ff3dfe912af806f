use super::*;

const CA: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

fn refusal(url: &str, ca: Option<&str>) -> String {
    match Address::parse(url, ca) {
        Ok(_) => panic!("{url} was taken"),
        Err(failure) => {
            assert_eq!(failure.kind, FailureKind::Wrong);
            failure.message
        }
    }
}

#[test]
fn a_url_says_where_and_who_and_nothing_is_guessed() {
    for url in [
        "postgres://secret",
        "postgres:///secret",
        "postgres://host/secret",
        "postgres://user:secret@host",
        "mysql://user:secret@host/database",
        "user=secret",
        "",
    ] {
        let message = refusal(url, None);
        assert!(message.contains("cannot be read"), "{url}: {message}");
        assert!(!message.contains("secret"), "{message}");
    }
    let address = Address::parse("postgres://user:p%40ss@host/database", None).expect("complete");
    assert_eq!(address.options.get_host(), "host");
    assert_eq!(address.options.get_port(), 5432);
    assert_eq!(address.options.get_username(), "user");
    assert_eq!(address.options.get_database(), Some("database"));
    assert!(address.unverified);
}

#[test]
fn options_that_would_change_the_connection_are_refused() {
    for option in ["options=-csearch_path%3Dx", "host=elsewhere", "sslrootcert=/secret", "user=x"] {
        let message = refusal(&format!("postgres://user@host/database?{option}"), None);
        assert!(message.contains("other than sslmode"), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }
}

#[test]
fn no_connection_has_less_tls_than_was_asked_for() {
    let mode = |mode, ca| Trust::new(mode, ca).expect("fits").mode;
    assert!(matches!(mode(None, None), PgSslMode::Prefer));
    assert!(matches!(mode(None, Some(CA)), PgSslMode::VerifyFull));
    assert!(matches!(mode(Some("verify-ca"), Some(CA)), PgSslMode::VerifyCa));
    assert!(matches!(mode(Some("verify-full"), Some(CA)), PgSslMode::VerifyFull));
    assert!(matches!(mode(Some("allow"), None), PgSslMode::Prefer));
    assert!(matches!(mode(Some("require"), None), PgSslMode::Require));
    assert!(matches!(mode(Some("disable"), None), PgSslMode::Disable));
    // The public authorities vouch for names alone.
    let public = Trust::new(Some("verify-ca"), None).expect("fits");
    assert!(matches!(public.mode, PgSslMode::VerifyFull));
    assert!(public.authorities.matches("BEGIN CERTIFICATE").count() > 100);
    for weak in ["disable", "allow", "prefer", "require", "strong"] {
        Trust::new(Some(weak), Some(CA)).expect_err(weak);
    }
    Trust::new(Some("strong"), None).expect_err("no such mode");
}

#[test]
fn a_ca_is_certificates_and_nothing_else() {
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    for wrong in [key, "", "-----BEGIN", "/no/such/secret"] {
        let message = refusal("postgres://user@host/database", Some(wrong));
        assert!(message.contains("the CA of the database"), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }
    assert_eq!(authorities(CA).expect("a certificate"), CA);
}
