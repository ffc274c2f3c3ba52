//! `<validate-client-certificate>`.

use crate::parser::Parser;
use crate::value::Value;
use crate::xml::Element;

/// What a certificate must have; every given part must fit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Identity {
    /// SHA-1 of the certificate in hexadecimal.
    pub thumbprint: Option<Value<String>>,
    /// Serial number in hexadecimal.
    pub serial_number: Option<Value<String>>,
    /// Common name of the subject.
    pub common_name: Option<Value<String>>,
    /// Distinguished name of the subject.
    pub subject: Option<Value<String>>,
    /// A DNS name that it is for.
    pub dns_name: Option<Value<String>>,
    /// Distinguished name of the issuer.
    pub issuer_subject: Option<Value<String>>,
    /// SHA-1 of the issuer's certificate in hexadecimal.
    pub issuer_thumbprint: Option<Value<String>>,
    /// Certificate resource of the issuer.
    pub issuer_certificate_id: Option<Value<String>>,
}

/// Demands a client certificate.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidateClientCertificate {
    /// Whether its chain must lead to an authority among the service's certificates.
    pub validate_trust: bool,
    /// Whether it must be valid already.
    pub validate_not_before: bool,
    /// Whether it must still be valid.
    pub validate_not_after: bool,
    /// Whether the call goes on in any case.
    pub ignore_error: bool,
    /// One of them must fit, if there are any.
    pub identities: Vec<Identity>,
}

pub(crate) const EXAMPLE: &str = r#"<validate-client-certificate validate-revocation="false" validate-trust="true" validate-not-before="true" validate-not-after="true" ignore-error="false">
    <identities>
        <identity thumbprint="CA06F56B258B7A0D4F2B05470939478651151984" common-name="client.contoso.com" issuer-certificate-id="contoso-ca" />
    </identities>
</validate-client-certificate>"#;

const PARTS: [&str; 8] = [
    "thumbprint",
    "serial-number",
    "common-name",
    "subject",
    "dns-name",
    "issuer-subject",
    "issuer-thumbprint",
    "issuer-certificate-id",
];

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<ValidateClientCertificate> {
    parser.attributes(
        element,
        &["validate-revocation", "validate-trust", "validate-not-before", "validate-not-after", "ignore-error"],
    );
    parser.children(element, &["identities"]);
    if parser.literal_or(element, "validate-revocation", true) {
        parser.problem(
            element.at,
            element,
            "Revocation lists are not supported: 'validate-revocation' must be 'false', and is 'true' unless given.",
        );
    }
    let mut identities = Vec::new();
    if let Some(list) = parser.child(element, "identities") {
        parser.attributes(list, &[]);
        parser.children(list, &["identity"]);
        for child in list.elements().filter(|child| child.name == "identity") {
            parser.attributes(child, &PARTS);
            parser.children(child, &[]);
            if child.attributes.is_empty() {
                parser.problem(child.at, child, "At least one attribute is required.");
            }
            let mut part = |name| parser.optional_value(child, name);
            identities.push(Identity {
                thumbprint: part("thumbprint"),
                serial_number: part("serial-number"),
                common_name: part("common-name"),
                subject: part("subject"),
                dns_name: part("dns-name"),
                issuer_subject: part("issuer-subject"),
                issuer_thumbprint: part("issuer-thumbprint"),
                issuer_certificate_id: part("issuer-certificate-id"),
            });
        }
        if identities.is_empty() {
            parser.problem(list.at, list, "At least one element 'identity' is required.");
        }
    }
    Some(ValidateClientCertificate {
        validate_trust: parser.literal_or(element, "validate-trust", true),
        validate_not_before: parser.literal_or(element, "validate-not-before", true),
        validate_not_after: parser.literal_or(element, "validate-not-after", true),
        ignore_error: parser.literal_or(element, "ignore-error", false),
        identities,
    })
}
