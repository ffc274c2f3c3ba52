//! What a certificate says.

use crate::Error;
use aws_lc_rs::digest;
use chrono::{DateTime, Utc};
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate, X509Name};

/// What a certificate says, spelled as .NET does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// SHA-1 of the certificate in upper-case hexadecimal: a name, no protection.
    pub thumbprint: String,
    /// Distinguished name, the most specific part first: `CN=contoso.com, O=Contoso`.
    pub subject: String,
    /// Distinguished name of the issuer.
    pub issuer: String,
    /// Common name of the subject.
    pub common_name: Option<String>,
    /// DNS names it is for.
    pub dns_names: Vec<String>,
    /// Serial number in upper-case hexadecimal.
    pub serial_number: String,
    /// Valid from.
    pub not_before: DateTime<Utc>,
    /// Valid until.
    pub not_after: DateTime<Utc>,
}

impl Facts {
    /// Reads a certificate in DER.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(der: &[u8]) -> Result<Self, Error> {
        let malformed = |why: &dyn std::fmt::Display| Error::Malformed(why.to_string());
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|error| malformed(&error))?;
        if !rest.is_empty() {
            return Err(malformed(&"bytes follow the certificate"));
        }
        let time = |seconds: i64| {
            DateTime::from_timestamp(seconds, 0)
                .ok_or_else(|| malformed(&"its dates are out of range"))
        };
        let dns_names = certificate
            .subject_alternative_name()
            .ok()
            .flatten()
            .map(|names| {
                names
                    .value
                    .general_names
                    .iter()
                    .filter_map(|name| match name {
                        GeneralName::DNSName(name) => Some((*name).to_owned()),
                        _ => None,
                    })
                    .collect()
            })
            .unwrap_or_default();
        let mut serial = certificate.raw_serial();
        if let [0, more @ ..] = serial
            && !more.is_empty()
        {
            serial = more;
        }
        Ok(Self {
            thumbprint: hex(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, der).as_ref()),
            subject: distinguished(certificate.subject()),
            issuer: distinguished(certificate.issuer()),
            common_name: certificate
                .subject()
                .iter_common_name()
                .next()
                .and_then(|name| name.as_str().ok())
                .map(str::to_owned),
            dns_names,
            serial_number: hex(serial),
            not_before: time(certificate.validity().not_before.timestamp())?,
            not_after: time(certificate.validity().not_after.timestamp())?,
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// .NET writes the parts in the reverse of their order in the certificate, and quotes what would be read as another part.
fn distinguished(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> = name
        .iter_rdn()
        .map(|part| {
            part.iter()
                .map(|attribute| {
                    let label = oid2abbrev(attribute.attr_type(), oid_registry())
                        .map_or_else(|_| format!("OID.{}", attribute.attr_type()), str::to_owned);
                    let value = attribute
                        .as_str()
                        .map_or_else(|_| format!("#{}", hex(attribute.as_slice())), quoted);
                    format!("{label}={value}")
                })
                .collect::<Vec<_>>()
                .join(" + ")
        })
        .collect();
    parts.reverse();
    parts.join(", ")
}

fn quoted(value: &str) -> String {
    let special = value.contains([',', '+', '"', '\n', '<', '>', '#', ';', '='])
        || value.starts_with(' ')
        || value.ends_with(' ');
    if special {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value.to_owned()
    }
}
