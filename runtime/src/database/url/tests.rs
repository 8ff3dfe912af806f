use super::*;

/// Must appear in no message.
const CANARY: &str = "canary-71c0";

fn host(name: &str) -> Place {
    Place::Host(name.to_owned())
}

fn socket(folder: &str) -> Place {
    Place::Socket(folder.to_owned())
}

fn named(name: &str, address: &str) -> Place {
    Place::NamedAddress { name: name.to_owned(), address: address.parse().unwrap() }
}

#[test]
fn a_url_is_read_as_libpq_reads_it() {
    for (url, place, port) in [
        ("postgres://u:p@db/d", host("db"), 5432),
        ("postgresql://u:p@db.shop.svc:6432/d", host("db.shop.svc"), 6432),
        ("postgres://u:p@db:/d", host("db"), 5432),
        ("postgres://u:p@db:/d?port=6432", host("db"), 6432),
        ("postgres://u:p@10.0.0.7:6432/d", host("10.0.0.7"), 6432),
        ("postgres://u:p@[::1]/d", host("::1"), 5432),
        ("postgres://u:p@[2001:db8::7]:6432/d", host("2001:db8::7"), 6432),
        ("postgres://u:p@[::1]:/d", host("::1"), 5432),
        ("postgres://u:p@%2Frun%2Fpostgresql/d", socket("/run/postgresql"), 5432),
        ("postgres://u:p@%2Frun%2Fpostgresql:6432/d", socket("/run/postgresql"), 6432),
        ("postgres:///d?host=/run/postgresql&user=u&password=p", socket("/run/postgresql"), 5432),
        ("postgres://u:p@ignored/d?host=db", host("db"), 5432),
        ("postgres://u:p@db/d?host=", host("db"), 5432),
        ("postgres://?host=db&user=u&password=p&dbname=d", host("db"), 5432),
        ("postgres://u:p@/d?hostaddr=10.0.0.7", host("10.0.0.7"), 5432),
        ("postgres://u:p@/d?hostaddr=::1", host("::1"), 5432),
        ("postgres://u:p@db/d?hostaddr=10.0.0.7", named("db", "10.0.0.7"), 5432),
        ("postgres://wrong:wrong@db/wrong?user=u&password=p&dbname=d", host("db"), 5432),
        ("postgres://u:p@db/d?application_name=x&connect_timeout=5&keepalives=1", host("db"), 5432),
        // As `echo` and files end.
        ("postgres://u:p@db/d\n", host("db"), 5432),
    ] {
        let read = Url::parse(url).unwrap_or_else(|failure| panic!("{url}: {failure}"));
        assert_eq!((read.place, read.port), (place, port), "{url}");
        let rest = (read.user.as_str(), read.password.as_str(), read.database.as_str());
        assert_eq!(rest, ("u", "p", "d"), "{url}");
    }
}

#[test]
fn every_character_of_a_password_can_be_percent_encoded() {
    let password: String =
        (1..=255_u32).chain([0x20ac, 0x1_f600]).filter_map(char::from_u32).collect();
    let encoded: String = password.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let read = Url::parse(&format!("postgres://{encoded}:{encoded}@db/{encoded}")).unwrap();
    assert_eq!((&read.password, &read.user, &read.database), (&password, &password, &password));
    let read = Url::parse(&format!("postgres://u@db/d?password={encoded}")).unwrap();
    assert_eq!(read.password, password);
}

#[test]
fn characters_that_mean_nothing_in_their_place_stand_for_themselves() {
    for (url, password) in [
        ("postgres://u:a+b@db/d", "a+b"),
        ("postgres://u:a:b@db/d", "a:b"),
        ("postgres://u:a@b@db/d", "a@b"),
        ("postgres://u:a#b&c=d;e@db/d", "a#b&c=d;e"),
        ("postgres://u:pässwörd@db/d", "pässwörd"),
        ("postgres://u@db/d?password=a+b=c@d:e/f", "a+b=c@d:e/f"),
    ] {
        let read = Url::parse(url).unwrap_or_else(|failure| panic!("{url}: {failure}"));
        assert_eq!((read.user.as_str(), read.password.as_str()), ("u", password), "{url}");
        assert_eq!((read.place, read.database.as_str()), (host("db"), "d"), "{url}");
    }
}

