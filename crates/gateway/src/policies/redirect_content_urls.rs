//! `<redirect-content-urls>`.

use http::{HeaderName, HeaderValue, header};
use policy::expression::Side;

use crate::exchange::{Exchange, Flow};
use crate::fault::Fault;

const SOURCE: &str = "redirect-content-urls";

/// Headers that hold an address.
const HEADERS: [HeaderName; 2] = [header::LOCATION, header::CONTENT_LOCATION];

pub(super) async fn apply(x: &mut Exchange) -> Result<Flow, Fault> {
    let backend = x.request.base.trim_end_matches('/').to_owned();
    let original = &x.original;
    let prefix = original.path[..x.prefix_bytes].trim_end_matches('/');
    let gateway = format!("{}://{}{prefix}", original.scheme, original.authority());
    if backend.is_empty() {
        return Ok(Flow::Next);
    }
    let side = x.side();
    let (from, to) = match side {
        Side::Request => (gateway, backend),
        Side::Response => (backend, gateway),
    };
    let body = x.buffer(side, SOURCE).await?;
    if let Ok(text) = std::str::from_utf8(&body) {
        // JSON may write slashes with a backslash in front.
        let escaped = |text: &str| text.replace('/', "\\/");
        let changed = replaced(&replaced(text, &from, &to), &escaped(&from), &escaped(&to));
        if changed != text {
            x.set_body(side, changed);
        }
    }
    for name in HEADERS {
        let value = x.headers().get(&name).and_then(|value| value.to_str().ok());
        if let Some(value) = value.map(|value| replaced(value, &from, &to))
            && let Ok(value) = HeaderValue::try_from(value)
        {
            x.headers_mut().insert(name, value);
        }
    }
    Ok(Flow::Next)
}

/// Replaces an address where it is not the beginning of a longer host or segment.
fn replaced(text: &str, from: &str, to: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(from) {
        let (before, found) = rest.split_at(at);
        let after = &found[from.len()..];
        let goes_on = after.starts_with(|c: char| {
            c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '@')
        });
        result.push_str(before);
        result.push_str(if goes_on { from } else { to });
        rest = after;
    }
    result.push_str(rest);
    result
}
