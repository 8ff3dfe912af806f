//! What went wrong with TLS, in our own words: a certificate that is not right is no reason to try
//! again, and none to go on without.

use std::error::Error;
use std::io;

use rustls::{AlertDescription, CertificateError, Error as TlsError};

use super::Failure;

/// TLS was asked for, and could not begin.
pub(super) fn not_begun(error: &(dyn Error + 'static)) -> Failure {
    // The driver has no kind for it, only these words.
    if error.to_string() == "server does not support TLS" {
        return Failure::wrong(
            "",
            "the server offers no TLS, and sslmode or the CA asks for it; nothing was sent",
        );
    }
    Failure::wrong("", "TLS with the database could not begin; check the host name of the URL")
}

/// What TLS refused, where it was TLS that broke a connection and a retry cannot help.
pub(super) fn refused(error: &io::Error) -> Option<Failure> {
    let error = error.get_ref()?.downcast_ref::<TlsError>()?;
    let sentence = match error {
        TlsError::InvalidCertificate(error) => certificate(error),
        TlsError::AlertReceived(alert) => alert_words(*alert)?,
        TlsError::PeerIncompatible(_) => {
            "the server speaks no TLS that is safe; it must offer TLS 1.2 or later"
        }
        _ => return None,
    };
    Some(Failure::wrong("", sentence))
}

fn certificate(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the server's certificate has expired"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the server's certificate is not valid for the host name of the URL (its subject alternative names count, not its common name)"
        }
        CertificateError::UnknownIssuer => {
            "the server's certificate is of an unknown issuer: no authority that is trusted has signed it; check the CA (database.caFrom, --database-ca, sslrootcert)"
        }
        CertificateError::Revoked => "the server's certificate is revoked",
        CertificateError::BadSignature => {
            "the server's certificate is signed by a CA of the same name with another key than the one that is given; perhaps that was renewed"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the server's certificate is not made for a server"
        }
        // Among them: a CA's own certificate in place of a server's, and certificates of version 1.
        _ => {
            "the server's certificate cannot be accepted; it must be an X.509 version 3 certificate of a server, signed by its CA"
        }
    }
}

/// What a server says when it does not like us.
fn alert_words(alert: AlertDescription) -> Option<&'static str> {
    match alert {
        AlertDescription::CertificateRequired
        | AlertDescription::NoCertificate
        | AlertDescription::BadCertificate
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied => {
            Some("the server asks for a certificate of the client, and none is given")
        }
        AlertDescription::HandshakeFailure
        | AlertDescription::ProtocolVersion
        | AlertDescription::InsufficientSecurity => {
            Some("the server and this program share no version or cipher of TLS")
        }
        AlertDescription::UnrecognisedName => {
            Some("the server does not know the host name of the URL")
        }
        _ => None,
    }
}