#[test]
fn a_password_that_is_left_out_is_empty() {
    assert_eq!(Url::parse("postgres://u@db/d").unwrap().password, "");
    assert_eq!(Url::parse("postgres://u:@db/d").unwrap().password, "");
}

#[test]
fn what_is_asked_of_tls_is_read() {
    let read = Url::parse(
        "postgres://u@db/d?sslmode=verify-ca&sslrootcert=%2Fca.crt&channel_binding=require",
    )
    .unwrap();
    assert_eq!(read.ssl_mode, Some(SslMode::VerifyCa));
    assert_eq!(read.ssl_root_cert.as_deref(), Some("/ca.crt"));
    assert!(read.binds_channel);
}

#[test]
fn what_cannot_be_read_is_said_and_never_repeated() {
    let canary = |url: &str| url.replace('*', CANARY);
    for (url, words) in [
        ("", "must begin with postgres://"),
        ("*", "must begin with postgres://"),
        ("mysql://u:*@db/d", "must begin with postgres://"),
        ("postgres://u:*@/d", "names no host"),
        ("postgres://u:*@:5432/d", "names no host"),
        ("postgres://:*@db/d", "names no user"),
        ("postgres://db/*", "names no user"),
        ("postgres://u:*@db", "names no database"),
        ("postgres://u:*@db/", "names no database"),
        ("postgres://u:*@a,b/d", "names several hosts"),
        ("postgres://u:*@a:1,b:2/d", "names several hosts"),
        ("postgres://u:*@db/d?host=a,b", "names several hosts"),
        ("postgres://u:*@db/d?hostaddr=10.0.0.1,10.0.0.2", "names several hosts"),
        ("postgres://u:*@db/d?hostaddr=*", "hostaddr of the database URL is no IP address"),
        ("postgres://u:*@db/d?sslmode=*", "sslmode of the database URL must be one of disable"),
        ("postgres://u:*@db/d?sslmode=require&sslmode=disable", "has the option sslmode twice"),
        ("postgres://u:*@db/d?options=-c%20x", "the option options, which is not taken"),
        ("postgres://u:*@db/d?sslcert=*", "the option sslcert, which is not taken"),
        ("postgres://u:*@db/d?*=1", UNREADABLE),
        ("postgres://u:*@db/d?*", UNREADABLE),
        ("postgres://u:*@db:port/d", UNREADABLE),
        ("postgres://u:*@db:0/d", UNREADABLE),
        ("postgres://u:*@db:+1/d", UNREADABLE),
        ("postgres://u:*@db:65536/d", UNREADABLE),
        ("postgres://u:*@::1/d", UNREADABLE),
        ("postgres://u:*@[::1/d", UNREADABLE),
        ("postgres://u:*@[::1]5432/d", UNREADABLE),
        ("postgres://u:*@[*]/d", UNREADABLE),
        ("postgres://u:*%@db/d", UNREADABLE),
        ("postgres://u:*%4@db/d", UNREADABLE),
        ("postgres://u:*%+4@db/d", UNREADABLE),
        ("postgres://u:*%zz@db/d", UNREADABLE),
        ("postgres://u:*%00@db/d", UNREADABLE),
        ("postgres://u:*%ff@db/d", UNREADABLE),
        ("postgres://u:a\n*@db/d", UNREADABLE),
        // Passwords with characters that should have been encoded.
        ("postgres://u:a/*@db/d", UNREADABLE),
        ("postgres://u:a?*@db/d", UNREADABLE),
        ("postgres://u:*@d b/d", UNREADABLE),
        ("postgres://u:*@%40abstract/d", UNREADABLE),
    ] {
        let url = canary(url);
        match Url::parse(&url) {
            Ok(_) => panic!("{url} was taken"),
            Err(failure) => {
                assert!(failure.message.contains(words), "{url}: {failure}");
                assert!(!failure.message.contains(CANARY), "{url}: {failure}");
                assert_eq!(failure.exit().code(), 2, "{url}");
            }
        }
    }
}
