//! `<authentication-certificate>`.

use crate::parser::Parser;
use crate::xml::Element;
use crate::value::{Bytes, Value};

/// Which certificate to present.
#[derive(Clone, Debug, PartialEq)]
pub enum CertificateSource {
    /// The certificate resource with this thumbprint.
    Thumbprint(Value<String>),
    /// The certificate resource with this id.
    Id(Value<String>),
    /// PKCS#12 bytes, and the password for them.
    Body(Value<Bytes>, Option<Value<String>>),
}

/// Presents a client certificate to the backend.
#[derive(Clone, Debug, PartialEq)]
pub struct AuthenticationCertificate {
    /// Which certificate.
    pub source: CertificateSource,
}

pub(crate) const EXAMPLE: &str = r#"<authentication-certificate thumbprint="CA06F56B258B7A0D4F2B05470939478651151984" />"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<AuthenticationCertificate> {
    parser.attributes(element, &["thumbprint", "certificate-id", "body", "password"]);
    parser.children(element, &[]);
    let thumbprint = parser.optional_value(element, "thumbprint").map(CertificateSource::Thumbprint);
    let id = parser.optional_value(element, "certificate-id").map(CertificateSource::Id);
    let password = parser.optional_value(element, "password");
    let body = parser.optional_value(element, "body").map(|body| CertificateSource::Body(body, password));
    let mut sources = [thumbprint, id, body].into_iter().flatten();
    match (sources.next(), sources.next()) {
        (Some(source), None) => Some(AuthenticationCertificate { source }),
        _ => {
            parser.problem(element.at, element, "Exactly one of 'thumbprint', 'certificate-id' and 'body' is required.");
            None
        }
    }
}
