use super::*;

fn certificate() -> String {
    // Any certificate will do: which one a server has is for the tests on a real server.
    let first = TLS_SERVER_ROOT_CERTS.first().unwrap();
    pem::encode(&Pem::new("CERTIFICATE", first.as_ref()))
}

fn trust(options: &str, ca: Option<&str>) -> Result<Trust, Failure> {
    Trust::new(&Url::parse(&format!("postgres://u@db/d?{options}")).unwrap(), ca)
}

#[test]
fn a_ca_and_sslmode_together_never_mean_less_than_either() {
    use PgSslMode::{Disable, Prefer, Require, VerifyCa, VerifyFull};
    let own = certificate();
    let public = public();
    for (options, ca, mode, authorities) in [
        ("", None, Prefer, ""),
        ("sslmode=disable", None, Disable, ""),
        ("sslmode=allow", None, Prefer, ""),
        ("sslmode=prefer", None, Prefer, ""),
        ("sslmode=require", None, Require, ""),
        ("sslmode=verify-ca", None, VerifyFull, public.as_str()),
        ("sslmode=verify-full", None, VerifyFull, &public),
        ("sslrootcert=system", None, VerifyFull, &public),
        ("sslmode=verify-ca&sslrootcert=system", None, VerifyFull, &public),
        ("", Some(own.as_str()), VerifyFull, own.as_str()),
        ("sslmode=verify-ca", Some(&own), VerifyCa, &own),
        ("sslmode=verify-full", Some(&own), VerifyFull, &own),
        ("sslmode=verify-full&sslrootcert=/nowhere", Some(&own), VerifyFull, &own),
        ("sslmode=verify-full&channel_binding=require", Some(&own), VerifyFull, &own),
        ("sslmode=require&channel_binding=prefer", None, Require, ""),
        ("hostaddr=10.0.0.1&sslmode=verify-ca", Some(&own), VerifyCa, &own),
    ] {
        let trust = trust(options, ca).unwrap_or_else(|failure| panic!("{options}: {failure}"));
        assert_eq!(format!("{:?}", trust.mode), format!("{mode:?}"), "{options}");
        assert!(trust.authorities == authorities, "{options}: other authorities");
        assert_eq!(trust.unverified, options.is_empty() && ca.is_none(), "{options}");
    }
}

#[test]
fn what_would_not_be_used_or_cannot_be_kept_is_refused() {
    let own = certificate();
    let broken = own.replacen("MII", "AAA", 1);
    let key = own.replace("CERTIFICATE", "PRIVATE KEY");
    for (options, ca, words) in [
        ("sslmode=disable", Some(own.as_str()), "weaker than verify-ca"),
        ("sslmode=allow", Some(&own), "weaker than verify-ca"),
        ("sslmode=prefer", Some(&own), "weaker than verify-ca"),
        ("sslmode=require", Some(&own), "weaker than verify-ca"),
        ("sslmode=require&sslrootcert=system", None, "weaker than verify-ca"),
        ("sslmode=require&channel_binding=require", None, "channel_binding=require"),
        ("channel_binding=require", None, "channel_binding=require"),
        ("hostaddr=10.0.0.1", Some(&own), "leave hostaddr out"),
        ("hostaddr=10.0.0.1&sslmode=verify-full", None, "leave hostaddr out"),
        ("host=/run", Some(&own), "a Unix socket, which carries no TLS"),
        ("host=/run&sslmode=require", None, "a Unix socket, which carries no TLS"),
        ("host=/run&sslmode=verify-full", None, "a Unix socket, which carries no TLS"),
        ("", Some(""), "the CA of the database is empty"),
        ("", Some(" \n"), "the CA of the database is empty"),
        ("", Some(&broken), "a certificate that cannot be read"),
        ("", Some(&key), "holds no certificate"),
        ("", Some("/no/such/canary"), "there is no such file"),
        ("", Some("/"), "it is no text file"),
        ("sslrootcert=/no/such/canary", None, "there is no such file"),
        ("sslrootcert=", None, "there is no such file"),
    ] {
        match trust(options, ca) {
            Ok(trust) => panic!("{options}: {:?} was taken", trust.mode),
            Err(failure) => {
                assert!(failure.message.contains(words), "{options}: {failure}");
                assert!(!failure.message.contains("canary"), "{options}: {failure}");
                assert_eq!(failure.exit().code(), 2, "{options}");
            }
        }
    }
}

/// sqlx would add this list to the CA that it is given: see docs/adr/0010-own-trust.md.
#[test]
fn the_driver_trusts_no_authority_by_itself() {
    assert!(webpki_roots::TLS_SERVER_ROOTS.is_empty());
    assert!(TLS_SERVER_ROOT_CERTS.len() > 100, "and the public ones are there to be handed over");
}

#[test]
fn a_socket_is_no_unverified_connection() {
    let trust = trust("host=/run/postgresql", None).unwrap();
    assert!(!trust.unverified && matches!(trust.mode, PgSslMode::Disable));
}

#[test]
fn a_ca_is_read_from_a_file_and_with_words_around_it() {
    let own = certificate();
    let described = format!("# the authority of the test\n{own}");
    assert_eq!(trust("", Some(&described)).unwrap().authorities, described);

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &own).unwrap();
    let path = file.path().to_str().unwrap();
    assert_eq!(trust("", Some(path)).unwrap().authorities, own);
    assert_eq!(trust(&format!("sslrootcert={path}"), None).unwrap().authorities, own);
}
