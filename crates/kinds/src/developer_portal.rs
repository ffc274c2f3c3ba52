//! The developer portal of a service, as its publisher presents it: name, logo, colour, pages, and who vouches for
//! developers. Portico's own addition to the contract; without it a portal shows the organization's name. Whether one may
//! sign up, and under which terms, is in the contract's own settings ([`crate::portal_setting`]).

use crate::service::Service;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use engine::{Contract, NameRule, Resource, Value, Violations, json};
use utoipa::ToSchema;

/// Largest logo, in characters of its data URL.
const LOGO_CHARACTERS: usize = 256 * 1024;
/// Most pages and most providers.
const MOST: usize = 32;

/// A developer portal.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct DeveloperPortalContract {
    /// Name that visitors see; the organization's when absent.
    #[contract(length(1..=100))]
    pub title: Option<String>,
    /// Logo as a data URL of a PNG, JPEG, WebP, GIF or SVG image in base64.
    pub logo: Option<String>,
    /// Colour of links and buttons, `#rrggbb`; the portal changes its brightness where it would be hard to read.
    pub accent_color: Option<String>,
    /// Markdown that greets visitors on the first page.
    #[contract(length(0..=100000))]
    pub welcome: Option<String>,
    /// Ids of the service's documentations that the portal shows as pages, in this order.
    pub pages: Option<Vec<String>>,
    /// Ids of OpenID Connect providers with which developers may sign in, besides the identity providers. Whoever such a
    /// provider vouches for gets an account.
    pub sign_in_providers: Option<Vec<String>>,
}

/// The kind.
pub struct DeveloperPortal;

impl Resource for DeveloperPortal {
    type Parent = Service;
    type Contract = DeveloperPortalContract;
    const TITLE: &'static str = "DeveloperPortal";
    const SEGMENT: &'static str = "developerPortals";
    const PARAMETER: &'static str = "developerPortalId";
    const TABLE: &'static str = "developer_portals";
    const NAME: NameRule = NameRule::Fixed(&["default"]);

    fn example() -> Value {
        json!({"title": "Contoso for developers", "accentColor": "#0b5cad", "welcome": "# Welcome\n\nAsk for a key.",
               "pages": [], "signInProviders": []})
    }

    fn validate(portal: &DeveloperPortalContract, violations: &mut Violations) {
        if let Some(color) = &portal.accent_color
            && !is_color(color)
        {
            violations.add("accentColor", "must be a colour such as #0b5cad");
        }
        if let Some(logo) = &portal.logo {
            if logo.len() > LOGO_CHARACTERS {
                violations.add(
                    "logo",
                    format!("must be {LOGO_CHARACTERS} characters at most"),
                );
            } else if !is_image(logo) {
                violations.add(
                    "logo",
                    "must be a data URL of an image, such as data:image/png;base64,iVBORw0...",
                );
            }
        }
        for (field, list) in [
            ("pages", &portal.pages),
            ("signInProviders", &portal.sign_in_providers),
        ] {
            if list.as_ref().is_some_and(|list| list.len() > MOST) {
                violations.add(field, format!("must be {MOST} at most"));
            }
        }
    }
}

fn is_color(text: &str) -> bool {
    text.strip_prefix('#')
        .is_some_and(|hex| hex.len() == 6 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn is_image(url: &str) -> bool {
    ["png", "jpeg", "webp", "gif", "svg+xml"]
        .iter()
        .any(|kind| {
            url.strip_prefix(&format!("data:image/{kind};base64,"))
                .is_some_and(|data| !data.is_empty() && BASE64_STANDARD.decode(data).is_ok())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logo_is_an_image_in_the_document_itself() {
        assert!(is_image("data:image/png;base64,iVBORw0KGgo="));
        for wrong in [
            "",
            "https://example.org/logo.png",
            "data:text/html;base64,PGI+",
            "data:image/png;base64,",
            "data:image/png;base64,!",
            "javascript:alert(1)",
        ] {
            assert!(!is_image(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_colour_is_six_digits() {
        assert!(is_color("#0b5cad"));
        for wrong in ["0b5cad", "#0b5ca", "#0b5cag", "red", "#0b5cad;"] {
            assert!(!is_color(wrong), "{wrong}");
        }
    }
}
